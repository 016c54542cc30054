//! Connectivity checks as an attacker, or a viewer, would make them.

use rtc::SessionKey;
use str0m::ice::{StunMessage, TransId};

use super::Simulation;

/// What a check says.
#[derive(Debug, Clone)]
pub(crate) struct Check {
    /// The server's ufrag and the viewer's, with a colon between them.
    pub(crate) username: String,
    pub(crate) password: String,
    pub(crate) controlling: bool,
    pub(crate) use_candidate: bool,
}

impl Check {
    /// A check with the right credentials of a session, as its viewer would send it.
    pub(crate) fn of(offer: &str, answer: &str) -> Self {
        let value = |sdp: &str, name: &str| {
            let line = sdp.lines().find_map(|line| line.strip_prefix(name));
            line.expect("a credential in the description").to_owned()
        };
        let ours = value(offer, "a=ice-ufrag:");
        let theirs = value(answer, "a=ice-ufrag:");
        Self {
            username: format!("{ours}:{theirs}"),
            password: value(offer, "a=ice-pwd:"),
            controlling: true,
            use_candidate: true,
        }
    }

    /// Its bytes, with a transaction id of their own.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let message = StunMessage::binding_request(
            &self.username,
            TransId::new(),
            self.controlling,
            u64::MAX,
            0x6e00_01ff,
            self.use_candidate,
        );
        let mut bytes = vec![0; 512];
        let hmac = str0m::crypto::from_feature_flags().sha1_hmac_provider;
        let len = message
            .to_bytes(Some(self.password.as_bytes()), &mut bytes, |key, parts| {
                hmac.sha1_hmac(key, parts)
            })
            .expect("a message that fits");
        bytes.truncate(len);
        bytes
    }
}

impl<E> Simulation<E> {
    /// The check that a viewer of this session would send.
    pub(crate) fn check_of(&self, key: SessionKey) -> Check {
        let viewer = self.viewers.iter().find(|viewer| viewer.key == Some(key));
        let viewer = viewer.expect("the session's viewer");
        Check::of(&viewer.offer, &viewer.answer)
    }
}
