//! `/api/media/sessions` and the viewers' WebSocket.

use std::ops::Bound;
use std::time::Instant;

use serde::Serialize;

use super::{SessionFilter, SessionList, SessionView, StatsView, Watch};
use crate::auth::{Identity, access};
use crate::config::IceServer;
use crate::connection::Exchange;
use crate::error::ApiError;
use crate::http::Response;
use crate::ids::{DeviceId, SessionId, UserId};
use crate::message::Query;
use crate::metrics::SessionEnd;
use crate::shard::{Reply, Session, Shard};

#[derive(Serialize)]
struct Description<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    sdp: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created<'a> {
    session_id: SessionId,
    offer: Description<'a>,
    ice_servers: &'a [IceServer],
}

#[derive(Serialize)]
struct Offered<'a> {
    offer: Description<'a>,
}

impl Shard {
    pub(super) fn post_session(
        &mut self,
        now: Instant,
        exchange: &Exchange,
        device: &DeviceId,
        user: &UserId,
    ) -> Result<Response, ApiError> {
        let (session_id, sdp) = self.create_session(now, device, user, exchange)?;
        let offer = Description {
            kind: "offer",
            sdp: &sdp,
        };
        let ice_servers = &self.config.media.ice_servers;
        let created = Created {
            session_id,
            offer,
            ice_servers,
        };
        Ok(Response::json(201, &created)
            .header("Location", format!("/api/media/sessions/{session_id}")))
    }

    /// Sessions of one device are on its shard, which is this one; all others are gathered.
    pub(super) fn list_sessions(&mut self, filter: SessionFilter) -> Reply {
        if filter.device.is_none() {
            return Reply::Gather(Query::Sessions(filter));
        }
        let views = self.session_views(&filter);
        Reply::Now(Response::json(200, &SessionList::new(views, filter.limit)))
    }

    pub(super) fn get_session(
        &self,
        identity: &Identity,
        id: SessionId,
    ) -> Result<Response, ApiError> {
        let session = self.session_for(identity, id)?;
        Ok(Response::json(200, &self.session_view(id, session)))
    }

    pub(super) fn delete_session(
        &mut self,
        now: Instant,
        identity: &Identity,
        id: SessionId,
    ) -> Result<Response, ApiError> {
        self.session_for(identity, id)?;
        match self.end_session(now, id, SessionEnd::Deleted) {
            true => Ok(Response::empty(204)),
            false => Err(unknown(id)),
        }
    }

    pub(super) fn post_answer(
        &mut self,
        now: Instant,
        identity: &Identity,
        id: SessionId,
        sdp: &str,
    ) -> Result<Response, ApiError> {
        self.use_session(identity, id)?;
        self.answer(now, id, sdp)?;
        Ok(Response::empty(204))
    }

    pub(super) fn post_candidate(
        &mut self,
        now: Instant,
        identity: &Identity,
        id: SessionId,
        candidate: &str,
    ) -> Result<Response, ApiError> {
        self.use_session(identity, id)?;
        self.add_candidate(now, id, candidate)?;
        Ok(Response::empty(204))
    }

    pub(super) fn post_offer(
        &mut self,
        now: Instant,
        identity: &Identity,
        id: SessionId,
        ice_restart: bool,
    ) -> Result<Response, ApiError> {
        self.use_session(identity, id)?;
        let sdp = self.offer(now, id, ice_restart)?;
        Ok(Response::json(
            200,
            &Offered {
                offer: Description {
                    kind: "offer",
                    sdp: &sdp,
                },
            },
        ))
    }

    /// Reading is not watching: who polls this keeps no session alive.
    pub(super) fn get_stats(
        &self,
        identity: &Identity,
        id: SessionId,
    ) -> Result<Response, ApiError> {
        self.session_for(identity, id)?;
        let stats = self.stats_view(id).ok_or_else(|| unknown(id))?;
        Ok(Response::json(200, &stats))
    }

    pub(super) fn open_viewer(
        &mut self,
        now: Instant,
        exchange: &Exchange,
        watch: Watch,
        user: Option<UserId>,
        key: String,
    ) -> Result<Reply, ApiError> {
        let identity = &exchange.identity;
        let (session, offer) = match watch {
            Watch::Session(id) => {
                self.use_session(identity, id)?;
                self.touch(now, id)?;
                (id, None)
            }
            Watch::Device(device) => {
                let user = user.as_ref().unwrap_or(&identity.user);
                let (id, offer) = self.create_session(now, &device, user, exchange)?;
                (id, Some(offer))
            }
        };
        Ok(Reply::Viewer {
            key,
            session,
            offer,
        })
    }

    /// This identity uses the session, which ends no sooner than its token then.
    fn use_session(&mut self, identity: &Identity, id: SessionId) -> Result<(), ApiError> {
        self.session_for(identity, id)?;
        self.renew(id, identity);
        Ok(())
    }

    /// The session, if this identity may use it.
    fn session_for(&self, identity: &Identity, id: SessionId) -> Result<&Session, ApiError> {
        let session = self.sessions.get(&id).ok_or_else(|| unknown(id))?;
        access::may_use(identity, &session.user, &session.device)?;
        Ok(session)
    }

    /// One more than the limit, where there are more: the merged list then knows of a next page.
    pub(crate) fn session_views(&self, filter: &SessionFilter) -> Vec<SessionView> {
        let from = filter.after.map_or(Bound::Unbounded, Bound::Excluded);
        let range = (from, Bound::Unbounded);
        let most = filter.limit + 1;
        match &filter.device {
            None => self
                .sessions
                .range(range)
                .take(most)
                .map(|(id, session)| self.session_view(*id, session))
                .collect(),
            Some(device) => self
                .devices
                .get(device)
                .into_iter()
                .flat_map(|device| device.sessions.range(range))
                .filter_map(|id| Some(self.session_view(*id, self.sessions.get(id)?)))
                .take(most)
                .collect(),
        }
    }

    fn session_view(&self, id: SessionId, session: &Session) -> SessionView {
        let media = self.plane.session(session.key);
        let heard = media.map_or(session.touched, |media| media.last_activity());
        SessionView {
            session_id: id,
            device_id: session.device.clone(),
            user_id: session.user.clone(),
            state: media.map_or("closed", |media| media.state().name()),
            ice_state: self.ice_state(session.key).name(),
            shard: self.id,
            created_at: self.clock.rfc3339(session.created),
            last_activity_at: self.clock.rfc3339(heard.max(session.touched)),
        }
    }

    /// Quality of a session.
    pub(crate) fn stats_view(&self, id: SessionId) -> Option<StatsView> {
        let session = self.sessions.get(&id)?;
        Some(StatsView::from(self.plane.session(session.key)?.stats()))
    }
}

fn unknown(id: SessionId) -> ApiError {
    ApiError::UnknownSession { id: id.to_string() }
}
