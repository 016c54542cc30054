//! DTLS of simulated viewers, whose timers the seed decides as it does the server's.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion};

/// What DTLS draws its timers from, on both sides. Keys, signatures and certificates are drawn by the
/// crypto library, which takes no seed.
pub(crate) const SEED: u64 = 42;

static CONFIGURATION: OnceLock<Arc<dimpl::Config>> = OnceLock::new();

/// str0m's cryptography, with this DTLS.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    let mut crypto = str0m_aws_lc_rs::default_provider();
    crypto.dtls_provider = &Seeded;
    Arc::new(crypto)
}

fn configuration() -> Arc<dimpl::Config> {
    let config = CONFIGURATION.get_or_init(|| {
        let built = dimpl::Config::builder()
            .use_server_cookie(false)
            .mtu(str0m::DATAGRAM_MTU_TARGET)
            .dangerously_set_rng_seed(SEED)
            .with_crypto_provider(str0m_aws_lc_rs::dimpl_crypto_provider())
            .build();
        Arc::new(built.expect("a configuration"))
    });
    config.clone()
}

#[derive(Debug)]
struct Seeded;

impl DtlsProvider for Seeded {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        let made = dimpl::certificate::generate_self_signed_certificate().ok()?;
        Some(DtlsCert {
            certificate: made.certificate,
            private_key: made.private_key,
        })
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        _mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let certificate = dimpl::DtlsCertificate {
            certificate: certificate.certificate.clone(),
            private_key: certificate.private_key.clone(),
        };
        let config = configuration();
        let dtls = match version {
            DtlsVersion::Dtls12 => dimpl::Dtls::new_12(config, certificate, now),
            DtlsVersion::Dtls13 => dimpl::Dtls::new_13(config, certificate, now),
            _ => dimpl::Dtls::new_auto(config, certificate, now),
        };
        Ok(Box::new(Instance(dtls)))
    }
}

/// str0m's face of a `dimpl::Dtls`.
struct Instance(dimpl::Dtls);

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Instance")
    }
}

impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buffer: &'a mut [u8]) -> DtlsOutput<'a> {
        self.0.poll_output(buffer)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}
