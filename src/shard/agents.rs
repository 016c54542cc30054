//! What device agents say over their WebSocket.

use std::time::Instant;

use rtc::AccessUnitReader;
use tracing::info;

use super::Shard;
use super::sockets::{Told, bad_message};
use crate::connection::{Connection, Role};
use crate::error::ApiError;
use crate::json::JsonFault;
use crate::media::{Holder, Track};
use crate::metrics::{Direction, MessageKind, PublisherKind};
use crate::ws::{AgentMedia, AgentMessage, Received, ServerMessage, codec_named, codecs_of};

impl Shard {
    pub(super) fn agent_message(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        message: Received,
    ) -> Told {
        match message {
            Received::Text(text) => self.agent_text(now, connection, &text),
            Received::Binary(bytes) => self.agent_media(now, connection, &bytes),
            Received::Pong | Received::Closed => Ok(()),
        }
    }

    fn agent_text(&mut self, now: Instant, connection: &mut Connection, text: &str) -> Told {
        let message: AgentMessage = serde_json::from_str(text).map_err(|fault| {
            self.metrics.message(MessageKind::Other, Direction::In);
            let fault = JsonFault::from(fault);
            bad_message(format!("this is not a message that an agent may send: {fault}").into())
        })?;
        match message {
            AgentMessage::Hello { video, audio } => {
                self.metrics.message(MessageKind::Hello, Direction::In);
                let mut readers = [None, None];
                let named = [(Track::Video, video), (Track::Audio, audio)];
                for (reader, (track, name)) in readers.iter_mut().zip(named) {
                    let Some(name) = name else { continue };
                    let codec = codec_named(track, &name.codec).ok_or_else(|| {
                        let codecs = codecs_of(track);
                        let named = track.named();
                        bad_message(format!("{named}: {:?} is not {codecs}", name.codec).into())
                    })?;
                    *reader = Some(AccessUnitReader::new(codec));
                }
                if let Role::Agent(socket) = &mut connection.role {
                    [socket.video, socket.audio] = readers;
                    let (device, peer) = (&socket.device, connection.peer);
                    info!(%device, %peer, shard = self.id.index(), "agent connected");
                }
                Ok(())
            }
            AgentMessage::Ack { seq } => {
                self.metrics.message(MessageKind::Ack, Direction::In);
                let Role::Agent(socket) = &connection.role else {
                    return Ok(());
                };
                let waiting = self
                    .devices
                    .get_mut(&socket.device)
                    .and_then(|device| device.controls.acknowledged(seq));
                if let Some((session, seq, socket)) = waiting {
                    self.tell_viewer(now, session, socket, &ServerMessage::Ack { seq });
                }
                Ok(())
            }
        }
    }

    fn agent_media(&mut self, now: Instant, connection: &mut Connection, bytes: &[u8]) -> Told {
        self.metrics.message(MessageKind::Media, Direction::In);
        let media = AgentMedia::parse(bytes).map_err(|fault| bad_message(fault.into()))?;
        let (id, peer) = (connection.id, connection.peer);
        let Role::Agent(socket) = &mut connection.role else {
            return Ok(());
        };
        let Some(reader) = socket.reader(media.track) else {
            return Err(bad_message(
                "say hello with this track's codec first".into(),
            ));
        };
        // Parameter sets alone are kept for the next keyframe.
        let Some(unit) = reader.read(media.data).map_err(ApiError::from)? else {
            return Ok(());
        };
        let Some(device) = self.devices.get_mut(&socket.device) else {
            return Ok(());
        };
        let kind = PublisherKind::Agent;
        let told = socket.displaced[media.track as usize];
        match device.holder(media.track) {
            Some(holder) if holder.connection == Some(id) => {}
            // Said once, not for each picture.
            Some(_) if told => return Ok(()),
            Some(_) => {
                socket.displaced[media.track as usize] = true;
                let device = device.id.clone();
                return Err(ApiError::DeviceBusy {
                    device,
                    what: media.track.named(),
                }
                .into());
            }
            None => {
                socket.displaced[media.track as usize] = false;
                let holder = Holder {
                    kind,
                    connection: Some(id),
                    address: Some(peer),
                    since: now,
                };
                device.set_holder(now, media.track, Some(holder));
                self.metrics.publishers_started.bump(kind);
            }
        }
        let capture = device.timeline.capture(now, media.pts);
        let source = device.source;
        if !self.write_access_unit(now, source, capture, &unit) {
            self.fail_socket(now, connection);
        }
        Ok(())
    }
}
