//! Keys that DTLS would not have agreed on: those of AES-CM, and further ones in the middle.

use std::cell::Cell;
use std::sync::Arc;

use str0m::config::CryptoProvider;
use str0m::crypto::dtls::{DtlsOutput, KeyingMaterial, SrtpProfile};

use crate::Identity;
use crate::support::Ends;

thread_local! {
    static INJECTED: Cell<Injected> = const { Cell::new(Injected { without_gcm: false, round: 0 }) };
}

/// What a test wants of all DTLS of its thread.
#[derive(Debug, Clone, Copy)]
struct Injected {
    without_gcm: bool,
    round: u8,
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
    let round = 0;
    INJECTED.set(Injected { without_gcm, round });
    let identity = Identity::generate().expect("an identity");
    let crypto = identity.crypto().clone();
    (identity, Some(crypto))
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
#[derive(Debug, Default)]
pub(crate) struct Rekeyed {
    round: u8,
    keyed: bool,
}

impl Rekeyed {
    /// What DTLS puts out, or the keys that are to be injected. The exporter would give a prefix for
    /// AES-CM.
    pub(crate) fn instead_of<'a>(&mut self, output: DtlsOutput<'a>) -> DtlsOutput<'a> {
        let Injected { without_gcm, round } = INJECTED.get();
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
