//! Connectivity checks, read before anything else sees them.
//!
//! Whoever knows the port can send STUN. So nothing of a message reaches a session before it was
//! read here, strictly and without memory of its own, and its MESSAGE-INTEGRITY was found right.
//! What is wrong gets no answer: neither 400 nor 401 nor 420 (RFC 8489 §6.3.1, §9.1.3), for each
//! would be one to an address that anybody can forge.

use aws_lc_rs::constant_time::verify_slices_are_equal;
use str0m::crypto::Sha1HmacProvider;

/// Bytes of a STUN header (RFC 8489 §5).
const HEADER_BYTES: usize = 20;
/// Type and length of an attribute (RFC 8489 §14).
const ATTRIBUTE_HEADER_BYTES: usize = 4;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_REQUEST: [u8; 2] = [0, 1];
const BINDING_ERROR: [u8; 2] = [1, 0x11];
/// 487 and its reason (RFC 8445 §16.2), as the value of ERROR-CODE (RFC 8489 §14.8).
const ROLE_CONFLICT: [u8; 17] = *b"\0\0\x04\x57Role Conflict";
/// What the CRC of FINGERPRINT is combined with (RFC 8489 §14.7).
const FINGERPRINT_XOR: u32 = 0x5354_554e;
/// Bytes of an HMAC-SHA1.
const INTEGRITY_BYTES: usize = 20;

/// Attributes of a check (RFC 8489 §18.3, RFC 8445 §16.1).
mod attribute {
    pub(super) const USERNAME: u16 = 0x0006;
    pub(super) const MESSAGE_INTEGRITY: u16 = 0x0008;
    pub(super) const ERROR_CODE: u16 = 0x0009;
    pub(super) const PRIORITY: u16 = 0x0024;
    pub(super) const USE_CANDIDATE: u16 = 0x0025;
    pub(super) const FINGERPRINT: u16 = 0x8028;
    pub(super) const ICE_CONTROLLED: u16 = 0x8029;
    /// From here on an agent may pass over what it does not know.
    pub(super) const OPTIONAL: u16 = 0x8000;
}

/// Why a STUN message is no connectivity check.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NoCheck {
    /// A response or an indication. An ICE-lite agent sends no checks, so no answer is for it.
    Other,
    Malformed,
}

/// What tells a check from another one: its transaction id (RFC 8489 §5), which is drawn at random.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transaction([u8; 12]);

/// A Binding request whose integrity is still to be [verified](Check::is_authentic).
#[derive(Debug)]
pub(crate) struct Check<'d> {
    datagram: &'d [u8],
    /// The receiver's ufrag, which is ours: what stands before the colon of USERNAME
    /// (RFC 8445 §7.2.2).
    pub(crate) ufrag: &'d str,
    pub(crate) transaction: Transaction,
    /// The sender claims our own role.
    pub(crate) controlled: bool,
    /// Where MESSAGE-INTEGRITY begins.
    integrity_at: usize,
}

impl<'d> Check<'d> {
    /// Reads a check. Each step takes four bytes of the datagram or more, so its length bounds the
    /// work.
    pub(crate) fn read(datagram: &'d [u8]) -> Result<Self, NoCheck> {
        let (header, mut rest) = datagram
            .split_at_checked(HEADER_BYTES)
            .ok_or(NoCheck::Malformed)?;
        let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
        if length != rest.len() || !length.is_multiple_of(4) || header[4..8] != MAGIC_COOKIE {
            return Err(NoCheck::Malformed);
        }
        if header[..2] != BINDING_REQUEST {
            return Err(NoCheck::Other);
        }
        let transaction = header[8..].try_into().map_err(|_| NoCheck::Malformed)?;
        let mut username = None;
        let (mut priority, mut controlled) = (false, false);
        loop {
            let at = datagram.len() - rest.len();
            let (kind, value, behind) = split_attribute(rest).ok_or(NoCheck::Malformed)?;
            match (kind, value.len()) {
                (attribute::USERNAME, 1..) if username.is_none() => username = Some(value),
                (attribute::PRIORITY, 4) => priority = true,
                (attribute::USE_CANDIDATE, 0) => {}
                (attribute::ICE_CONTROLLED, 8) => controlled = true,
                (attribute::MESSAGE_INTEGRITY, INTEGRITY_BYTES) if priority => {
                    end(datagram, behind)?;
                    let ufrag = username.and_then(local_ufrag).ok_or(NoCheck::Malformed)?;
                    return Ok(Self {
                        datagram,
                        ufrag,
                        transaction: Transaction(transaction),
                        controlled,
                        integrity_at: at,
                    });
                }
                (attribute::ICE_CONTROLLED | attribute::FINGERPRINT, _) => {
                    return Err(NoCheck::Malformed);
                }
                (attribute::OPTIONAL.., _) => {}
                // Not a check, a broken one, or one that must be understood and is not.
                _ => return Err(NoCheck::Malformed),
            }
            rest = behind;
        }
    }

    /// Whether its MESSAGE-INTEGRITY was made with `password` (RFC 8489 §14.5).
    pub(crate) fn is_authentic(&self, hmac: &dyn Sha1HmacProvider, password: &str) -> bool {
        let (signed, rest) = self.datagram.split_at(self.integrity_at);
        let integrity = &rest[ATTRIBUTE_HEADER_BYTES..][..INTEGRITY_BYTES];
        verify_slices_are_equal(&sign(hmac, password, signed), integrity).is_ok()
    }

    /// The answer that our role is not to be had (RFC 8445 §7.3.1.1). It is shorter than the check.
    pub(crate) fn role_conflict(&self, hmac: &dyn Sha1HmacProvider, password: &str) -> Vec<u8> {
        let mut answer = self.datagram[..HEADER_BYTES].to_vec();
        answer[..2].copy_from_slice(&BINDING_ERROR);
        push_attribute(&mut answer, attribute::ERROR_CODE, &ROLE_CONFLICT);
        let integrity = sign(hmac, password, &answer);
        push_attribute(&mut answer, attribute::MESSAGE_INTEGRITY, &integrity);
        // The fingerprint is made over a length that has it in.
        let behind = answer.len() + ATTRIBUTE_HEADER_BYTES + 4 - HEADER_BYTES;
        answer[2..4].copy_from_slice(&(behind as u16).to_be_bytes());
        let fingerprint = (crc32(&answer) ^ FINGERPRINT_XOR).to_be_bytes();
        push_attribute(&mut answer, attribute::FINGERPRINT, &fingerprint);
        answer
    }
}

/// MESSAGE-INTEGRITY over `signed` (RFC 8489 §14.5), as if the message ended with it. Its length
/// fits: a datagram has less than 64 kB.
fn sign(hmac: &dyn Sha1HmacProvider, password: &str, signed: &[u8]) -> [u8; INTEGRITY_BYTES] {
    let length = signed.len() + ATTRIBUTE_HEADER_BYTES + INTEGRITY_BYTES - HEADER_BYTES;
    let length = (length as u16).to_be_bytes();
    hmac.sha1_hmac(password.as_bytes(), &[&signed[..2], &length, &signed[4..]])
}

fn push_attribute(message: &mut Vec<u8>, kind: u16, value: &[u8]) {
    message.extend(kind.to_be_bytes());
    message.extend((value.len() as u16).to_be_bytes());
    message.extend(value);
    message.resize(message.len().next_multiple_of(4), 0);
}

/// Type and value of the first attribute, and what is behind its padding.
fn split_attribute(rest: &[u8]) -> Option<(u16, &[u8], &[u8])> {
    let (header, rest) = rest.split_at_checked(ATTRIBUTE_HEADER_BYTES)?;
    let kind = u16::from_be_bytes([header[0], header[1]]);
    let length = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let value = rest.get(..length)?;
    Some((kind, value, rest.get(length.next_multiple_of(4)..)?))
}

/// Behind MESSAGE-INTEGRITY there is nothing, or a right FINGERPRINT (RFC 8489 §14.7). Other things
/// there would not be covered by either.
fn end(datagram: &[u8], rest: &[u8]) -> Result<(), NoCheck> {
    if rest.is_empty() {
        return Ok(());
    }
    let before = &datagram[..datagram.len() - rest.len()];
    let made = (crc32(before) ^ FINGERPRINT_XOR).to_be_bytes();
    match split_attribute(rest) {
        Some((attribute::FINGERPRINT, value, [])) if value == made => Ok(()),
        Some(_) | None => Err(NoCheck::Malformed),
    }
}

fn local_ufrag(username: &[u8]) -> Option<&str> {
    let (local, remote) = std::str::from_utf8(username).ok()?.split_once(':')?;
    (!remote.is_empty()).then_some(local)
}

/// The CRC-32 of ISO 3309.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| crc >> 8 ^ CRC_TABLE[usize::from(crc as u8 ^ byte)];
    !bytes.iter().fold(u32::MAX, step)
}

const CRC_TABLE: [u32; 256] = {
    /// The generator polynomial, reflected.
    const POLYNOMIAL: u32 = 0xedb8_8320;
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < table.len() {
        let mut crc = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            crc = if crc & 1 == 1 {
                crc >> 1 ^ POLYNOMIAL
            } else {
                crc >> 1
            };
            bit += 1;
        }
        table[byte] = crc;
        byte += 1;
    }
    table
};

#[cfg(test)]
mod tests;
