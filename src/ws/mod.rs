//! WebSockets: the codec, and what viewers and agents say over them.

mod agent;
mod codec;
mod protocol;
mod pulse;
mod viewer;

pub use agent::AgentSocket;
pub(crate) use agent::{AgentMedia, codec_named, codecs_of};
pub use codec::{Codec, Received, Violation};
pub use protocol::{Action, AgentMessage, Control, ServerMessage, ViewerMessage};
pub(crate) use pulse::Beat;
pub use viewer::{STATS_INTERVAL, ViewerSocket};
