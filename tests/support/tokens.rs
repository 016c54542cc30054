//! Servers that ask for tokens, and tokens for them.

use std::io::Write;

use serde_json::Value;
use tempfile::NamedTempFile;

use super::http::{self, Response};
use super::server::{Server, run_to_end};

pub const SECRET: &str = "a secret of thirty-two characters";

/// A configuration file, which must outlive the server that reads it.
pub fn config(auth: &str) -> NamedTempFile {
    let mut file = NamedTempFile::new().expect("a temporary file");
    write!(file, "[auth]\n{auth}\n").expect("room on the disk");
    file
}

pub fn with_secret() -> NamedTempFile {
    config(&format!("jwt_secret = '{SECRET}'"))
}

pub fn path(file: &NamedTempFile) -> &str {
    file.path().to_str().expect("a temporary path is UTF-8")
}

pub fn start(file: &NamedTempFile) -> Server {
    Server::start(&["--shards", "2", "--config", path(file)])
}

/// What `media-service token` prints.
pub fn token(file: &NamedTempFile, flags: &[&str]) -> String {
    let arguments = [&["token", "--config", path(file)], flags].concat();
    let (status, stdout, stderr) = run_to_end(&arguments);
    assert!(status.success() && stderr.is_empty(), "{stderr}");
    stdout.trim_end().to_owned()
}

pub fn ask(
    server: &Server,
    method: &str,
    target: &str,
    token: &str,
    body: Option<Value>,
) -> Response {
    let bearer = format!("Bearer {token}");
    let headers = [("Authorization", bearer.as_str())];
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    http::request(server.http(), method, target, &headers, body.as_bytes())
}

pub fn get(server: &Server, target: &str, token: &str) -> Response {
    ask(server, "GET", target, token, None)
}
