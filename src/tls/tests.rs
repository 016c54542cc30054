//! A tunnel against a client of rustls' own, byte by byte.

use std::io::{Read, Write};
use std::sync::Arc;

use proptest::prelude::*;
use rcgen::{CertificateParams, KeyPair};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, SupportedProtocolVersion};

use super::*;
use crate::config::Tls;

/// Certificate and key in files, as the configuration has them, and the certificate for clients.
fn setup() -> (Acceptor, CertificateDer<'static>) {
    let directory = tempfile::tempdir().unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let cert = params.self_signed(&key).unwrap();
    let path = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let config = Tls {
        cert: Some(CertificateFile::read(&path("cert.pem", cert.pem())).unwrap()),
        key: Some(KeyFile::read(&path("key.pem", key.serialize_pem())).unwrap()),
        ..Tls::default()
    };
    let config = load(&config).unwrap().unwrap();
    (Acceptor::new(config), cert.der().clone())
}

fn client(
    trusted: &CertificateDer<'static>,
    version: &'static SupportedProtocolVersion,
    alpn: &[u8],
) -> ClientConnection {
    let mut roots = RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let mut config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    let name = ServerName::try_from("localhost").unwrap();
    ClientConnection::new(Arc::new(config), name).unwrap()
}

/// What the client has to send.
fn outgoing(client: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// Gives the client what the tunnel has sealed: what it reads of it, or its fault.
fn hear(tunnel: &mut Tunnel, client: &mut ClientConnection) -> Result<Vec<u8>, rustls::Error> {
    let mut plain = Vec::new();
    while !tunnel.pending().is_empty() {
        let count = client.read_tls(&mut tunnel.pending()).unwrap();
        tunnel.sent(count);
        client.process_new_packets()?;
        let _ = client.reader().read_to_end(&mut plain);
    }
    Ok(plain)
}

fn shake_hands(tunnel: &mut Tunnel, client: &mut ClientConnection) {
    while tunnel.is_handshaking() || client.is_handshaking() {
        let opened = tunnel.open(&mut outgoing(client), &mut |_| panic!("nothing was said"));
        assert_eq!(opened.unwrap(), Opened::All);
        hear(tunnel, client).unwrap();
    }
}

const ALPN: &[u8] = b"http/1.1";
const VERSIONS: [&SupportedProtocolVersion; 2] = [&rustls::version::TLS12, &rustls::version::TLS13];

/// A tunnel and its client, hands shaken.
fn pair(version: &'static SupportedProtocolVersion) -> (Tunnel, ClientConnection) {
    let (acceptor, cert) = setup();
    let (mut tunnel, mut client) = (acceptor.accept().unwrap(), client(&cert, version, ALPN));
    shake_hands(&mut tunnel, &mut client);
    (tunnel, client)
}

#[test]
fn a_refused_client_is_told_why() {
    let (acceptor, cert) = setup();
    for version in VERSIONS {
        let mut tunnel = acceptor.accept().unwrap();
        let mut client = client(&cert, version, b"h2");
        let opened = tunnel.open(&mut outgoing(&mut client), &mut |_| true);
        let refused = rustls::Error::NoApplicationProtocol;
        assert!(matches!(opened, Err(TunnelFault::Rustls(fault)) if fault == refused));
        let alert = hear(&mut tunnel, &mut client).unwrap_err();
        let expected = rustls::AlertDescription::NoApplicationProtocol;
        assert_eq!(alert, rustls::Error::AlertReceived(expected));
    }
}

/// A connection that rests holds no buffers.
#[test]
fn nothing_is_kept_that_nobody_needs() {
    for version in VERSIONS {
        let (mut tunnel, mut client) = pair(version);
        client.writer().write_all(&[7; 40_000]).unwrap();
        let mut heard = 0;
        let mut deliver = |bytes: &[u8]| {
            heard += bytes.len();
            true
        };
        tunnel
            .open(&mut outgoing(&mut client), &mut deliver)
            .unwrap();
        assert_eq!(heard, 40_000);
        assert_eq!(tunnel.seal(&[8; 40_000]).unwrap(), Some(RECORD_BYTES));
        assert_eq!(hear(&mut tunnel, &mut client).unwrap().len(), RECORD_BYTES);
        assert_eq!(tunnel.held_bytes(), 0);
    }
}

/// Who says that it sends no more is still told things, and the end once.
#[test]
fn an_end_is_told_once_and_answers_still_go() {
    for version in VERSIONS {
        let (mut tunnel, mut client) = pair(version);
        client.writer().write_all(b"GET").unwrap();
        client.send_close_notify();
        let mut bytes = outgoing(&mut client);
        let opened = tunnel.open(&mut bytes, &mut |_| false).unwrap();
        assert_eq!((opened, tunnel.holds()), (Opened::Held, true));
        // Sealing goes past what is held, and loses nothing of it.
        assert_eq!(tunnel.seal(b"408").unwrap(), Some(3));
        assert_eq!(hear(&mut tunnel, &mut client).unwrap(), b"408");
        assert!(tunnel.holds());
        assert_eq!(tunnel.open(&mut [], &mut |_| true).unwrap(), Opened::End);
        assert!(!tunnel.holds());
        assert_eq!(tunnel.seal(b"200").unwrap(), Some(3));
        assert!(!tunnel.holds());
        tunnel.close().unwrap();
        assert_eq!(hear(&mut tunnel, &mut client).unwrap(), b"200");
        assert_eq!(tunnel.seal(b"too late").unwrap(), None);
    }
}

/// What was opened on the way to something else is wanted piece by piece too: the end behind it is not
/// forgotten.
#[test]
fn an_end_behind_what_is_wanted_alone_is_told() {
    for version in VERSIONS {
        let (mut tunnel, mut client) = pair(version);
        for request in [b"one", b"two"] {
            client.writer().write_all(request).unwrap();
        }
        client.send_close_notify();
        let mut heard = Vec::new();
        let mut take_one = |piece: &[u8]| {
            heard.extend_from_slice(piece);
            false
        };
        let mut bytes = outgoing(&mut client);
        assert_eq!(
            tunnel.open(&mut bytes, &mut take_one).unwrap(),
            Opened::Held
        );
        assert_eq!(tunnel.seal(b"first").unwrap(), Some(5));
        assert_eq!(tunnel.open(&mut [], &mut take_one).unwrap(), Opened::Held);
        assert_eq!(heard, b"onetwo");
        assert!(tunnel.holds());
        assert_eq!(tunnel.open(&mut [], &mut |_| true).unwrap(), Opened::End);
        assert!(!tunnel.holds());
    }
}

/// A peer that renews its keys again and again without reading makes nobody keep the answers.
#[test]
fn key_updates_pile_nothing_up() {
    let (mut tunnel, mut client) = pair(&rustls::version::TLS13);
    for _ in 0..1000 {
        client.refresh_traffic_keys().unwrap();
        client.writer().write_all(b"x").unwrap();
        tunnel
            .open(&mut outgoing(&mut client), &mut |_| true)
            .unwrap();
    }
    tunnel.seal(b"answer").unwrap();
    assert!(tunnel.pending().len() < 200, "{}", tunnel.pending().len());
    assert_eq!(hear(&mut tunnel, &mut client).unwrap(), b"answer");
}

/// A handshake that never ends is cut off.
#[test]
fn an_endless_record_is_refused() {
    let (acceptor, _) = setup();
    let mut tunnel = acceptor.accept().unwrap();
    // A ClientHello of 64 KB, in records of 1 KB.
    let record = |body: &[u8]| [&[0x16, 3, 1, 4, 0][..], body].concat();
    let first = [&[1, 0, 0xff, 0xff][..], &[0; 1020]].concat();
    let mut sent = vec![record(&first)];
    sent.extend((0..30).map(|_| record(&[0; 1024])));
    let fault = sent
        .iter_mut()
        .find_map(|bytes| tunnel.open(bytes, &mut |_| true).err());
    assert!(matches!(fault, Some(TunnelFault::TooLong)), "{fault:?}");
    assert_eq!(
        tunnel.open(&mut [0x16; 9], &mut |_| true).unwrap(),
        Opened::End
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However the bytes are cut, whatever is wanted when, and whatever is sealed meanwhile: what the
    /// client says is delivered whole and in order, and it hears what it is told.
    #[test]
    fn every_byte_arrives_however_it_is_cut(
        tls13: bool,
        said in proptest::collection::vec(1_usize..40_000, 1..5),
        cuts in proptest::collection::vec(1_usize..20_000, 1..20),
        wanted in proptest::collection::vec(any::<bool>(), 1..20),
        told in proptest::collection::vec(0_usize..20_000, 1..20),
    ) {
        let (mut tunnel, mut client) = pair(VERSIONS[usize::from(tls13)]);
        let said: Vec<u8> = said.iter().enumerate().flat_map(|(i, &n)| vec![i as u8; n]).collect();
        let mut bytes = Vec::new();
        for piece in said.chunks(30_000) {
            client.writer().write_all(piece).unwrap();
            bytes.extend(outgoing(&mut client));
        }
        let (mut wanted, mut told) = (wanted.into_iter().cycle(), told.into_iter().cycle());
        let (mut heard, mut answer, mut expected) = (Vec::new(), Vec::new(), 0);
        let mut rest = &mut bytes[..];
        for cut in cuts.into_iter().cycle() {
            let mut deliver = |bytes: &[u8]| {
                heard.extend_from_slice(bytes);
                wanted.next().unwrap()
            };
            // As the driver does: no more is read while something is held.
            if tunnel.holds() {
                tunnel.open(&mut [], &mut deliver).unwrap();
            } else if rest.is_empty() {
                break;
            } else {
                let (piece, others) = rest.split_at_mut(cut.min(rest.len()));
                rest = others;
                tunnel.open(piece, &mut deliver).unwrap();
            }
            let sealed = tunnel.seal(&vec![9; told.next().unwrap()]).unwrap().unwrap();
            expected += sealed;
            answer.extend(hear(&mut tunnel, &mut client).unwrap());
        }
        prop_assert!(heard == said, "{} of {}", heard.len(), said.len());
        prop_assert_eq!(answer.len(), expected);
        prop_assert_eq!(tunnel.held_bytes(), 0);
    }

    /// Whatever comes, before and after the handshake: an error at most.
    #[test]
    fn no_bytes_panic(
        tls13: bool,
        fresh: bool,
        records in proptest::collection::vec((20_u8..25, proptest::collection::vec(any::<u8>(), 0..40)), 0..20),
        flip in any::<proptest::sample::Index>(),
    ) {
        let (mut tunnel, mut client) = match fresh {
            true => {
                let (acceptor, cert) = setup();
                let client = client(&cert, VERSIONS[usize::from(tls13)], ALPN);
                (acceptor.accept().unwrap(), client)
            }
            false => pair(VERSIONS[usize::from(tls13)]),
        };
        if !fresh {
            client.writer().write_all(b"something").unwrap();
        }
        // What it says, with one bit another one, among records of nonsense.
        let mut said = outgoing(&mut client);
        let at = flip.index(said.len());
        said[at] ^= 1;
        let mut bytes: Vec<Vec<u8>> = records
            .into_iter()
            .map(|(kind, body)| [&[kind, 3, 3, 0, body.len() as u8], &body[..]].concat())
            .collect();
        bytes.insert(flip.index(bytes.len() + 1), said);
        for piece in &mut bytes {
            let _ = tunnel.open(piece, &mut |_| true);
            let _ = tunnel.seal(b"answer");
            let _ = tunnel.pending().len();
        }
        let _ = tunnel.close();
    }
}
