//! Publishers: live bodies whose pictures carry their number, so that a viewer's can be compared with
//! what was sent.

use std::time::{Duration, Instant};

use super::Kind;
use super::world::World;
use crate::support::http::{LAST_CHUNK, chunk};
use crate::support::media::{self, Clip};
use crate::{Client, head};

/// Who publishes at once.
const PUBLISHERS: usize = 8;
/// Behind a publication's number comes that of its picture.
pub(super) const PICTURE_BITS: u32 = 14;
/// Before a picture's number. No start code arises from it.
const MARK: [u8; 3] = [0xf0, 0xe1, 0xd2];
/// Bytes of an IVF frame's header.
const IVF_FRAME_HEADER_BYTES: usize = 12;
/// Bytes of an Ogg page's header before its lacing values, whose number comes last.
const OGG_HEADER_BYTES: usize = 27;

/// One track of one device from one publisher.
pub(super) struct Publication {
    pub(super) device: String,
    pub(super) kind: media::Kind,
    /// Units that were sent.
    pub(super) sent: u64,
}

/// Whoever publishes over HTTP.
pub(super) struct Publisher {
    client: Client,
    publication: usize,
    next_at: Instant,
    silent: bool,
    over: bool,
}

/// What is published.
pub(super) struct Clips {
    h264: Clip,
    vp8: Clip,
    opus: Clip,
    /// A file that is no Annex B.
    mp4: Vec<u8>,
}

impl Clips {
    pub(super) fn new() -> Self {
        Self {
            h264: Clip::tiny_h264(),
            vp8: Clip::tiny_vp8(),
            opus: Clip::tiny_opus(),
            mp4: media::read("tests/data/not_annexb.mp4"),
        }
    }

    pub(super) fn of(&self, kind: media::Kind) -> &Clip {
        match kind {
            media::Kind::H264 => &self.h264,
            media::Kind::Vp8 => &self.vp8,
            media::Kind::Opus => &self.opus,
        }
    }

    /// A file of one second.
    pub(super) fn whole(&self) -> Vec<u8> {
        (0..30).flat_map(|number| self.h264.unit(number)).collect()
    }

    /// Whether it is what a page of the Ogg stream holds (RFC 3533 §6).
    pub(super) fn has_sound(&self, packet: &[u8]) -> bool {
        let payload = |page: &Vec<u8>| {
            let lacing = usize::from(page[OGG_HEADER_BYTES - 1]);
            page[OGG_HEADER_BYTES + lacing..] == *packet
        };
        self.opus.units.iter().any(payload)
    }

    /// A unit without its container, as viewers get it.
    pub(super) fn marked(&self, kind: media::Kind, publication: usize, unit: u64) -> Vec<u8> {
        let clip = self.of(kind);
        let mut bytes = clip.units[(unit % clip.units.len() as u64) as usize].clone();
        if kind != media::Kind::Opus {
            let number = (publication as u32) << PICTURE_BITS | unit as u32;
            bytes.extend(MARK);
            let digits = [28, 21, 14, 7, 0].map(|shift| 0x80 | (number >> shift & 0x7f) as u8);
            bytes.extend(digits);
        }
        bytes
    }

    /// The same in its container.
    fn packed(&self, kind: media::Kind, publication: usize, unit: u64) -> Vec<u8> {
        match kind {
            media::Kind::H264 => self.marked(kind, publication, unit),
            media::Kind::Vp8 => {
                let payload = self.marked(kind, publication, unit);
                let mut frame = Vec::with_capacity(IVF_FRAME_HEADER_BYTES + payload.len());
                frame.extend((payload.len() as u32).to_le_bytes());
                frame.extend(unit.to_le_bytes());
                frame.extend(payload);
                frame
            }
            media::Kind::Opus => self.opus.unit(unit),
        }
    }
}

impl World {
    pub(super) fn publish(&mut self) {
        let device = self.device();
        let kind = [media::Kind::H264, media::Kind::Vp8, media::Kind::Opus][self.plan.draw(3)];
        let query = ["", "?takeover=true"][self.plan.draw(2)];
        self.publish_as(&device, kind, query);
    }

    /// Begins to publish: the number of the publication.
    pub(super) fn publish_as(
        &mut self,
        device: &str,
        kind: media::Kind,
        query: &str,
    ) -> Option<usize> {
        if self.publishers.len() >= PUBLISHERS {
            return None;
        }
        let address = self.address();
        let client = self.dial(address)?;
        let target = format!("/api/media/devices/{device}/{}{query}", kind.track());
        self.note(&format!(
            "{client:?} publishes {target} {}",
            kind.content_type()
        ));
        let bearer = self.token("user-0").map(|token| format!("Bearer {token}"));
        let mut headers = vec![
            ("Content-Type", kind.content_type()),
            ("Transfer-Encoding", "chunked"),
        ];
        headers.extend(bearer.iter().map(|it| ("Authorization", it.as_str())));
        self.sim.send(client, head("PUT", &target, &headers));
        let header = &self.clips.of(kind).header;
        if !header.is_empty() {
            let header = chunk(header);
            self.sim.send(client, header);
        }
        let publication = self.new_publication(device, kind);
        self.publishers.push(Publisher {
            client,
            publication,
            next_at: self.sim.now,
            silent: false,
            over: false,
        });
        Some(publication)
    }

    pub(super) fn new_publication(&mut self, device: &str, kind: media::Kind) -> usize {
        self.publications.push(Publication {
            device: device.to_owned(),
            kind,
            sent: 0,
        });
        self.publications.len() - 1
    }

    pub(super) fn feed_publishers(&mut self) {
        let now = self.sim.now;
        for publisher in &mut self.publishers {
            if publisher.silent || publisher.over || now < publisher.next_at {
                continue;
            }
            let number = publisher.publication;
            let publication = &mut self.publications[number];
            if publication.sent >> PICTURE_BITS != 0 {
                continue;
            }
            let unit = self
                .clips
                .packed(publication.kind, number, publication.sent);
            publication.sent += 1;
            publisher.next_at = now + self.clips.of(publication.kind).interval;
            self.sim.send(publisher.client, chunk(&unit));
        }
    }

    pub(super) fn end_publisher(&mut self) {
        let Some(at) = self.pick(self.publishers.len()) else {
            return;
        };
        let client = self.publishers[at].client;
        let publisher = &mut self.publishers[at];
        match self.plan.draw(6) {
            4 if !publisher.over => {
                publisher.over = true;
                let file = chunk(&self.clips.mp4);
                self.sim.send(client, file);
            }
            5 if !publisher.over => {
                publisher.over = true;
                self.sim.send(client, "GET /hea");
            }
            0 => {
                self.note(&format!("publisher {client:?} is gone"));
                self.publishers.remove(at);
                self.cut(client);
            }
            1 => {
                self.publishers[at].over = true;
                self.sim.wire(client).client_done = true;
            }
            _ => {
                if !self.publishers[at].over {
                    self.publishers[at].over = true;
                    self.sim.send(client, LAST_CHUNK);
                }
            }
        }
    }

    pub(super) fn silence_publisher(&mut self) {
        if let Some(at) = self.pick(self.publishers.len()) {
            self.publishers[at].silent = true;
        }
    }

    pub(super) fn poll_publishers(&mut self) {
        let mut at = 0;
        while at < self.publishers.len() {
            let client = self.publishers[at].client;
            match self.sim.poll_response(client, false) {
                Some(response) => {
                    let status = response.status;
                    let code = match status {
                        200 => String::new(),
                        _ => response.json()["code"].as_str().unwrap_or("?").to_owned(),
                    };
                    self.note(&format!("publisher {client:?} {status} {code}"));
                    self.answered += 1;
                    self.counts.answers += 1;
                    self.check_published(&code, &response.text());
                    self.publishers.remove(at);
                    self.leave_quietly(client);
                }
                None if self.sim.wire(client).server_done => {
                    // It may end a body that its client has broken off.
                    let over = self.publishers[at].over || self.sim.injected > 0;
                    assert!(over, "publisher {client:?} is closed without an answer");
                    self.publishers.remove(at);
                    self.exact = false;
                }
                None => at += 1,
            }
        }
    }

    fn check_published(&self, code: &str, text: &str) {
        let excused = match code {
            "" | "device_busy" | "taken_over" | "request_timeout" => true,
            // It ends before its first picture is whole.
            "bad_bitstream" | "bad_body" | "bad_chunk" | "bad_request" => true,
            "full" => self.plan.tight,
            "internal" => self.sim.injected > 0,
            "draining" => self.plan.has(Kind::Restart),
            "shard_busy" | "overloaded" => self.sim.now < self.calm_since + Duration::from_secs(10),
            _ => false,
        };
        assert!(excused, "a publisher is told {text}");
    }

    /// A client that has had its answer closes.
    pub(super) fn leave_quietly(&mut self, client: Client) {
        self.sim.wire(client).client_done = true;
        self.sim.wire(client).reset = true;
    }

    pub(super) fn lose_publishers(&mut self) {
        self.publishers.clear();
    }
}
