//! Certificates, and clients that speak TLS (rustls).

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};
use tempfile::TempDir;
use tungstenite::client::IntoClientRequest;
use tungstenite::{Error, Message, WebSocket};

use super::SOON;
use super::http::{self, Response};
use super::server::Server;

/// The name that certificates are for, besides 127.0.0.1.
pub const NAME: &str = "localhost";

/// A connection with TLS on it.
pub type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A self-signed certificate, made now.
pub struct Certificate {
    pub cert_pem: String,
    pub key_pem: String,
    pub der: CertificateDer<'static>,
}

impl Certificate {
    pub fn new() -> Self {
        Self::of(|_| ())
    }

    /// One that ends with the beginning of that year.
    pub fn until(year: i32) -> Self {
        Self::of(|params| params.not_after = rcgen::date_time_ymd(year, 1, 1))
    }

    fn of(change: impl Fn(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().expect("a key");
        let names = vec![NAME.to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).expect("names");
        change(&mut params);
        let cert = params.self_signed(&key).expect("a certificate");
        Self {
            cert_pem: cert.pem(),
            key_pem: key.serialize_pem(),
            der: cert.der().clone(),
        }
    }
}

/// The files that a server is given.
pub struct Files {
    directory: TempDir,
}

impl Files {
    pub fn of(certificate: &Certificate) -> Self {
        let files = Self {
            directory: tempfile::tempdir().expect("a directory"),
        };
        files.write("cert.pem", &certificate.cert_pem);
        files.write("key.pem", &certificate.key_pem);
        files
    }

    /// Puts a file in the place of the old one.
    pub fn write(&self, name: &str, text: &str) -> String {
        let next = self.directory.path().join("next");
        std::fs::write(&next, text).expect("room on the disk");
        let path = self.directory.path().join(name);
        std::fs::rename(&next, &path).expect("the same directory");
        self.path(name)
    }

    pub fn path(&self, name: &str) -> String {
        let path: PathBuf = self.directory.path().join(name);
        path.to_str().expect("a temporary path is UTF-8").to_owned()
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }
}

/// A server that speaks TLS, whose metrics are to be had without; and what its clients trust.
pub struct TlsServer {
    pub server: Server,
    pub files: Files,
    certificate: Certificate,
    pub config: Arc<ClientConfig>,
}

impl TlsServer {
    pub fn start(arguments: &[&str]) -> Self {
        let certificate = Certificate::new();
        let files = Files::of(&certificate);
        let (cert, key) = (files.path("cert.pem"), files.path("key.pem"));
        let tls = [
            "--tls-cert",
            &cert,
            "--tls-key",
            &key,
            "--set",
            "metrics.listen=127.0.0.1:0",
        ];
        Self {
            server: Server::start(&[&tls[..], arguments].concat()),
            files,
            config: client(&[&certificate], rustls::ALL_VERSIONS, &["http/1.1"]),
            certificate,
        }
    }

    /// Another client that trusts it.
    pub fn trusting(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&str],
    ) -> Arc<ClientConfig> {
        client(&[&self.certificate], versions, alpn)
    }

    pub fn connect(&self) -> Client {
        Client::open(self.server.http(), &self.config)
    }

    /// One request on a connection of its own.
    pub fn request(&self, method: &str, target: &str, body: &[u8]) -> Response {
        self.connect().request(method, target, body)
    }

    /// A metric, summed over its series with these labels; asked for without TLS.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let address = self.server.scraped_at()[0];
        let text = http::request(address, "GET", "/metrics", &[], b"").expect(200);
        super::metrics::Metrics::parse(&text.text()).sum(name, labels)
    }

    /// Waits until a metric has a value.
    #[track_caller]
    pub fn wait_metric(&self, name: &str, labels: &[(&str, &str)], holds: impl Fn(f64) -> bool) {
        super::wait_until(SOON, &format!("{name}{labels:?}"), || {
            holds(self.metric(name, labels))
        });
    }

    /// A member of a room, or any other WebSocket.
    pub fn socket(&self, target: &str) -> Socket {
        let address = self.server.http();
        let stream = handshake(address, &self.config).expect("a handshake");
        let request = format!("wss://{address}{target}")
            .into_client_request()
            .expect("a valid URL");
        let (inner, _) = tungstenite::client(request, stream)
            .unwrap_or_else(|error| panic!("{target}: {error}"));
        Socket { inner }
    }
}

/// What a client trusts and speaks. Its sessions are kept for all connections with it.
pub fn client(
    trusted: &[&Certificate],
    versions: &[&'static SupportedProtocolVersion],
    alpn: &[&str],
) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    for certificate in trusted {
        roots.add(certificate.der.clone()).expect("a certificate");
    }
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(versions)
        .expect("versions that there are")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

/// Connects and shakes hands.
///
/// # Errors
/// Those of the connection, and of TLS as `InvalidData`.
pub fn handshake(address: SocketAddr, config: &Arc<ClientConfig>) -> io::Result<Stream> {
    let mut socket = TcpStream::connect_timeout(&address, SOON)?;
    socket.set_nodelay(true)?;
    socket.set_read_timeout(Some(SOON))?;
    socket.set_write_timeout(Some(SOON))?;
    let name = ServerName::try_from(NAME).expect("a name");
    let mut tls = ClientConnection::new(config.clone(), name).expect("a configuration");
    while tls.is_handshaking() {
        tls.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(tls, socket))
}

/// An HTTP client over TLS.
pub struct Client {
    pub stream: Stream,
    address: SocketAddr,
    received: Vec<u8>,
}

impl Client {
    #[track_caller]
    pub fn open(address: SocketAddr, config: &Arc<ClientConfig>) -> Self {
        let stream = handshake(address, config).unwrap_or_else(|error| panic!("{error}"));
        Self {
            stream,
            address,
            received: Vec::new(),
        }
    }

    /// A request as it goes over the wire.
    pub fn bytes(&self, method: &str, target: &str, body: &[u8]) -> Vec<u8> {
        let mut bytes = http::head(self.address, method, target, &[("X-User-Id", "ada")]);
        if !body.is_empty() || method == "POST" {
            bytes.extend(format!("Content-Length: {}\r\n", body.len()).bytes());
        }
        bytes.extend(b"\r\n");
        bytes.extend(body);
        bytes
    }

    /// Sends bytes, in records of their own.
    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes)?;
        self.stream.flush()
    }

    #[track_caller]
    pub fn request(&mut self, method: &str, target: &str, body: &[u8]) -> Response {
        let bytes = self.bytes(method, target, body);
        self.send(&bytes).expect("the server reads");
        self.response()
    }

    /// The next response, which has a `Content-Length`.
    #[track_caller]
    pub fn response(&mut self) -> Response {
        loop {
            if let Some((mut response, length)) = http::parse_head(&self.received).expect("HTTP") {
                let bytes: usize = response
                    .header("content-length")
                    .map_or(0, |length| length.parse().expect("a number"));
                if self.received.len() >= length + bytes {
                    let rest = self.received.split_off(length + bytes);
                    response.body = self.received.split_off(length);
                    self.received = rest;
                    return response;
                }
            }
            let mut chunk = [0; 16 << 10];
            match self.stream.read(&mut chunk) {
                Ok(0) => panic!("the server closed after {:?}", self.received),
                Ok(count) => self.received.extend(&chunk[..count]),
                Err(error) => panic!("{error} after {} bytes", self.received.len()),
            }
        }
    }

    /// Waits for the end: true if it came with a close_notify.
    #[track_caller]
    pub fn ended_well(&mut self) -> bool {
        let mut rest = Vec::new();
        match self.stream.read_to_end(&mut rest) {
            Ok(_) => true,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => false,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => false,
            Err(error) => panic!("{error}"),
        }
    }

    /// The server's certificate.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        &self.stream.conn.peer_certificates().expect("a certificate")[0]
    }
}

/// A WebSocket over TLS.
pub struct Socket {
    pub inner: WebSocket<Stream>,
}

impl Socket {
    pub fn send(&mut self, message: &serde_json::Value) {
        self.inner
            .send(Message::text(message.to_string()))
            .expect("the server reads");
    }

    /// The next object of this `type`; others are skipped.
    #[track_caller]
    pub fn expect(&mut self, kind: &str) -> serde_json::Value {
        loop {
            match self.inner.read() {
                Ok(Message::Text(text)) => {
                    let message: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                    if message["type"] == kind {
                        return message;
                    }
                }
                Ok(_) => {}
                Err(error) => panic!("no `{kind}` but {error}"),
            }
        }
    }

    /// Reads to the end: the close code.
    #[track_caller]
    pub fn closed(&mut self) -> Option<u16> {
        let mut code = None;
        loop {
            match self.inner.read() {
                Ok(Message::Close(frame)) => code = frame.map(|frame| frame.code.into()),
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => {
                    panic!("not closed")
                }
                Err(_) => return code,
            }
        }
    }

    /// The socket below, to stop reading from.
    pub fn tcp(&self) -> &TcpStream {
        &self.inner.get_ref().sock
    }

    /// How long a read may take.
    pub fn patience(&self, limit: Duration) {
        self.tcp()
            .set_read_timeout(Some(limit))
            .expect("a timeout that is not zero");
    }
}
