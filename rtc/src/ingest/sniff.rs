//! Recognises bodies of the wrong format by how they begin.

use super::{BitstreamError, Container};

/// Bytes that decide.
pub(super) const SNIFF_BYTES: usize = 12;

/// Names what `head`, the first bytes of a body, is where that is not `wanted`. Formats that are
/// not known pass.
pub(super) fn check(head: &[u8], wanted: Container) -> Result<(), BitstreamError> {
    let (found, carries) = match recognise(head) {
        Some(recognised) => recognised,
        None => return Ok(()),
    };
    if carries == Some(wanted) {
        return Ok(());
    }
    let remedy = match (carries, wanted) {
        (Some(Container::AnnexB), _) => "send it as video/h264",
        (Some(Container::Ivf), _) => "send it as video/x-ivf",
        (Some(Container::Ogg), _) => "send it as audio/ogg",
        (None, Container::AnnexB) => {
            "add -f h264 (ffmpeg: -c copy -bsf:v h264_mp4toannexb -f h264 -)"
        }
        (None, Container::Ivf) => "add -f ivf (ffmpeg: -c:v libvpx -f ivf -)",
        (None, Container::Ogg) => "add -f ogg (ffmpeg: -vn -c:a libopus -f ogg -)",
    };
    let wanted = match wanted {
        Container::AnnexB => "a raw H.264 stream",
        Container::Ivf => "an IVF stream",
        Container::Ogg => "an Ogg stream",
    };
    Err(BitstreamError::WrongContainer {
        found,
        wanted,
        remedy,
    })
}

fn recognise(head: &[u8]) -> Option<(&'static str, Option<Container>)> {
    let brand = head.get(4..8);
    Some(match head {
        [b'D', b'K', b'I', b'F', ..] => ("an IVF stream", Some(Container::Ivf)),
        [b'O', b'g', b'g', b'S', ..] => ("an Ogg stream", Some(Container::Ogg)),
        [0, 0, 1, 0xba, ..] => ("an MPEG program stream", None),
        [0, 0, 1, 0..=0x7f, ..] | [0, 0, 0, 1, 0..=0x7f, ..] => {
            ("a raw H.264 stream", Some(Container::AnnexB))
        }
        [0x1a, 0x45, 0xdf, 0xa3, ..] => ("a Matroska or WebM file", None),
        [b'F', b'L', b'V', ..] => ("an FLV file", None),
        [b'R', b'I', b'F', b'F', ..] => ("an AVI or WAV file", None),
        // Sync byte, no error, payload present, and the PID of a PAT or an SDT.
        [0x47, 0x40, 0x00 | 0x11, 0x10..=0x3f, ..] => ("an MPEG transport stream", None),
        _ if matches!(brand, Some(b"ftyp" | b"styp" | b"moov" | b"moof" | b"mdat")) => {
            ("an MP4 file", None)
        }
        _ => return None,
    })
}
