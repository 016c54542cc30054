//! Offer and answer of one session, ICE restart included.
//!
//! A later offer is always made as an ICE restart of str0m's, which is its only change without an
//! effect before the answer. str0m draws credentials for it and has no way to be given others, so
//! they are replaced: in the offer's text, and in the ICE agent in the same turn in which the
//! answer makes it restart. An offer that is to restart nothing carries the credentials in use; the
//! viewer then keeps its own, and str0m takes that for what it is: no restart.

use std::time::Instant;

use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::media::Mid;
use str0m::rtp::{ExtensionMap, Ssrc};
use str0m::{IceCreds, Rtc};

use super::{Panicked, Session};
use crate::egress::{Header, RETRANSMIT_AGE};
use crate::sdp::{self, Description};
use crate::viewer::{Format, Negotiated};
use crate::{CloseReason, Outbox, SessionError, SessionState};

/// How many packets str0m keeps of a track that it seals itself: those of half a second of 720p at
/// 4 Mbit/s, or of a large keyframe.
const RETRANSMIT_PACKETS: usize = 256;

/// Where a session is in offer and answer.
pub(crate) struct Negotiation {
    video: Mid,
    audio: Mid,
    /// Local credentials in use.
    credentials: IceCreds,
    open: Option<OpenOffer>,
    answered: Option<Answered>,
    offers: u64,
    /// The streams that str0m was relieved of.
    streams: Vec<Stream>,
}

/// What str0m sends a track as. It holds 8 kB for each, and reports of each that it has, so it has them
/// only while it reads or writes a description, and where it seals.
#[derive(Debug, Clone, Copy)]
struct Stream {
    mid: Mid,
    ssrc: Ssrc,
    resend: Option<Ssrc>,
}

struct OpenOffer {
    pending: SdpPendingOffer,
    sdp: String,
    /// Local credentials from the answer on.
    restart: Option<IceCreds>,
}

/// What an answer fixed, or may change in an ICE restart only.
struct Answered {
    ufrag: Option<String>,
    fingerprint: Option<String>,
}

impl Negotiation {
    pub(crate) fn new(
        video: Mid,
        audio: Mid,
        credentials: IceCreds,
        offer: &str,
        pending: SdpPendingOffer,
    ) -> Self {
        let sdp = sdp::finish_offer(offer, 1, None, &credentials);
        let open = Some(OpenOffer {
            pending,
            sdp,
            restart: None,
        });
        Self {
            video,
            audio,
            credentials,
            open,
            answered: None,
            offers: 1,
            streams: Vec::new(),
        }
    }

    fn mids(&self) -> [Mid; 2] {
        [self.video, self.audio]
    }

    /// An answer was accepted, so DTLS and SRTP may come.
    pub(crate) fn is_answered(&self) -> bool {
        self.answered.is_some()
    }

    pub(crate) fn offer_is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The open offer's text.
    pub(crate) fn open_sdp(&self) -> Option<&str> {
        self.open.as_ref().map(|open| open.sdp.as_str())
    }

    /// Ufrags that reach this session: the one in use, and the one of a restart that is offered.
    pub(crate) fn ufrags(&self) -> impl Iterator<Item = &str> {
        self.all_credentials()
            .map(|credentials| credentials.ufrag.as_str())
    }

    /// The password that goes with a ufrag of ours.
    pub(crate) fn password(&self, ufrag: &str) -> Option<&str> {
        self.all_credentials()
            .find(|c| c.ufrag == ufrag)
            .map(|c| c.pass.as_str())
    }

    fn all_credentials(&self) -> impl Iterator<Item = &IceCreds> {
        let restart = self.open.as_ref().and_then(|open| open.restart.as_ref());
        [Some(&self.credentials), restart].into_iter().flatten()
    }

    /// Checks an answer against all that is known. Changes nothing.
    fn check(&self, answer: &Description) -> Result<(), String> {
        let open = self.open.as_ref().ok_or("there is no open offer")?;
        answer.check_answers(&Description::read(&open.sdp)?)?;
        let Some(before) = &self.answered else {
            return Ok(());
        };
        if before.fingerprint != answer.fingerprint {
            return Err(
                "a=fingerprint has changed: a new peer connection needs a new session".into(),
            );
        }
        let restarted = before.ufrag != answer.ufrag;
        match (restarted, open.restart.is_some()) {
            (true, false) => Err("a=ice-ufrag has changed, but no ICE restart was offered".into()),
            (false, true) => {
                Err("an ICE restart was offered, but a=ice-ufrag is the old one".into())
            }
            (true, true) | (false, false) => Ok(()),
        }
    }

    /// Checks what str0m has read of an answer that passed [`check`](Self::check). Its parser stops
    /// at the first line that it does not understand, and drops it with all that follows.
    fn check_understood(&self, answer: &SdpAnswer) -> Result<(), String> {
        let open = self.open.as_ref().ok_or("there is no open offer")?;
        Description::read(&answer.to_sdp_string())
            .and_then(|read| read.check_answers(&Description::read(&open.sdp)?))
            .map_err(|fault| format!("it could be read up to a line that is no SDP only: {fault}"))
    }
}

impl Session {
    /// Takes the answer to the open offer. `limit` bounds the remote candidates; says how many of
    /// the answer's were refused.
    pub(crate) fn accept_answer(
        &mut self,
        now: Instant,
        sdp: &str,
        limit: usize,
        out: &mut Outbox,
    ) -> Result<usize, SessionError> {
        if !self.negotiation.offer_is_open() {
            return Err(SessionError::NoOpenOffer);
        }
        let bad = |fault| SessionError::BadSdp(sdp::brief(fault));
        let description = Description::read(sdp).map_err(bad)?;
        self.negotiation.check(&description).map_err(bad)?;
        let answer = sdp::parse_answer(sdp).map_err(bad)?;
        self.negotiation.check_understood(&answer).map_err(bad)?;
        let offered = description.candidates.len();
        let taken_candidates = offered.min(limit.saturating_sub(self.candidates));
        let Some(OpenOffer {
            pending, restart, ..
        }) = self.negotiation.open.take()
        else {
            return Err(SessionError::NoOpenOffer);
        };
        let mids = self.negotiation.mids();
        let streams = std::mem::take(&mut self.negotiation.streams);
        let relieved = !self.is_served_through();
        let taken = self.turn(now, out, |rtc| {
            give_back(rtc, &streams);
            let taken = rtc.sdp_api().accept_answer(pending, answer);
            if taken.is_ok()
                && let Some(ours) = &restart
            {
                rtc.direct_api().set_local_ice_credentials(ours.clone());
            }
            let streams = if relieved {
                relieve(rtc, mids)
            } else {
                Vec::new()
            };
            taken.map(|()| streams)
        });
        match taken {
            Ok(Ok(streams)) => self.negotiation.streams = streams,
            // The check above let something through: str0m has half taken it, the offer is used up.
            Ok(Err(error)) => {
                self.signals.closed = Some(CloseReason::Fault);
                return Err(bad(error.to_string()));
            }
            Err(Panicked) => return Err(SessionError::Internal),
        }
        if let Some(ours) = restart {
            self.negotiation.credentials = ours;
            self.addresses_seen = self.addresses.len();
        }
        let Description {
            ufrag, fingerprint, ..
        } = description;
        self.negotiation.answered = Some(Answered { ufrag, fingerprint });
        self.candidates += taken_candidates;
        self.touch(now);
        if self.state() == SessionState::New {
            self.move_to(SessionState::Connecting, out);
        }
        Ok(offered - taken_candidates)
    }

    /// A fresh offer; the one before, if it is open, is void. `restart` are the credentials of an
    /// ICE restart.
    pub(crate) fn fresh_offer(
        &mut self,
        now: Instant,
        restart: Option<IceCreds>,
        out: &mut Outbox,
    ) -> Result<String, SessionError> {
        self.touch(now);
        if !self.negotiation.is_answered() {
            return self.repeat_offer(now, restart, out);
        }
        let streams = self.negotiation.streams.clone();
        let made = self.turn(now, out, |rtc| {
            give_back(rtc, &streams);
            let mut changes = rtc.sdp_api();
            let drawn = changes.ice_restart(true);
            let made = changes.apply();
            for stream in &streams {
                rtc.direct_api().remove_stream_tx(stream.ssrc);
            }
            made.map(|(offer, pending)| (offer.to_sdp_string(), pending, drawn))
        });
        let Ok(Some((text, pending, drawn))) = made else {
            return Err(SessionError::Internal);
        };
        let negotiation = &mut self.negotiation;
        negotiation.offers += 1;
        let ours = restart.as_ref().unwrap_or(&negotiation.credentials);
        let sdp = sdp::finish_offer(&text, negotiation.offers, Some(&drawn), ours);
        negotiation.open = Some(OpenOffer {
            pending,
            sdp: sdp.clone(),
            restart,
        });
        Ok(sdp)
    }

    /// Nobody has answered the first offer: it is still the one to answer, and a restart is nothing
    /// but other credentials.
    fn repeat_offer(
        &mut self,
        now: Instant,
        restart: Option<IceCreds>,
        out: &mut Outbox,
    ) -> Result<String, SessionError> {
        if let Some(ours) = restart {
            let theirs = ours.clone();
            self.turn(now, out, move |rtc| {
                rtc.direct_api().set_local_ice_credentials(theirs)
            })
            .map_err(|Panicked| SessionError::Internal)?;
            let negotiation = &mut self.negotiation;
            negotiation.offers += 1;
            let before = std::mem::replace(&mut negotiation.credentials, ours);
            if let Some(open) = &mut negotiation.open {
                let ours = &negotiation.credentials;
                open.sdp = sdp::finish_offer(&open.sdp, negotiation.offers, Some(&before), ours);
            }
        }
        self.negotiation
            .open_sdp()
            .map(str::to_owned)
            .ok_or(SessionError::Internal)
    }

    /// What the viewer takes of each track, video first.
    pub(crate) fn negotiated(
        &mut self,
        now: Instant,
        out: &mut Outbox,
    ) -> Result<(Negotiated, Negotiated), Panicked> {
        let mids = self.negotiation.mids();
        if self.is_served_through() {
            // str0m sends, so it has its streams again.
            let streams = std::mem::take(&mut self.negotiation.streams);
            self.turn(now, out, |rtc| {
                give_back(rtc, &streams);
                bound_retransmission(rtc, mids[0]);
            })?;
        }
        let streams = self.negotiation.streams.clone();
        let [video, audio] = self.turn(now, out, |rtc| {
            mids.map(|mid| negotiated(rtc, mid, &streams))
        })?;
        // Two tracks that count indices under one SSRC would use a nonce twice.
        let mut ssrcs = vec![video.ssrc, video.resend, audio.ssrc, audio.resend];
        ssrcs.retain(Option::is_some);
        ssrcs.sort();
        if ssrcs.windows(2).any(|pair| pair[0] == pair[1]) {
            self.signals.closed = Some(CloseReason::Fault);
            return Err(Panicked);
        }
        self.video.negotiated(&video);
        self.audio.negotiated(&audio);
        Ok((video, audio))
    }

    /// str0m seals, for want of AES-GCM.
    fn is_served_through(&self) -> bool {
        self.replays.is_keyed() && self.rtcp.keys.is_none()
    }
}

/// Takes the streams of the tracks from str0m.
fn relieve(rtc: &mut Rtc, mids: [Mid; 2]) -> Vec<Stream> {
    let mut api = rtc.direct_api();
    let mut streams = Vec::with_capacity(mids.len());
    for mid in mids {
        if let Some(stream) = api.stream_tx_by_mid(mid, None) {
            let (ssrc, resend) = (stream.ssrc(), stream.rtx());
            api.remove_stream_tx(ssrc);
            streams.push(Stream { mid, ssrc, resend });
        }
    }
    streams
}

/// str0m has its streams again.
fn give_back(rtc: &mut Rtc, streams: &[Stream]) {
    for stream in streams {
        rtc.direct_api()
            .declare_stream_tx(stream.ssrc, stream.resend, stream.mid, None);
    }
}

fn bound_retransmission(rtc: &mut Rtc, video: Mid) {
    if let Some(stream) = rtc.direct_api().stream_tx_by_mid(video, None) {
        // No cap on the share of resent packets: a lost keyframe is most of a second's bytes.
        stream.set_rtx_cache(RETRANSMIT_PACKETS, RETRANSMIT_AGE, None);
    }
}

fn negotiated(rtc: &mut Rtc, mid: Mid, streams: &[Stream]) -> Negotiated {
    let refused = Negotiated {
        ssrc: None,
        resend: None,
        name: Box::default(),
        formats: Vec::new(),
        header: Header::new(mid, &ExtensionMap::empty()),
    };
    let Some(media) = rtc.media(mid) else {
        return refused;
    };
    if media.disabled() || !media.direction().is_sending() {
        return refused;
    }
    let header = Header::new(mid, media.remote_extmap());
    let name = media.cname().into();
    let remote = media.remote_pts();
    let formats = rtc
        .codec_config()
        .params()
        .iter()
        .filter(|params| remote.contains(&params.pt()))
        .filter_map(|params| {
            Some(Format {
                codec: sdp::codec_of(params)?,
                payload_type: params.pt(),
                resend: params.resend(),
            })
        })
        .collect();
    let ours = streams.iter().find(|stream| stream.mid == mid).copied();
    let theirs = || {
        let mut api = rtc.direct_api();
        let stream = api.stream_tx_by_mid(mid, None)?;
        let (ssrc, resend) = (stream.ssrc(), stream.rtx());
        Some(Stream { mid, ssrc, resend })
    };
    let Some(stream) = ours.or_else(theirs) else {
        return refused;
    };
    Negotiated {
        ssrc: Some(stream.ssrc),
        resend: stream.resend,
        name,
        formats,
        header,
    }
}
