//! What comes out of a session's `Rtc`: datagrams, events, reports, the next deadline.

use std::time::Instant;

use str0m::channel::ChannelData;
use str0m::{Output, RtcError};

use super::{CONTROL_MESSAGE_BYTES, Session};
use crate::demux::Kind;
use crate::egress::{PROBE, Route};
use crate::{CloseReason, Event, IceState, Outbox, SessionState, SocketIndex};

impl Session {
    /// Takes everything out, down to the next deadline.
    pub(super) fn drain(&mut self, now: Instant, out: &mut Outbox) {
        loop {
            match self.rtc.poll_output() {
                Ok(Output::Timeout(at)) => {
                    self.deadline = at;
                    break;
                }
                Ok(Output::Transmit(transmit)) => self.transmit(&transmit, out),
                Ok(Output::Event(event)) => self.on_event(now, event, out),
                Err(error) => {
                    tracing::debug!(%error, "session failed");
                    self.signals.closed.get_or_insert(match error {
                        // str0m cannot end an association in the middle of its handshake, which
                        // it tries when the viewer has closed DTLS.
                        RtcError::Sctp(_) => CloseReason::PeerClosed,
                        // Another certificate than the answer named, or a handshake given up.
                        _ => CloseReason::DtlsFailed,
                    });
                    break;
                }
            }
        }
        if !self.rtc.is_alive() {
            self.signals.closed.get_or_insert(CloseReason::DtlsFailed);
        }
    }

    fn transmit(&mut self, transmit: &str0m::net::Transmit, out: &mut Outbox) {
        let from = self
            .sockets
            .iter()
            .position(|socket| socket.advertised == transmit.source);
        let Some(index) = from.and_then(|index| u8::try_from(index).ok()) else {
            return;
        };
        let kind = Kind::of(&transmit.contents);
        let mut to = Route {
            socket: SocketIndex(index),
            to: transmit.destination,
        };
        if kind != Kind::Stun {
            if self.selected.replace(to) != Some(to) {
                self.serve_at(to);
            }
            to = self.route.unwrap_or(to);
        }
        // Where ICE is lost, nobody has agreed to be sent anything any more (RFC 7675 §5.1).
        let void = self.ice_lost.is_some() && matches!(kind, Kind::Media | Kind::Reports);
        if void || *transmit.contents == PROBE {
            return;
        }
        let media = kind == Kind::Media;
        self.signals.datagrams += 1;
        self.signals.bytes += transmit.contents.len() as u64;
        self.unsealed_bytes += transmit.contents.len() as u64;
        self.signals.rtp_packets += u64::from(media);
        out.datagram(self.key, to.socket, to.to, media, &transmit.contents);
    }

    /// The viewer is here from now on.
    pub(super) fn serve_at(&mut self, route: Route) {
        if self.route.replace(route) != Some(route) {
            self.signals.refitted = true;
        }
    }

    fn on_event(&mut self, now: Instant, event: str0m::Event, out: &mut Outbox) {
        use str0m::Event as E;
        match event {
            E::Connected => {
                self.touch(now);
                self.signals.connected = true;
                self.move_to(SessionState::Connected, out);
            }
            E::IceConnectionStateChange(state) => self.on_ice(now, state.into(), out),
            E::ChannelOpen(id, _) if id == self.control.id => {
                self.control.open = true;
                out.event(Event::ChannelOpen { session: self.key });
            }
            E::ChannelOpen(id, _) => self.signals.foreign_channels.push(id),
            E::ChannelClose(id) if id == self.control.id => self.control.open = false,
            E::ChannelData(data) => self.on_message(now, data, out),
            E::KeyframeRequest(_) => {
                self.touch(now);
                self.signals.keyframe_requests += 1;
            }
            E::RawPacket(packet) => self.on_packet(now, *packet),
            E::Closed => {
                self.signals.closed.get_or_insert(CloseReason::PeerClosed);
            }
            _ => {}
        }
    }

    fn on_ice(&mut self, now: Instant, state: IceState, out: &mut Outbox) {
        if state == self.ice_state {
            return;
        }
        self.ice_state = state;
        self.stats.connection.ice_state = state;
        out.event(Event::IceState {
            session: self.key,
            state,
        });
        match state {
            IceState::Disconnected => {
                self.ice_lost.get_or_insert(now);
                self.signals.ice_lost = true;
            }
            IceState::Connected | IceState::Completed => {
                self.ice_lost = None;
                self.signals.ice_back = true;
            }
            // A restart, or a first check after a loss: the time of the loss still runs.
            IceState::New | IceState::Checking => {}
        }
    }

    fn on_message(&mut self, now: Instant, data: ChannelData, out: &mut Outbox) {
        self.touch(now);
        let ours = data.id == self.control.id && !data.binary;
        match String::from_utf8(data.data) {
            Ok(text) if ours && text.len() <= CONTROL_MESSAGE_BYTES => {
                out.event(Event::ChannelMessage {
                    session: self.key,
                    text,
                });
            }
            Ok(_) | Err(_) => self.signals.messages_dropped += 1,
        }
    }
}
