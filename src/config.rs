//! Configuration: raw arguments (file, environment, flags) become one validated [`Config`], or
//! every fault at once with where it came from.
//!
//! Precedence: flags, then `MEDIA_…` variables, then the file, then the defaults below. A cap of 0
//! is off ([`Cap`]). Durations are written `30s`, `5m`, `250ms`; sizes `256KiB`, `1MiB`.

mod types;

pub use types::{
    Config, Http, IceServer, Limits, Log, LogFormat, Media, MediaAddress, Metrics, Secret, Server,
    Ws,
};
