//! Devices: publishers come and go, viewers stay.

use std::cmp::Reverse;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use executor::TICK;
use rtc::{AccessUnit, BitstreamError, SourceKey};
use tracing::{info, warn};

use super::{Blame, Shard, Timer};
use crate::alarm::Fired;
use crate::api::{Publication, Published};
use crate::connection::{Connection, ConnectionId, Phase, Role};
use crate::error::ApiError;
use crate::faults::Place;
use crate::http::Response;
use crate::ids::DeviceId;
use crate::media::{DEMO_DEVICE, Demo, Device, Holder, Publisher, Track};
use crate::metrics::PublisherKind;
use crate::totals::Total;

impl Shard {
    /// The device of that name, made if nobody has used it yet.
    pub(crate) fn device(&mut self, now: Instant, id: &DeviceId) -> Result<&mut Device, ApiError> {
        if !self.devices.contains_key(id) {
            let limit = self.config.limits.devices;
            if !limit.allows(self.totals.sum(Total::Devices) + 1) {
                let limit = limit.get().unwrap_or_default();
                return Err(ApiError::Full {
                    what: "devices",
                    limit,
                });
            }
            let source = self.plane.add_source();
            self.by_source.insert(source, id.clone());
            self.devices
                .insert(id.clone(), Device::new(now, id.clone(), source));
            self.totals.set(self.id, Total::Devices, self.devices.len());
        }
        self.devices.get_mut(id).ok_or(ApiError::Internal)
    }

    /// A publisher asks for a track of a device.
    pub(crate) fn claim(
        &mut self,
        now: Instant,
        connection: &Connection,
        publication: &Publication,
    ) -> Result<(), ApiError> {
        let track = publication.track;
        let device = self.device(now, &publication.device)?;
        let previous = device.holder(track);
        if previous.is_some() && !publication.takeover {
            let device = publication.device.clone();
            return Err(ApiError::DeviceBusy {
                device,
                what: track.named(),
            });
        }
        if let Some(previous) = previous {
            self.displace(now, &publication.device, track, previous);
        }
        let holder = Holder {
            kind: PublisherKind::Body,
            connection: Some(connection.id),
            address: Some(connection.peer),
            since: now,
        };
        self.device(now, &publication.device)?
            .set_holder(now, track, Some(holder));
        self.metrics.publishers_started.bump(PublisherKind::Body);
        info!(
            device = %publication.device, ?track, peer = %connection.peer, shard = self.id.index(),
            "publisher started"
        );
        Ok(())
    }

    /// Another publisher takes the track: its holder is told.
    fn displace(&mut self, now: Instant, device: &DeviceId, track: Track, previous: Holder) {
        self.free_track(now, device, track, previous.connection);
        let Some(id) = previous.connection else {
            return;
        };
        let device = device.clone();
        self.with(now, id, |shard, connection| {
            let Role::Http(http) = &mut connection.role else {
                // An agent stays: it also carries out control messages. Its media are refused.
                return None;
            };
            if let Phase::Publish(exchange, publisher) =
                std::mem::replace(&mut http.phase, Phase::Done)
            {
                shard.stop_publishing(now, id, &publisher);
                shard.refuse(now, connection, exchange, ApiError::TakenOver { device });
            }
            None
        });
    }

    /// Goes on with a body after some of it came, or time passed.
    pub(super) fn publish(
        &mut self,
        now: Instant,
        connection: &mut Connection,
        result: Result<(), BitstreamError>,
    ) {
        let id = connection.id;
        let gone = connection.hung_up;
        let Role::Http(http) = &mut connection.role else {
            return;
        };
        let Phase::Publish(exchange, publisher) = &mut http.phase else {
            return;
        };
        if let Some(device) = self.devices.get(&publisher.device) {
            let source = device.source;
            while let Some((capture, unit)) = publisher.next(now) {
                if !self.write_access_unit(now, source, capture, &unit) {
                    return self.fail_publisher(now, connection);
                }
            }
        }
        // What a publisher that is gone has left to be shown at its pace is not shown: the device is
        // free for the next one.
        let done = exchange.complete && (publisher.is_drained() || gone);
        if result.is_ok() && !done {
            if let Some(at) = publisher
                .wakes_at(now)
                .and_then(|at| publisher.alarm.set(at))
            {
                // Silence that has passed already is that of a body which is held back, and not waited for.
                let at = if at > now { at } else { now + TICK };
                self.moments.push(Reverse((at, id)));
            }
            return;
        }
        let Phase::Publish(exchange, publisher) = std::mem::replace(&mut http.phase, Phase::Done)
        else {
            return;
        };
        self.stop_publishing(now, id, &publisher);
        match result {
            Err(fault) => self.refuse(now, connection, exchange, fault.into()),
            Ok(()) => {
                let published = Published {
                    access_units: publisher.access_units(),
                    bytes: publisher.bytes(),
                };
                self.respond(now, connection, &exchange, Response::json(200, &published));
            }
        }
    }

    pub(super) fn publisher_time(&mut self, now: Instant, id: ConnectionId) {
        self.with(now, id, |shard, connection| {
            shard.faults.pass(Place::PublisherTimer);
            let read = connection.reads();
            let Role::Http(http) = &mut connection.role else {
                return None;
            };
            let Phase::Publish(_, publisher) = &mut http.phase else {
                return None;
            };
            match publisher.alarm.fired(now) {
                Fired::Nothing => {}
                Fired::Again(at) => shard.moments.push(Reverse((at, id))),
                Fired::Due => {
                    // A body that is held back is not silent.
                    let result = if read { publisher.silence(now) } else { Ok(()) };
                    shard.publish(now, connection, result);
                }
            }
            None
        });
    }

    /// A body ended, however: its track is free.
    pub(super) fn stop_publishing(
        &mut self,
        now: Instant,
        id: ConnectionId,
        publisher: &Publisher,
    ) {
        info!(
            device = %publisher.device, track = ?publisher.track, shard = self.id.index(),
            access_units = publisher.access_units(), bytes = publisher.bytes(),
            "publisher ended"
        );
        if publisher.cut_pictures() > 0 {
            warn!(
                device = %publisher.device, pictures = publisher.cut_pictures(),
                "the publisher's link was slower than its pictures: some were cut"
            );
        }
        self.free_track(now, &publisher.device, publisher.track, Some(id));
    }

    /// Frees the track if it is that connection that holds it.
    pub(super) fn free_track(
        &mut self,
        now: Instant,
        id: &DeviceId,
        track: Track,
        connection: Option<ConnectionId>,
    ) {
        let Some(device) = self.devices.get_mut(id) else {
            return;
        };
        if device
            .holder(track)
            .is_some_and(|holder| holder.connection == connection)
        {
            device.set_holder(now, track, None);
            if track == Track::Video {
                self.plane.publisher_gone(device.source);
            }
            self.watch_idle(now, id);
        }
    }

    /// Takes back what a connection holds, whatever it was: nothing is left behind.
    pub(crate) fn release(&mut self, now: Instant, connection: &mut Connection) {
        let id = connection.id;
        match &mut connection.role {
            Role::Http(http) => match std::mem::replace(&mut http.phase, Phase::Done) {
                Phase::Publish(_, publisher) => self.stop_publishing(now, id, &publisher),
                Phase::Wait(_, gather) => _ = self.gathers.remove(&gather),
                Phase::Head | Phase::Body(..) | Phase::Done => {}
            },
            Role::Viewer(socket) => {
                let session = socket.session;
                self.detach_socket(now, session, id);
            }
            Role::Agent(socket) => {
                let device = socket.device.clone();
                for track in [Track::Video, Track::Audio] {
                    self.free_track(now, &device, track, Some(id));
                }
                if let Some(device) = self.devices.get_mut(&device)
                    && device.agent == Some(id)
                {
                    device.agent = None;
                    info!(device = %device.id, shard = self.id.index(), "agent gone");
                }
                self.watch_idle(now, &device);
            }
            Role::Member(_) => self.leave_room(now, connection),
        }
    }

    /// Writes a frame of a device from within the process (M4): a picture, or by its codec an audio
    /// packet, that is shown when the one before it has played for its `duration`.
    ///
    /// # Errors
    /// [`ApiError::DeviceBusy`] while somebody else publishes to the device, [`ApiError::Full`].
    pub fn write_video_frame(
        &mut self,
        now: Instant,
        device: &DeviceId,
        frame: &AccessUnit,
        duration: Duration,
    ) -> Result<(), ApiError> {
        let track = if frame.codec.is_video() {
            Track::Video
        } else {
            Track::Audio
        };
        let device = self.device(now, device)?;
        let kind = PublisherKind::Process;
        let started = device.holder(track).is_none();
        if device
            .holder(track)
            .is_some_and(|holder| holder.kind != kind)
        {
            let device = device.id.clone();
            return Err(ApiError::DeviceBusy {
                device,
                what: track.named(),
            });
        }
        if started {
            let holder = Holder {
                kind,
                connection: None,
                address: None,
                since: now,
            };
            device.set_holder(now, track, Some(holder));
        }
        let capture = device.write_time(now, track, duration);
        let source = device.source;
        if started {
            self.metrics.publishers_started.bump(kind);
        }
        match self.write_access_unit(now, source, capture, frame) {
            true => Ok(()),
            false => Err(ApiError::Internal),
        }
    }

    /// Ends what [`Shard::write_video_frame`] began: the device is free for others.
    pub fn end_frames(&mut self, now: Instant, device: &DeviceId) {
        for track in [Track::Video, Track::Audio] {
            let holder = self
                .devices
                .get(device)
                .and_then(|device| device.holder(track));
            if holder.is_some_and(|holder| holder.kind == PublisherKind::Process) {
                self.free_track(now, device, track, None);
            }
        }
    }

    /// An access unit of any publisher: video or audio by its codec, `capture` its time on the
    /// device's timeline. False: the server has failed over it, and the device has no publisher any
    /// more.
    pub(super) fn write_access_unit(
        &mut self,
        now: Instant,
        source: SourceKey,
        capture: Instant,
        unit: &AccessUnit,
    ) -> bool {
        self.metrics.access_units += 1;
        let written = catch_unwind(AssertUnwindSafe(|| {
            self.faults.pass(Place::DeviceFrame);
            self.plane.write(now, source, capture, unit, &mut self.rtc);
        }));
        let Err(panic) = written else {
            return true;
        };
        let device = self.by_source.get(&source).cloned();
        self.mend(now, panic, |shard| {
            shard.end_blamed(now, Blame::Device(device?))
        });
        false
    }

    /// A device that nobody uses is forgotten after a while.
    pub(super) fn watch_idle(&mut self, now: Instant, id: &DeviceId) {
        let linger = self.config.media.device_linger;
        let Some(device) = self.devices.get_mut(id) else {
            return;
        };
        if device.is_idle()
            && let Some(at) = device.alarm.set(now + linger)
        {
            self.schedule(at, Timer::Device(id.clone()));
        }
    }

    pub(super) fn device_time(&mut self, now: Instant, id: &DeviceId) {
        let Some(device) = self.devices.get_mut(id) else {
            return;
        };
        match device.alarm.fired(now) {
            Fired::Nothing => {}
            Fired::Again(at) => self.schedule(at, Timer::Device(id.clone())),
            Fired::Due if device.is_idle() => self.forget_device(id),
            Fired::Due => {}
        }
    }

    fn forget_device(&mut self, id: &DeviceId) {
        if let Some(device) = self.devices.remove(id) {
            self.by_source.remove(&device.source);
            self.plane.remove_source(device.source);
            self.metrics.device_gone(id.as_str());
            self.totals.set(self.id, Total::Devices, self.devices.len());
        }
    }

    /// The bundled clip, on the shard that its device hashes to.
    pub(super) fn start_demo(&mut self, now: Instant) {
        let Ok(id) = DeviceId::try_from(DEMO_DEVICE) else {
            return;
        };
        if self.shards.shard_of(&id) != self.id {
            return;
        }
        self.demo = Some(Demo::new(now, id));
        self.demo_time(now);
    }

    pub(super) fn demo_time(&mut self, now: Instant) {
        let Some(mut demo) = self.demo.take() else {
            return;
        };
        let id = demo.device().clone();
        while let Some((unit, duration)) = demo.next(now) {
            if let Err(error) = self.write_video_frame(now, &id, unit, duration) {
                self.end_frames(now, &id);
                return info!(device = %id, "the demo has ended: {error}");
            }
        }
        self.schedule(demo.wakes_at(), Timer::Demo);
        self.demo = Some(demo);
    }
}
