//! What can be wrong with a published bitstream.

use super::{MAX_ACCESS_UNIT_BYTES, START_CODE_SEARCH_BYTES};
use crate::packetise::MAX_PAYLOAD_BYTES;

/// The publisher's fault: each sentence says what was found and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BitstreamError {
    /// The bytes begin like another format.
    #[error("this is {found}, not {wanted}: {remedy}")]
    WrongContainer {
        /// What the bytes are.
        found: &'static str,
        /// What was announced.
        wanted: &'static str,
        /// What to change.
        remedy: &'static str,
    },
    /// Nothing of an Annex B stream in the bytes.
    #[error(
        "no start code in the first {} KiB: send raw H.264 in Annex B form, not with lengths \
         in front of the NAL units (ffmpeg: -f h264)",
        START_CODE_SEARCH_BYTES / 1024
    )]
    NoStartCode,
    /// A NAL unit header that H.264 forbids.
    #[error(
        "a NAL unit begins with 0x{header:02x}, which H.264 forbids: send raw H.264 \
         (ffmpeg: -c:v libx264 -f h264)"
    )]
    NotH264 {
        /// The first byte of the NAL unit.
        header: u8,
    },
    /// H.265 in the place of H.264.
    #[error("this is H.265 (HEVC), which is not supported: encode H.264 (ffmpeg: -c:v libx264)")]
    H265,
    /// Slices of type B.
    #[error(
        "the stream has B-frames: encode with -bf 0 (x264: bframes=0); WebRTC plays pictures in \
         coding order"
    )]
    BFrames,
    /// The sequence may hold fields.
    #[error("the stream is interlaced: encode progressive pictures (ffmpeg: -vf yadif)")]
    Interlaced,
    /// Not 8 bits 4:2:0.
    #[error(
        "the pictures are {chroma} with {bits} bits, browsers play 4:2:0 with 8 bits: encode \
         with -pix_fmt yuv420p"
    )]
    Sampling {
        /// `4:0:0`, `4:2:2` or `4:4:4`, or `4:2:0` where the depth is at fault.
        chroma: &'static str,
        /// Bits per sample.
        bits: u32,
    },
    /// NAL unit types 2 to 4.
    #[error(
        "the stream uses data partitioning (extended profile): encode baseline, main or high \
         profile (ffmpeg: -profile:v main)"
    )]
    DataPartitioning,
    /// A parameter set that cannot be read.
    #[error("the {set} cannot be read ({fault}): the stream is damaged, or is not H.264")]
    BadParameterSet {
        /// `SPS` or `PPS`.
        set: &'static str,
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A slice header that cannot be read.
    #[error("a slice header cannot be read: the stream is damaged, or is not H.264")]
    BadSlice,
    /// Many pictures, or all of a body, without the parameter sets to decode them.
    #[error(
        "{pictures} pictures came without SPS and PPS: have the encoder send them with every \
         keyframe (ffmpeg: -bsf:v dump_extra; x264: repeat-headers=1)"
    )]
    NoParameterSets {
        /// Pictures that were left out.
        pictures: u32,
    },
    /// A body that ended without one picture.
    #[error("there is no picture in this body: send raw H.264 (ffmpeg: -c:v libx264 -f h264)")]
    NoPicture,
    /// A picture beyond [`MAX_ACCESS_UNIT_BYTES`].
    #[error(
        "a picture is larger than {} MiB: lower the bitrate, or check that this is video",
        MAX_ACCESS_UNIT_BYTES >> 20
    )]
    PictureTooLarge,
    /// A message that should hold one access unit holds several.
    #[error("one message carries more than one picture: send each access unit by itself")]
    SeveralPictures,
    /// The body ended within the header of its container.
    #[error("the body ended within the {header}: send a complete {container} stream")]
    Incomplete {
        /// The header that is cut short.
        header: &'static str,
        /// The container.
        container: &'static str,
    },
    /// An IVF file of another codec.
    #[error("this IVF stream carries {codec}: encode VP8 (ffmpeg: -c:v libvpx -f ivf)")]
    IvfCodec {
        /// The codec's name, or its FourCC.
        codec: String,
    },
    /// A broken IVF stream.
    #[error("the IVF stream is damaged: {fault}")]
    BadIvf {
        /// What is wrong with it.
        fault: &'static str,
    },
    /// A frame that is not VP8.
    #[error("a frame is not VP8 (RFC 6386): {fault}")]
    BadVp8 {
        /// What is wrong with it.
        fault: &'static str,
    },
    /// An Ogg stream of another codec.
    #[error("this Ogg stream carries {codec}: send Opus alone (ffmpeg: -vn -c:a libopus -f ogg)")]
    OggCodec {
        /// The codec's name.
        codec: &'static str,
    },
    /// A broken Ogg stream.
    #[error("the Ogg stream is damaged: {fault}")]
    BadOgg {
        /// What is wrong with it.
        fault: &'static str,
    },
    /// More than stereo.
    #[error(
        "the Opus stream has {channels} channels (mapping family {family}): send mono or stereo \
         (ffmpeg: -ac 2)"
    )]
    OpusChannels {
        /// Channels named by the header.
        channels: u8,
        /// Channel mapping family (RFC 7845 §5.1.1).
        family: u8,
    },
    /// A packet that is not Opus.
    #[error("a packet is not Opus (RFC 6716): {fault}")]
    BadOpus {
        /// What is wrong with it.
        fault: &'static str,
    },
    /// An Opus packet that fits no datagram.
    #[error(
        "an Opus packet is larger than {MAX_PAYLOAD_BYTES} bytes: lower the bitrate, or send \
         20 ms a packet (ffmpeg: -b:a 128k -frame_duration 20)"
    )]
    OpusPacketTooLarge,
}
