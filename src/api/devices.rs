//! `/api/media/devices`: publishers and agents.

use std::time::Instant;

use super::{AudioView, DeviceView, Publication, PublisherView, VideoView};
use crate::auth::Identity;
use crate::connection::{Connection, ConnectionId};
use crate::error::ApiError;
use crate::http::Response;
use crate::ids::DeviceId;
use crate::media::Device;
use crate::metrics::Label;
use crate::shard::{Reply, Shard};
use crate::ws::AgentSocket;

impl Shard {
    pub(super) fn get_device(&self, id: &DeviceId) -> Result<Response, ApiError> {
        let device = self
            .devices
            .get(id)
            .ok_or_else(|| ApiError::UnknownDevice { id: id.to_string() })?;
        Ok(Response::json(200, &self.device_view(device)))
    }

    pub(super) fn put_media(
        &mut self,
        now: Instant,
        connection: &Connection,
        publication: Publication,
    ) -> Result<Reply, ApiError> {
        if self.is_draining() {
            return Err(ApiError::Draining);
        }
        self.claim(now, connection, &publication)?;
        Ok(Reply::Publish(publication))
    }

    pub(super) fn open_agent(
        &mut self,
        now: Instant,
        connection: ConnectionId,
        identity: &Identity,
        id: DeviceId,
        key: String,
    ) -> Result<Reply, ApiError> {
        if self.is_draining() {
            return Err(ApiError::Draining);
        }
        let device = self.device(now, &id)?;
        if device.agent.is_some() {
            return Err(ApiError::AgentBusy { device: id });
        }
        device.agent = Some(connection);
        let socket = Box::new(AgentSocket::new(now, &self.config.ws, id, identity));
        Ok(Reply::Agent { key, socket })
    }

    pub(crate) fn device_view(&self, device: &Device) -> DeviceView {
        let stats = self.plane.source_stats(device.source);
        let video = stats
            .as_ref()
            .and_then(|stats| stats.video.as_ref())
            .map(|video| VideoView {
                codec: video.codec.name(),
                width: video.size.map(|(width, _)| width),
                height: video.size.map(|(_, height)| height),
                fps: video.fps,
                bitrate_bps: video.bitrate_bps,
            });
        let audio = stats
            .as_ref()
            .and_then(|stats| stats.audio.as_ref())
            .map(|audio| AudioView {
                codec: audio.codec.name(),
                bitrate_bps: audio.bitrate_bps,
            });
        let publisher = device.video.or(device.audio).map(|holder| PublisherView {
            kind: holder.kind.as_str(),
            address: holder.address.map(|address| address.to_string()),
            since: self.clock.rfc3339(holder.since),
        });
        DeviceView {
            device_id: device.id.clone(),
            live: device.is_live(),
            video,
            audio,
            viewers: device.sessions.len(),
            publisher,
            agent: device.agent.is_some(),
            shard: self.id,
            since: self.clock.rfc3339(device.since),
        }
    }
}
