//! The process's DTLS identity, and a provider that validates its configuration once.

use std::cell::Cell;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion};

use crate::IdentityError;
use crate::egress::{self, PROBE};
#[cfg(test)]
use crate::rekeyed::Rekeyed;
use crate::sctp::Gate;
use crate::signing::SharedKeys;

/// Certificate, key and DTLS configuration of the process. Cheap to clone; every shard uses the
/// same.
#[derive(Clone)]
pub struct Identity {
    certificate: DtlsCert,
    crypto: Arc<CryptoProvider>,
    fingerprint: String,
}

impl Identity {
    /// Makes a key (ECDSA P-256) and a self-signed certificate.
    ///
    /// # Errors
    /// When the crypto library fails, which it does without entropy.
    pub fn generate() -> Result<Self, IdentityError> {
        let made = dimpl::certificate::generate_self_signed_certificate()
            .map_err(|e| IdentityError::Certificate(e.to_string()))?;
        let certificate = DtlsCert {
            certificate: made.certificate,
            private_key: made.private_key,
        };
        configuration(str0m::DATAGRAM_MTU_TARGET)
            .map_err(|e| IdentityError::Configuration(e.to_string()))?;
        let mut crypto = str0m_aws_lc_rs::default_provider();
        crypto.dtls_provider = &CachedDtls;
        let digest = crypto.sha256_provider.sha256(&certificate.certificate);
        let hex: Vec<String> = digest.iter().map(|b| format!("{b:02X}")).collect();
        let fingerprint = format!("sha-256 {}", hex.join(":"));
        Ok(Self {
            certificate,
            crypto: Arc::new(crypto),
            fingerprint,
        })
    }

    /// As in `a=fingerprint` (RFC 8122 §5): `sha-256 AB:CD:…`.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    pub(crate) fn certificate(&self) -> DtlsCert {
        self.certificate.clone()
    }

    pub(crate) fn crypto(&self) -> &Arc<CryptoProvider> {
        &self.crypto
    }
}

/// First time until a flight of the handshake is sent again; it doubles each time. ICE has shown that
/// the peer answers within less, where the second that RFC 6347 §4.2.4.1 gives an unknown path makes
/// one lost datagram a second of black, and two of them three.
const FLIGHT_RTO: Duration = Duration::from_millis(250);
/// How often a flight is sent again: for 32 s, within the time that a handshake may take.
const FLIGHT_RETRIES: usize = 6;

thread_local! {
    /// The session whose turn it is says goodbye.
    static CLOSING: Cell<bool> = const { Cell::new(false) };
    /// SCTP packets that the gate has kept back since they were last taken.
    static KEPT_BACK: Cell<u64> = const { Cell::new(0) };
}

/// SCTP packets that were kept back in the turn before.
pub(crate) fn take_kept_back() -> u64 {
    KEPT_BACK.take()
}

/// Runs a session's turn in which DTLS is closed, whatever str0m thinks of it. The turn must not
/// panic.
pub(crate) fn closing<R>(turn: impl FnOnce() -> R) -> R {
    CLOSING.set(true);
    let result = turn();
    CLOSING.set(false);
    result
}

/// A `DtlsProvider` like str0m's, except that `dimpl::Config`, which tries out the whole crypto
/// provider while it is built (0.6 ms), is built once per process instead of once per session.
#[derive(Debug)]
pub(crate) struct CachedDtls;

static CONFIGURATION: OnceLock<Arc<dimpl::Config>> = OnceLock::new();

/// What a simulation has DTLS draw from.
#[cfg(feature = "fault-injection")]
static SEED: OnceLock<u64> = OnceLock::new();

/// Has all identities of this process that are made from now on draw the times at which a flight is
/// sent again, and the nonces of handshakes, from a seed: for simulations, where a seed is to play the
/// same schedule each time. Keys are drawn as ever, but DTLS wants those nonces to be unpredictable: no
/// server may call this.
#[cfg(feature = "fault-injection")]
pub fn seed_dtls(seed: u64) {
    // The first one holds.
    let _ = SEED.set(seed);
}

/// The cached configuration, or one for another MTU than str0m's default.
fn configuration(mtu: usize) -> Result<Arc<dimpl::Config>, dimpl::Error> {
    if let Some(config) = CONFIGURATION.get()
        && config.mtu() == mtu
    {
        return Ok(config.clone());
    }
    let builder = dimpl::Config::builder();
    #[cfg(feature = "fault-injection")]
    let builder = match SEED.get() {
        Some(seed) => builder.dangerously_set_rng_seed(*seed),
        None => builder,
    };
    let mut crypto = str0m_aws_lc_rs::dimpl_crypto_provider();
    crypto.key_provider = &SharedKeys;
    let built = builder
        // ICE has shown the peer's address to be real before DTLS begins.
        .use_server_cookie(false)
        .mtu(mtu)
        .flight_start_rto(FLIGHT_RTO)
        .flight_retries(FLIGHT_RETRIES)
        .with_crypto_provider(crypto)
        .build()?;
    let built = Arc::new(built);
    if mtu == str0m::DATAGRAM_MTU_TARGET {
        // Another shard may have been first; either will do.
        let _ = CONFIGURATION.set(built.clone());
    }
    Ok(built)
}

impl DtlsProvider for CachedDtls {
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
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let config = configuration(mtu.unwrap_or(str0m::DATAGRAM_MTU_TARGET))
            .map_err(|e| CryptoError::Other(format!("DTLS configuration: {e}")))?;
        let certificate = dimpl::DtlsCertificate {
            certificate: certificate.certificate.clone(),
            private_key: certificate.private_key.clone(),
        };
        let dtls = match version {
            DtlsVersion::Dtls12 => dimpl::Dtls::new_12(config, certificate, now),
            DtlsVersion::Dtls13 => dimpl::Dtls::new_13(config, certificate, now),
            DtlsVersion::Auto => dimpl::Dtls::new_auto(config, certificate, now),
            other => return Err(CryptoError::Other(format!("unknown DTLS version {other}"))),
        };
        Ok(Box::new(Instance {
            dtls,
            gate: Gate::default(),
            #[cfg(test)]
            rekeyed: Rekeyed::new(),
        }))
    }
}

/// Stands for an output that str0m does not get: no packet, which SCTP passes over.
const NOTHING: DtlsOutput<'static> = DtlsOutput::ApplicationData(&[]);

/// str0m's face of a `dimpl::Dtls`.
struct Instance {
    dtls: dimpl::Dtls,
    gate: Gate,
    #[cfg(test)]
    rekeyed: Rekeyed,
}

impl std::fmt::Debug for Instance {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Instance")
    }
}

impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        self.dtls.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.dtls.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        if CLOSING.get() && !self.dtls.is_closing() && !self.dtls.is_closed() {
            // Before the end of the handshake there is nobody to tell, and nothing to tell it with.
            let _ = self.dtls.close();
        }
        if buf.len() >= PROBE.len() && egress::take_probe() {
            let probe = &mut buf[..PROBE.len()];
            probe.copy_from_slice(&PROBE);
            return DtlsOutput::Packet(probe);
        }
        let output = self.dtls.poll_output(buf);
        #[cfg(test)]
        let output = self.rekeyed.instead_of(output);
        match &output {
            DtlsOutput::KeyingMaterial(material, profile) => {
                let ours = egress::keyed(*profile, material.as_ref(), self.dtls.is_active());
                #[cfg(test)]
                let ours = ours && !self.rekeyed.of_viewer;
                if ours {
                    // Whoever has no key can use no nonce twice.
                    return NOTHING;
                }
            }
            DtlsOutput::ApplicationData(packet) if !self.gate.admits(packet) => {
                KEPT_BACK.set(KEPT_BACK.get() + 1);
                return NOTHING;
            }
            _ => {}
        }
        output
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.dtls.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.dtls.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.dtls.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.dtls.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.dtls.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.dtls.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.dtls.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configuration_is_built_once() {
        Identity::generate().unwrap();
        let first = configuration(str0m::DATAGRAM_MTU_TARGET).unwrap();
        let second = configuration(str0m::DATAGRAM_MTU_TARGET).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn each_identity_has_a_key_of_its_own() {
        let (a, b) = (Identity::generate().unwrap(), Identity::generate().unwrap());
        assert_ne!(a.fingerprint(), b.fingerprint());
        assert_eq!(a.fingerprint().len(), "sha-256 ".len() + 32 * 3 - 1);
        assert_eq!(a.clone().fingerprint(), a.fingerprint());
    }
}
