//! The ciphers that str0m is given: for RTCP alone, with our numbers in its sender reports.

use str0m::crypto::{
    AeadAes128GcmCipher, AeadAes256GcmCipher, CryptoError, SrtpProvider, SupportedAeadAes128Gcm,
    SupportedAeadAes256Gcm, SupportedAes128CmSha1_80,
};

use super::hooks;

/// Second byte of an RTCP packet (RFC 5761 §4). Payload types that would look like it are never
/// negotiated.
const RTCP_TYPES: std::ops::RangeInclusive<u8> = 192..=223;
/// Sender report (RFC 3550 §6.4.1), and its length without report blocks.
const SENDER_REPORT: u8 = 200;
const SENDER_REPORT_BYTES: usize = 28;
/// Header and SSRC of a compound's first packet, which SRTCP leaves in the clear (RFC 3711 §3.4).
const CLEAR_BYTES: usize = 8;

/// str0m's SRTP ciphers, except that those of AES-GCM encrypt nothing but RTCP: RTP packets of such
/// sessions are ours, and two who count indices under one key would use a nonce twice.
#[derive(Debug)]
pub(crate) struct GuardedSrtp;

/// An encrypting cipher behind that guard.
#[derive(Debug)]
pub(crate) struct Guarded<C>(C);

fn plain() -> &'static dyn SrtpProvider {
    str0m_aws_lc_rs::default_provider().srtp_provider
}

impl SrtpProvider for GuardedSrtp {
    fn aes_128_cm_sha1_80(&self) -> &'static dyn SupportedAes128CmSha1_80 {
        plain().aes_128_cm_sha1_80()
    }

    fn aead_aes_128_gcm(&self) -> &'static dyn SupportedAeadAes128Gcm {
        &Self
    }

    fn aead_aes_256_gcm(&self) -> &'static dyn SupportedAeadAes256Gcm {
        &Self
    }

    fn srtp_aes_128_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        plain().srtp_aes_128_ecb_round(key, input, output);
    }

    fn srtp_aes_256_ecb_round(&self, key: &[u8], input: &[u8], output: &mut [u8]) {
        plain().srtp_aes_256_ecb_round(key, input, output);
    }
}

/// The same for both key lengths, which str0m has separate traits for.
macro_rules! guarded {
    ($factory:ident, $cipher:ident, $method:ident, $key_bytes:literal) => {
        impl $factory for GuardedSrtp {
            fn create_cipher(&self, key: [u8; $key_bytes], encrypt: bool) -> Box<dyn $cipher> {
                let cipher = plain().$method().create_cipher(key, encrypt);
                if encrypt {
                    Box::new(Guarded(cipher))
                } else {
                    cipher
                }
            }
        }

        impl $cipher for Guarded<Box<dyn $cipher>> {
            fn encrypt(
                &mut self,
                iv: &[u8; 12],
                aad: &[u8],
                input: &[u8],
                output: &mut [u8],
            ) -> Result<(), CryptoError> {
                let compound = checked(aad, input)?;
                self.0.encrypt(iv, aad, &compound[CLEAR_BYTES..], output)
            }

            fn decrypt(
                &mut self,
                iv: &[u8; 12],
                aads: &[&[u8]],
                input: &[u8],
                output: &mut [u8],
            ) -> Result<usize, CryptoError> {
                self.0.decrypt(iv, aads, input, output)
            }
        }
    };
}

guarded!(
    SupportedAeadAes128Gcm,
    AeadAes128GcmCipher,
    aead_aes_128_gcm,
    16
);
guarded!(
    SupportedAeadAes256Gcm,
    AeadAes256GcmCipher,
    aead_aes_256_gcm,
    32
);

/// The compound RTCP packet that is to be encrypted, with our numbers in it; an error for anything
/// else, which in str0m ends the session.
fn checked(aad: &[u8], input: &[u8]) -> Result<Vec<u8>, CryptoError> {
    let clear = aad.get(..CLEAR_BYTES);
    let Some(clear) = clear.filter(|clear| RTCP_TYPES.contains(&clear[1])) else {
        return Err(CryptoError::Other(
            "RTP of this session is not sealed here".into(),
        ));
    };
    let mut compound = [clear, input].concat();
    correct(&mut compound);
    Ok(compound)
}

/// Puts our counts and our RTP time into the sender reports of a compound.
fn correct(compound: &mut [u8]) {
    let mut rest = compound;
    while let [_, kind, high, low, ..] = *rest {
        let len = 4 * (usize::from(u16::from_be_bytes([high, low])) + 1);
        let Some((packet, behind)) = rest.split_at_mut_checked(len) else {
            return;
        };
        if kind == SENDER_REPORT && len >= SENDER_REPORT_BYTES {
            correct_report(packet);
        }
        rest = behind;
    }
}

fn correct_report(packet: &mut [u8]) {
    let ssrc = u32::from_be_bytes([packet[4], packet[5], packet[6], packet[7]]);
    let Some(report) = hooks::report(ssrc) else {
        return;
    };
    match report.rtp {
        Some(rtp) => packet[16..20].copy_from_slice(&rtp.to_be_bytes()),
        // No time to report: 0 says so (RFC 3550 §6.4.1), where a wrong one would shift the sound.
        None => packet[8..20].fill(0),
    }
    packet[20..24].copy_from_slice(&report.packets.to_be_bytes());
    packet[24..28].copy_from_slice(&report.octets.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::egress::{Report, during};

    const KEY: [u8; 16] = [7; 16];

    fn cipher() -> Box<dyn AeadAes128GcmCipher> {
        GuardedSrtp.aead_aes_128_gcm().create_cipher(KEY, true)
    }

    #[test]
    fn everything_but_rtcp_is_refused() {
        for kind in 0..=u8::MAX {
            let aad = [0x80, kind, 0, 1, 0, 0, 0, 9, 0, 0, 0, 9];
            let sealed = cipher().encrypt(&[0; 12], &aad, &[1; 100], &mut [0; 116]);
            assert_eq!(sealed.is_ok(), (192..=223).contains(&kind), "type {kind}");
        }
        let sealed = cipher().encrypt(&[0; 12], &[0x80], &[1; 16], &mut [0; 32]);
        assert!(sealed.is_err(), "too short for a header");
    }

    #[test]
    fn sender_reports_carry_our_numbers() {
        let header = |kind, words: u8, ssrc: u8| vec![0x80, kind, 0, words, 0, 0, 0, ssrc];
        let sr = |ssrc| [header(SENDER_REPORT, 6, ssrc), vec![0xee; 20]].concat();
        let sdes = [header(202, 2, 1), vec![0xdd; 4]].concat();
        let mut compound = [sr(1), sdes.clone(), sr(2), sr(3)].concat();
        let report = |ssrc: u32, rtp| Report {
            ssrc: ssrc.into(),
            packets: 5,
            octets: 600,
            rtp,
        };
        let reports = [Some(report(1, Some(0x0102_0304))), Some(report(2, None))];
        during(reports, || correct(&mut compound));
        let ours = [1, 2, 3, 4, 0, 0, 0, 5, 0, 0, 2, 88];
        assert_eq!(compound[8..16], [0xee; 8], "the time of day is str0m's");
        assert_eq!(compound[16..28], ours);
        assert_eq!(compound[28..40], sdes);
        assert_eq!(compound[48..60], [0; 12], "no time before the first packet");
        assert_eq!(compound[60..68], [0, 0, 0, 5, 0, 0, 2, 88]);
        assert_eq!(compound[76..], [0xee; 20], "not a track of this session");
        during(reports, || correct(&mut [0x80, SENDER_REPORT, 0, 9, 0]));
    }
}
