//! Sans-IO media plane.

mod access_unit;
mod ingest;
mod packetise;

pub use access_unit::{AccessUnit, Codec};
pub use ingest::{
    AccessUnitReader, BitstreamError, Container, Ingest, MAX_ACCESS_UNIT_BYTES,
    START_CODE_SEARCH_BYTES, VideoFormat,
};
pub use packetise::{MAX_PAYLOAD_BYTES, Packet, Packetiser};
