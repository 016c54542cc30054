//! Who asks, and what they may do.

pub(crate) mod access;
mod identity;
mod key;
mod request;
mod token;

pub use identity::{DeviceClaim, Identity, NoRole, Role};
pub use key::{KeyFault, PublicKey};
pub use request::{identify, is_public};
pub use token::{AuthError, Authenticator, MintError, NOT_BEFORE_LEEWAY_SECONDS, TOKEN_BYTES};
