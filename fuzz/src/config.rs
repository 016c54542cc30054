//! The configuration: file, environment, command line.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use media_service::config::{Command, Config, load};

/// What must never be shown.
const SECRET: &str = "zzFv7q0y8w4k1mXcB3n9TzUjRe5LdQpH";

/// A file, then behind a NUL variables a line, then behind a NUL flags a line. Whatever it says, it
/// is a configuration or a list of faults; what is accepted is printed so that it loads to the same
/// again; and the secret is in neither.
pub fn config(data: &[u8]) {
    let mut parts = data.splitn(3, |&byte| byte == 0);
    let [file, variables, flags] = [(); 3].map(|()| parts.next().unwrap_or_default());
    let path = path("given");
    fs::write(&path, file).expect("a file to write");
    let variables = String::from_utf8_lossy(variables);
    let mut variables: Vec<(String, String)> = variables
        .lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (format!("MEDIA_{name}"), value.to_owned()))
        // Another file is another input.
        .filter(|(name, _)| name != "MEDIA_CONFIG")
        .collect();
    let secret = ("MEDIA_AUTH_JWT_SECRET".to_owned(), SECRET.to_owned());
    variables.push(secret.clone());
    let flags: Vec<OsString> = flags
        .split(|&byte| byte == b'\n')
        .filter(|flag| !flag.is_empty() && !flag.starts_with(b"--config"))
        .map(|flag| OsString::from_vec(flag.to_vec()))
        .collect();
    let named = data
        .windows(8)
        .any(|part| SECRET.as_bytes().windows(8).any(|own| own == part));
    let args = |more: &[&str]| {
        let file = [OsString::from("--config"), path.clone().into()];
        let mut args = vec![OsString::from("media-service")];
        args.extend(file.into_iter().chain(flags.clone()));
        args.extend(more.iter().map(OsString::from));
        args
    };
    match load(args(&[]), variables.clone().into_iter()) {
        Ok(Command::Serve(config)) => {
            let printed = match load(args(&["--print-config"]), variables.into_iter()) {
                Ok(Command::PrintConfig(text)) => text,
                other => panic!("it can be printed: {other:?}"),
            };
            assert!(named || !printed.contains(SECRET), "the secret is printed");
            assert!(
                named || !format!("{config:?}").contains(SECRET),
                "the secret is shown"
            );
            if let Some(reloaded) = reload(&printed, secret) {
                assert_eq!(reloaded, config);
            }
        }
        Ok(Command::Token(_) | Command::PrintConfig(_) | Command::Exit { .. }) => {}
        Err(faults) => {
            let text = faults.to_string();
            assert!(named || !text.contains(SECRET), "the secret is in a fault");
            assert!(!text.is_empty());
            let control = |c: char| c.is_control() && c != '\n';
            assert!(!text.contains(control), "{text:?}");
        }
    }
}

/// The configuration that was printed, with the secret that the printer left out. `None`: it left
/// out others, and says so.
fn reload(printed: &str, secret: (String, String)) -> Option<Config> {
    let path = path("printed");
    fs::write(&path, printed).expect("a file to write");
    let args = [
        OsString::from("media-service"),
        "--config".into(),
        path.into(),
    ];
    match load(args, [secret].into_iter()) {
        Ok(Command::Serve(config)) => Some(config),
        Err(faults) if faults.to_string().contains("placeholder of --print-config") => None,
        other => panic!("what is printed is a configuration: {other:?}"),
    }
}

/// A file of this process alone, in memory.
fn path(name: &str) -> PathBuf {
    PathBuf::from(format!(
        "/dev/shm/media-service-fuzz-{name}-{}",
        std::process::id()
    ))
}
