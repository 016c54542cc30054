//! DTLS that ends with AES-CM: a prefix of the same exported bytes, as the exporter would give.

use std::sync::Arc;
use std::time::Instant;

use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{
    DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, KeyingMaterial, ProtocolVersion,
    SrtpProfile,
};

use crate::Identity;
use crate::dtls::CachedDtls;
use crate::egress::keyed;
use crate::support::Ends;

/// Both sides agree on AES-CM.
#[derive(Debug)]
pub(crate) struct WithoutGcm;

impl Ends for WithoutGcm {
    fn make() -> (Identity, Option<Arc<CryptoProvider>>) {
        let made = Identity::generate().expect("an identity");
        let identity = made.with_dtls(&Self);
        let crypto = identity.crypto().clone();
        (identity, Some(crypto))
    }
}

struct Downgraded(dimpl::Dtls);

impl std::fmt::Debug for Downgraded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Downgraded")
    }
}

impl DtlsProvider for WithoutGcm {
    fn generate_certificate(&self) -> Option<DtlsCert> {
        CachedDtls.generate_certificate()
    }

    fn new_dtls(
        &self,
        certificate: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let dtls = CachedDtls.bare(certificate, now, version, mtu)?;
        Ok(Box::new(Downgraded(dtls)))
    }
}

impl DtlsInstance for Downgraded {
    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        match self.0.poll_output(buf) {
            DtlsOutput::KeyingMaterial(material, _) => {
                let (material, profile) = (&material[..60], SrtpProfile::AES128_CM_SHA1_80);
                assert!(!keyed(profile, material, self.0.is_active()));
                DtlsOutput::KeyingMaterial(KeyingMaterial::new(material), profile)
            }
            output => output,
        }
    }

    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
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

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}
