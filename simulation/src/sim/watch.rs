//! Viewers that watch over simulated WebRTC.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Client, Sim};
use crate::{Viewer, ViewerId, dtls};

impl Sim {
    /// A viewer whose session exists and whose media flow: itself, and its session's id.
    #[track_caller]
    pub fn watch(&mut self, client: Client, device: &str) -> (ViewerId, String) {
        let created = self.create(client, device);
        let session = created["sessionId"].as_str().expect("an id").to_owned();
        let offer = created["offer"]["sdp"].as_str().expect("an offer");
        let (id, answer) = self.answer_offer(offer);
        let target = format!("/api/media/sessions/{session}/answer");
        self.post(client, &target, &answer).expect(204);
        self.expect_connected(id);
        (id, session)
    }

    /// A new viewer's answer to an offer.
    pub fn answer_offer(&mut self, offer: &str) -> (ViewerId, Value) {
        let id = ViewerId(self.viewers.len());
        let mut viewer = Viewer::with(self.now, id.0, |config| {
            config.set_crypto_provider(dtls::provider())
        });
        let sdp = viewer.answer(self.now, offer);
        self.viewers.push(viewer);
        (id, json!({"type": "answer", "sdp": sdp}))
    }

    /// Runs until the viewer's data channel is open.
    #[track_caller]
    pub fn expect_connected(&mut self, id: ViewerId) {
        self.run_until(Duration::from_secs(5), "a viewer connects", |sim| {
            sim.viewers[id.0].channel.is_some()
        });
    }

    /// The viewer is switched off: it is not heard of any more.
    pub fn switch_off(&mut self, id: ViewerId) {
        let address = self.viewers[id.0].address;
        self.network.cut.push(address);
    }
}
