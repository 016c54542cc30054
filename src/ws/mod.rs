//! WebSockets: the codec, and what viewers, agents and members of rooms say over them.

mod agent;
mod codec;
mod member;
mod protocol;
mod pulse;
mod viewer;

pub use agent::AgentSocket;
pub(crate) use agent::{AgentMedia, codec_named, codecs_of};
pub use codec::{Codec, Received, Violation};
pub(crate) use member::MemberMessage;
pub use member::MemberSocket;
pub use protocol::{Action, AgentMessage, Control, ServerMessage, ViewerMessage};
pub(crate) use pulse::{Beat, Pulse};
pub use viewer::{STATS_INTERVAL, ViewerSocket};
