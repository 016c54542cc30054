//! Keys that DTLS would not have agreed on: those of AES-CM, and further ones in the middle.

use std::cell::Cell;
use std::sync::Arc;
use std::time::Instant;

use str0m::config::{CryptoProvider, DtlsCert, DtlsVersion};
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsInstance, DtlsOutput, DtlsProvider, KeyingMaterial, SrtpProfile};

use crate::Identity;
use crate::dtls::CachedDtls;
use crate::support::Ends;

thread_local! {
    static INJECTED: Cell<Injected> = const { Cell::new(Injected {
        without_gcm: false,
        round: 0,
        of_viewer: false,
    }) };
}

/// What a test wants of all DTLS of its thread.
#[derive(Debug, Clone, Copy)]
struct Injected {
    without_gcm: bool,
    round: u8,
    /// What is made next is a viewer's.
    of_viewer: bool,
}

/// The plane's DTLS, except that it gives its keys to str0m.
#[derive(Debug)]
struct ViewersDtls;

impl DtlsProvider for ViewersDtls {
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
        let before = INJECTED.get();
        let of_viewer = true;
        INJECTED.set(Injected {
            of_viewer,
            ..before
        });
        let made = CachedDtls.new_dtls(certificate, now, version, mtu);
        INJECTED.set(before);
        made
    }
}

/// Both sides agree on AES-CM.
pub(crate) struct WithoutGcm;

/// Both sides have the plane's DTLS, and agree on AES-GCM.
pub(crate) struct WithGcm;

impl Ends for WithoutGcm {
    fn make() -> (Identity, Option<Arc<CryptoProvider>>) {
        ours(true)
    }
}

impl Ends for WithGcm {
    fn make() -> (Identity, Option<Arc<CryptoProvider>>) {
        ours(false)
    }
}

fn ours(without_gcm: bool) -> (Identity, Option<Arc<CryptoProvider>>) {
    INJECTED.set(Injected {
        without_gcm,
        round: 0,
        of_viewer: false,
    });
    let identity = Identity::generate().expect("an identity");
    let mut crypto = CryptoProvider::clone(identity.crypto());
    crypto.dtls_provider = &ViewersDtls;
    (identity, Some(Arc::new(crypto)))
}

/// Has both sides of every session get other keys with what their DTLS says next. Returns those keys.
pub(crate) fn rekey() -> Vec<u8> {
    let mut injected = INJECTED.get();
    injected.round += 1;
    INJECTED.set(injected);
    material(injected.round)
}

fn material(round: u8) -> Vec<u8> {
    let bytes = SrtpProfile::AEAD_AES_256_GCM.keying_material_len();
    (0..bytes).map(|at| at as u8 ^ round << 4).collect()
}

/// How often a DTLS has been given other keys.
#[derive(Debug)]
pub(crate) struct Rekeyed {
    round: u8,
    keyed: bool,
    pub(crate) of_viewer: bool,
}

impl Rekeyed {
    pub(crate) fn new() -> Self {
        Self {
            round: 0,
            keyed: false,
            of_viewer: INJECTED.get().of_viewer,
        }
    }

    /// What DTLS puts out, or the keys that are to be injected. The exporter would give a prefix for
    /// AES-CM.
    pub(crate) fn instead_of<'a>(&mut self, output: DtlsOutput<'a>) -> DtlsOutput<'a> {
        let Injected {
            without_gcm, round, ..
        } = INJECTED.get();
        let keys = match output {
            DtlsOutput::KeyingMaterial(agreed, profile) if !self.keyed => {
                self.keyed = true;
                if !without_gcm {
                    return DtlsOutput::KeyingMaterial(agreed, profile);
                }
                agreed.to_vec()
            }
            // A timeout ends a poll, so that nothing is lost when it comes later.
            DtlsOutput::Timeout(_) if self.keyed && self.round != round => material(round),
            output => return output,
        };
        self.round = round;
        let profile = if without_gcm {
            SrtpProfile::AES128_CM_SHA1_80
        } else {
            SrtpProfile::AEAD_AES_256_GCM
        };
        let keys = KeyingMaterial::new(&keys[..profile.keying_material_len()]);
        DtlsOutput::KeyingMaterial(keys, profile)
    }
}
