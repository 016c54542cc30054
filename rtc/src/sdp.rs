//! Offers as we write them, answers as we take them.
//!
//! str0m consumes the pending offer when an answer comes, and changes the session before it finds a
//! fault in it. So an answer is checked here first, against the offer and as strictly as str0m
//! will: a bad one then leaves the offer open.

use std::panic::{AssertUnwindSafe, catch_unwind};

use str0m::IceCreds;
use str0m::change::SdpAnswer;
use str0m::format::{Codec as Format, CodecSpec, FormatParams, PayloadParams};
use str0m::media::{Frequency, Pt};

use crate::Codec;

/// Longest SDP taken, in bytes. A browser's answer to our offer has 3 kB.
pub const MAX_SDP_BYTES: usize = 64 << 10;

/// Longest candidate taken, in bytes. A browser's have 200.
pub const MAX_CANDIDATE_BYTES: usize = 1 << 10;
/// What of an answer is given to str0m's parser, which takes microseconds for a line: lines and bytes
/// without candidates and what nobody asks for. A browser's answer has 100 lines.
const KEPT_LINES: usize = 256;
const KEPT_BYTES: usize = 16 << 10;
/// Attributes of an answer that mean something to a sender. Of those that describe what the viewer
/// would send (`ssrc`, `rid`, `simulcast`) str0m would keep a stream each.
const KEPT_ATTRIBUTES: [&str; 21] = [
    "group",
    "ice-ufrag",
    "ice-pwd",
    "ice-options",
    "fingerprint",
    "setup",
    "mid",
    "sendrecv",
    "sendonly",
    "recvonly",
    "inactive",
    "rtcp",
    "rtcp-mux",
    "rtcp-rsize",
    "rtpmap",
    "fmtp",
    "rtcp-fb",
    "extmap",
    "extmap-allow-mixed",
    "sctp-port",
    "max-message-size",
];
/// Hashes of certificates that str0m can make, the preferred one first, and the bytes of each.
const HASHES: [(&str, usize); 2] = [("sha-256", 32), ("sha-1", 20)];
/// Characters of a fault that are told.
const FAULT_CHARS: usize = 300;
/// Payload types that one section of an answer may name: more than there are for all of RTP that is
/// not RTCP (RFC 5761 §4). Each is looked for among the `a=rtpmap` lines.
const MAX_FORMATS: usize = 128;

/// Constrained baseline, level 3.1 (1280×720 at 30 fps): what every browser decodes, offered while
/// the source's own level is unknown.
const DEFAULT_PROFILE_LEVEL_ID: u32 = 0x42_e01f;
/// Levels of H.264 (`level_idc`; ISO/IEC 14496-10 table A-1) from 3.1, the least that is offered.
const LEVELS: [u8; 9] = [31, 32, 40, 41, 42, 50, 51, 52, 60];
/// The highest level that browsers, and str0m, know.
const MAX_LEVEL: u8 = 52;

/// What is offered: H.264 and VP8 with retransmission, and Opus.
///
/// `profile_level_id` is that of the source's SPS. A profile that contains the source's, with at
/// least its level, is offered (RFC 6184 §8.2.2).
pub(crate) fn offered_formats(profile_level_id: Option<u32>) -> Vec<PayloadParams> {
    let h264 = FormatParams {
        level_asymmetry_allowed: Some(true),
        packetization_mode: Some(1),
        profile_level_id: Some(offered_profile(profile_level_id)),
        ..FormatParams::default()
    };
    let opus = FormatParams {
        min_p_time: Some(10),
        use_inband_fec: Some(true),
        ..FormatParams::default()
    };
    let video = Frequency::NINETY_KHZ;
    let audio = Frequency::FORTY_EIGHT_KHZ;
    let mut formats = vec![
        format(102, Some(103), Format::H264, video, None, h264),
        format(
            96,
            Some(97),
            Format::Vp8,
            video,
            None,
            FormatParams::default(),
        ),
        format(111, None, Format::Opus, audio, Some(2), opus),
    ];
    for format in &mut formats {
        // Bandwidth is not estimated, so nothing is done with either.
        format.set_fb_transport_cc(false);
        format.set_fb_remb(false);
    }
    formats
}

fn format(
    pt: u8,
    resend: Option<u8>,
    codec: Format,
    clock_rate: Frequency,
    channels: Option<u8>,
    format: FormatParams,
) -> PayloadParams {
    let spec = CodecSpec {
        codec,
        clock_rate,
        channels,
        format,
    };
    PayloadParams::new(Pt::from(pt), resend.map(Pt::from), spec)
}

fn offered_profile(source: Option<u32>) -> u32 {
    let Some(source) = source else {
        return DEFAULT_PROFILE_LEVEL_ID;
    };
    let [_, profile, _, level] = source.to_be_bytes();
    // Baseline encoders use none of what constrained baseline leaves out (FMO, ASO, redundant
    // slices), whether they set constraint_set1_flag or not.
    let offered = match profile {
        66 => 0x42_e000,
        77 => 0x4d_0000,
        _ => 0x64_0000,
    };
    let level = LEVELS
        .into_iter()
        .find(|known| *known >= level)
        .unwrap_or(MAX_LEVEL);
    offered | u32::from(level.min(MAX_LEVEL))
}

/// Our name of a negotiated format.
pub(crate) fn codec_of(params: &PayloadParams) -> Option<Codec> {
    match params.spec().codec {
        Format::H264 => Some(Codec::H264),
        Format::Vp8 => Some(Codec::Vp8),
        Format::Opus => Some(Codec::Opus),
        _ => None,
    }
}

/// Puts our own credentials in the place of those that str0m drew, and a version into the origin
/// that grows with every offer (RFC 8866 §5.2).
pub(crate) fn finish_offer(
    sdp: &str,
    version: u64,
    drawn: Option<&IceCreds>,
    ours: &IceCreds,
) -> String {
    let mut sdp = match drawn {
        Some(drawn) => sdp
            .replace(&drawn.ufrag, &ours.ufrag)
            .replace(&drawn.pass, &ours.pass),
        None => sdp.to_owned(),
    };
    let origin = sdp
        .find("o=")
        .and_then(|at| Some((at, at + sdp[at..].find("\r\n")?)));
    if let Some((start, end)) = origin {
        let id = sdp[start..end].split(' ').nth(1).unwrap_or("0");
        let line = format!("o=- {id} {version} IN IP4 0.0.0.0");
        sdp.replace_range(start..end, &line);
    }
    sdp
}

/// What matters of a description, read line by line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Description {
    pub(crate) ufrag: Option<String>,
    pub(crate) password: Option<String>,
    /// Sections before the levels that those two were found at.
    credentials_at: [usize; 2],
    /// The one that str0m will hold the certificate against.
    pub(crate) fingerprint: Option<String>,
    /// Sections before the level that it was found at.
    fingerprint_at: usize,
    /// `a=candidate` values, without the `a=`.
    pub(crate) candidates: Vec<String>,
    ice_lite: bool,
    group: Option<Vec<String>>,
    sections: Vec<Section>,
}

/// A media section (RFC 8866 §5.14).
#[derive(Debug, Default, PartialEq, Eq)]
struct Section {
    kind: String,
    rejected: bool,
    formats: Vec<String>,
    /// Payload types of `a=rtpmap` lines.
    mapped: Vec<String>,
    mids: Vec<String>,
    setups: Vec<String>,
    directions: usize,
}

impl Description {
    /// Reads `sdp`. It finds what it looks for and passes over the rest.
    pub(crate) fn read(sdp: &str) -> Result<Self, String> {
        if sdp.len() > MAX_SDP_BYTES {
            return Err(format!(
                "it has {} bytes, at most {MAX_SDP_BYTES} are taken",
                sdp.len()
            ));
        }
        if !sdp.starts_with("v=0") {
            return Err("it does not begin with \"v=0\"".into());
        }
        let mut description = Self::default();
        for line in sdp.lines() {
            if let Some(media) = line.strip_prefix("m=") {
                description.sections.push(Section::read(media));
            } else if let Some(attribute) = line.strip_prefix("a=") {
                description.attribute(attribute);
            }
        }
        Ok(description)
    }

    fn attribute(&mut self, attribute: &str) {
        let (name, value) = attribute.split_once(':').unwrap_or((attribute, ""));
        let level = self.sections.len();
        let first = |slot: &mut Option<String>, at: &mut usize| {
            if slot.is_none() {
                *slot = Some(value.trim().to_owned());
                *at = level;
            }
        };
        let [ufrag_at, password_at] = &mut self.credentials_at;
        match name {
            "ice-ufrag" => first(&mut self.ufrag, ufrag_at),
            "ice-pwd" => first(&mut self.password, password_at),
            "fingerprint" => self.fingerprint(value.trim()),
            "ice-lite" => self.ice_lite = true,
            "candidate" => self.candidates.push(attribute.trim().to_owned()),
            "group" if self.sections.is_empty() && self.group.is_none() => {
                let mut words = value.split_whitespace();
                if words.next() == Some("BUNDLE") {
                    self.group = Some(words.map(str::to_owned).collect());
                }
            }
            _ => {}
        }
        let Some(section) = self.sections.last_mut() else {
            return;
        };
        match name {
            "mid" => section.mids.push(value.trim().to_owned()),
            "rtpmap" => {
                section
                    .mapped
                    .push(value.split(' ').next().unwrap_or("").to_owned());
            }
            "setup" => section.setups.push(value.trim().to_owned()),
            "sendrecv" | "sendonly" | "recvonly" | "inactive" => section.directions += 1,
            _ => {}
        }
    }

    /// A peer may name a certificate by several hashes (RFC 8122 §5): that of the session, or else of the first
    /// section, which is preferred.
    fn fingerprint(&mut self, value: &str) {
        let at = self.sections.len();
        let better = match &self.fingerprint {
            None => true,
            Some(held) => at == self.fingerprint_at && preference(value) < preference(held),
        };
        if better {
            self.fingerprint = Some(value.to_owned());
            self.fingerprint_at = at;
        }
    }

    /// Whether this can be the answer to `offer`.
    pub(crate) fn check_answers(&self, offer: &Description) -> Result<(), String> {
        if self.ice_lite {
            return Err(
                "a=ice-lite: the server is an ICE-lite agent, so the viewer cannot be".into(),
            );
        }
        if self.ufrag.as_deref().unwrap_or("").is_empty()
            || self.password.as_deref().unwrap_or("").is_empty()
        {
            return Err("a=ice-ufrag or a=ice-pwd is missing".into());
        }
        // str0m takes those of one section, as every agent writes them (RFC 8839 §5.4).
        let [ufrag_at, password_at] = self.credentials_at;
        if ufrag_at != password_at {
            return Err("a=ice-ufrag and a=ice-pwd stand in different media sections".into());
        }
        let fingerprint = self
            .fingerprint
            .as_deref()
            .ok_or("a=fingerprint is missing")?;
        let hash = hash_of(fingerprint);
        let Some((_, bytes)) = HASHES.get(preference(fingerprint)) else {
            return Err(format!("a=fingerprint uses {hash}; sha-256 is understood"));
        };
        if !is_digest(&fingerprint[hash.len()..], *bytes) {
            return Err(format!(
                "a=fingerprint is not {bytes} pairs of hexadecimal digits with colons between them"
            ));
        }
        if self.sections.len() != offer.sections.len() {
            return Err(format!(
                "it has {} media sections where the offer has {}",
                self.sections.len(),
                offer.sections.len()
            ));
        }
        for (ours, theirs) in offer.sections.iter().zip(&self.sections) {
            theirs.check_answers(ours)?;
        }
        self.check_bundle()
    }

    fn check_bundle(&self) -> Result<(), String> {
        let group = self.group.as_ref().ok_or("a=group:BUNDLE is missing")?;
        let bundled: Vec<&String> = self
            .sections
            .iter()
            .flat_map(|section| section.mids.first().map(|mid| (section.rejected, mid)))
            .filter(|(rejected, mid)| !rejected || group.contains(mid))
            .map(|(_, mid)| mid)
            .collect();
        if group.iter().eq(bundled) {
            Ok(())
        } else {
            Err("a=group:BUNDLE does not list the accepted media sections in their order".into())
        }
    }
}

/// The hash that a fingerprint was made with.
fn hash_of(fingerprint: &str) -> &str {
    fingerprint.split(' ').next().unwrap_or("")
}

/// The place of its hash among those that are understood.
fn preference(fingerprint: &str) -> usize {
    let hash = hash_of(fingerprint);
    let mut known = HASHES.iter();
    let place = known.position(|(known, _)| known.eq_ignore_ascii_case(hash));
    place.unwrap_or(HASHES.len())
}

/// Whether that is so many bytes as RFC 8122 §5 writes them. What is not, str0m does not see.
fn is_digest(value: &str, bytes: usize) -> bool {
    let is_byte =
        |pair: &str| pair.len() == 2 && pair.bytes().all(|digit| digit.is_ascii_hexdigit());
    let mut pairs = value.trim().split(':');
    pairs
        .by_ref()
        .take(bytes)
        .filter(|pair| is_byte(pair))
        .count()
        == bytes
        && pairs.next().is_none()
}

impl Section {
    fn read(media: &str) -> Self {
        let mut words = media.split_whitespace();
        let kind = words.next().unwrap_or("").to_owned();
        let rejected = words.next() == Some("0");
        let formats = words.skip(1).map(str::to_owned).collect();
        Self {
            kind,
            rejected,
            formats,
            ..Self::default()
        }
    }

    fn check_answers(&self, offer: &Section) -> Result<(), String> {
        let mid = offer.mids.first().map_or("", String::as_str);
        if self.mids.len() != 1 || self.mids[0] != mid || self.kind != offer.kind {
            return Err(format!(
                "the offer's {} section with a=mid:{mid} is not at its place",
                offer.kind
            ));
        }
        match self.setups.as_slice() {
            [] => {}
            [role] if matches!(role.as_str(), "active" | "passive" | "actpass") => {}
            [role] => return Err(format!("a=setup:{role} is no DTLS role of an answer")),
            [_, _, ..] => return Err(format!("a=setup is repeated in the section of a=mid:{mid}")),
        }
        if self.kind != "application" && self.directions != 1 {
            return Err(format!(
                "the section of a=mid:{mid} needs exactly one direction"
            ));
        }
        if self.kind != "application" && self.formats.is_empty() && !self.rejected {
            return Err(format!("the section of a=mid:{mid} names no format"));
        }
        if self.formats.len() > MAX_FORMATS {
            return Err(format!(
                "the section of a=mid:{mid} names more than {MAX_FORMATS} formats"
            ));
        }
        if self.kind != "application" {
            for format in &self.formats {
                if self
                    .mapped
                    .iter()
                    .filter(|mapped| *mapped == format)
                    .count()
                    != 1
                {
                    return Err(format!("format {format} needs exactly one a=rtpmap"));
                }
            }
        }
        Ok(())
    }
}

/// Parses what matters of an answer. Its candidates do not: an ICE-lite agent makes no checks, and
/// each of them would cost it memory for the life of the session.
pub(crate) fn parse_answer(sdp: &str) -> Result<SdpAnswer, String> {
    let mut kept = String::with_capacity(sdp.len().min(KEPT_BYTES));
    let mut lines = 0;
    for line in sdp.lines().filter(|line| is_kept(line)) {
        lines += 1;
        kept.push_str(line);
        kept.push_str("\r\n");
        if lines > KEPT_LINES || kept.len() > KEPT_BYTES {
            return Err(format!(
                "it says more than an answer needs: at most {KEPT_LINES} lines and {KEPT_BYTES} \
                 bytes are taken, candidates aside"
            ));
        }
    }
    // The parser is pure, so nothing is left half done if it should panic.
    match catch_unwind(AssertUnwindSafe(|| SdpAnswer::from_sdp_string(&kept))) {
        Ok(parsed) => parsed.map_err(|e| one_line(&e.to_string())),
        Err(_) => Err("it cannot be parsed".into()),
    }
}

fn is_kept(line: &str) -> bool {
    let Some(attribute) = line.strip_prefix("a=") else {
        return !line.is_empty();
    };
    let name = attribute
        .split_once(':')
        .map_or(attribute, |(name, _)| name);
    KEPT_ATTRIBUTES.contains(&name.trim())
}

/// Checks a candidate attribute (RFC 8839 §5.1), with or without `a=`. False for those that stand
/// for nothing here: the empty one that ends them (RFC 8838 §14), mDNS names, other transports than
/// UDP.
pub(crate) fn is_usable_candidate(candidate: &str) -> Result<bool, String> {
    if candidate.len() > MAX_CANDIDATE_BYTES {
        return Err(format!(
            "it has {} bytes, at most {MAX_CANDIDATE_BYTES} are taken",
            candidate.len()
        ));
    }
    let text = candidate.trim();
    let text = text.strip_prefix("a=").unwrap_or(text);
    if text.is_empty() || text == "end-of-candidates" {
        return Ok(false);
    }
    let words: Vec<&str> = text.split_whitespace().take(6).collect();
    let [_, _, transport, _, address, _] = words[..] else {
        return Err("it needs foundation, component, transport, priority, address and port".into());
    };
    if address.ends_with(".local") || !transport.eq_ignore_ascii_case("udp") {
        return Ok(false);
    }
    let text = if text.starts_with("candidate:") {
        text.to_owned()
    } else {
        format!("candidate:{text}")
    };
    str0m::Candidate::from_sdp_string(&text)
        .map(|_| true)
        .map_err(|e| one_line(&e.to_string()))
}

/// Parser errors are paragraphs; a sentence in JSON is a line.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// A fault as far as it is told. Many quote what they found.
pub(crate) fn brief(fault: String) -> String {
    match fault.char_indices().nth(FAULT_CHARS) {
        None => fault,
        Some((end, _)) => format!("{}…", &fault[..end]),
    }
}

#[cfg(test)]
mod tests;
