//! What a viewer can do with its data channel.

use std::time::Duration;

use rtc::{CONTROL_MESSAGE_BYTES, Codec, Event};
use str0m::channel::ChannelConfig;

use crate::support::media::Stream;
use crate::support::{Sim, ViewerId};

const SECOND: Duration = Duration::from_secs(1);

fn with_channel(sim: &mut Sim) -> (rtc::SourceKey, ViewerId) {
    let source = sim.plane.add_source();
    let viewer = sim.watch(source);
    sim.run_until(SECOND, "the channel", |sim| {
        sim.viewer(viewer).channel.is_some()
            && sim.plane.session(sim.key(viewer)).unwrap().channel_open()
    });
    (source, viewer)
}

fn still_carries(sim: &mut Sim, viewer: ViewerId) {
    let session = sim.key(viewer);
    let before = sim.count(|event| matches!(event, Event::ChannelMessage { .. }));
    let now = sim.now;
    sim.viewer_mut(viewer).send_text(now, "touch");
    assert!(sim.plane.send_text(now, session, "ack", &mut sim.out));
    sim.flush();
    sim.run_for(2 * SECOND);
    assert_eq!(sim.viewer(viewer).messages.last().unwrap(), "ack");
    let after = sim.count(|event| matches!(event, Event::ChannelMessage { .. }));
    assert_eq!(after, before + 1);
}

#[test]
fn channels_of_the_viewers_own_are_closed_and_few() {
    let mut sim = Sim::new(260);
    let (source, viewer) = with_channel(&mut sim);
    sim.viewer_mut(viewer).forgiving = true;
    // One after the other, then two hundred before the first of them can be closed.
    for (number, pause) in (0..250).map(|number| (number, u64::from(number < 50))) {
        let label = format!("{number}");
        let config = ChannelConfig {
            label,
            ..ChannelConfig::default()
        };
        sim.viewer_mut(viewer)
            .rtc
            .direct_api()
            .create_data_channel(config);
        let now = sim.now;
        sim.viewer_mut(viewer).wake(now);
        sim.run_for(Duration::from_millis(20 * pause));
    }
    sim.run_for(SECOND);
    assert!(sim.plane.counters().refused > 0, "streams past the bound");
    assert_eq!(sim.plane.counters().panics, 0);
    still_carries(&mut sim, viewer);
    sim.publish_for(source, &mut Stream::small(Codec::H264, 25), 10);
    sim.run_for(SECOND / 10);
    assert_eq!(sim.viewer(viewer).pictures().len(), 10);
}

#[test]
fn what_is_too_long_or_no_text_is_dropped_and_counted() {
    let mut sim = Sim::new(261);
    let (_, viewer) = with_channel(&mut sim);
    let (now, id) = (sim.now, sim.viewer(viewer).channel.unwrap());
    let mut channel = sim.viewer_mut(viewer).rtc.channel(id).unwrap();
    assert!(channel.write(true, b"binary").unwrap());
    assert!(channel.write(false, b"\xff\xfe").unwrap());
    // The offer has said how long one may be; a viewer of ours would refuse.
    let too_long = vec![b'x'; CONTROL_MESSAGE_BYTES + 1];
    assert!(!channel.write(false, &too_long).unwrap_or(false));
    sim.viewer_mut(viewer).drain(now);
    sim.run_for(SECOND);
    assert_eq!(sim.plane.counters().channel_messages_dropped, 2);
    still_carries(&mut sim, viewer);
}

#[test]
fn a_flood_of_messages_disturbs_no_other_viewer() {
    let mut sim = Sim::new(262);
    let (source, noisy) = with_channel(&mut sim);
    let quiet = sim.watch(source);
    let mut stream = Stream::small(Codec::H264, 25);
    let id = sim.viewer(noisy).channel.unwrap();
    for _ in 0..50 {
        let now = sim.now;
        let viewer = sim.viewer_mut(noisy);
        for _ in 0..200 {
            if let Some(mut channel) = viewer.rtc.channel(id) {
                let _ = channel.write(false, b"{\"type\":\"touch\"}");
            }
        }
        viewer.drain(now);
        sim.publish_for(source, &mut stream, 1);
    }
    sim.run_for(SECOND / 10);
    sim.viewer(quiet).assert_smooth();
    assert_eq!(sim.viewer(quiet).pictures().len(), 50);
    assert_eq!(sim.plane.sessions(), 2);
}
