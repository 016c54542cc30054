//! Rooms outlive the server, however it ends.

use std::time::Duration;

use serde_json::{Value, json};

use simulation::{Sim, numbers};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);

fn on_disk(seed: u64) -> (Sim, tempfile::TempDir) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let sim = Sim::with(2, seed, |config| config.store.path = path);
    (sim, folder)
}

#[test]
fn a_clean_restart_goes_on_where_it_was() {
    let (mut sim, _folder) = on_disk(83);
    let room = sim.live_room(0);
    let mut ann = sim.member(room, "ann");
    for n in 0..3 {
        ann.say(&mut sim, &format!("{n}"));
    }
    sim.run_for(SECOND);
    sim.restart(true);
    let frames = ann.listen(&mut sim, MS);
    assert_eq!(numbers(&frames), [1, 2, 3]);
    assert_eq!(frames.last().unwrap()["type"], "closing");
    assert_eq!(ann.closed(&mut sim), Some(1001));

    let (mut ann, hello) = sim.member_with(room, "ann", "&since=1&epoch=1");
    assert_eq!((&hello["epoch"], &hello["seq"]), (&json!(1), &json!(3)));
    ann.say(&mut sim, "again");
    assert_eq!(numbers(&ann.listen(&mut sim, SECOND)), [2, 3, 4]);
}

#[test]
fn a_crash_begins_a_new_epoch_and_loses_nothing_acknowledged() {
    let (mut sim, _folder) = on_disk(84);
    let room = sim.live_room(0);
    let mut ann = sim.member(room, "ann");
    ann.send(
        &mut sim,
        &json!({"type": "danmu", "content": "kept", "id": 1}),
    );
    ann.expect(&mut sim, "ack");
    sim.store.delay = 10 * SECOND;
    ann.send(
        &mut sim,
        &json!({"type": "danmu", "content": "lost", "id": 2}),
    );
    ann.expect(&mut sim, "danmu");
    sim.restart(false);

    let (mut ann, hello) = sim.member_with(room, "ann", "&since=2&epoch=1");
    assert_eq!((&hello["epoch"], &hello["seq"]), (&json!(2), &json!(0)));
    let told = ann.expect(&mut sim, "system");
    assert_eq!(told["code"], "history_truncated");
    ann.say(&mut sim, "new");
    assert_eq!(ann.expect(&mut sim, "danmu")["seq"], 1);
    sim.run_for(SECOND);
    let history = sim.read_json(&format!("/api/v1/rooms/{room}/messages"));
    let said: Vec<_> = history["messages"].as_array().unwrap().iter().collect();
    assert_eq!(said.len(), 2);
    assert_eq!(
        (&said[0]["content"], &said[0]["epoch"]),
        (&json!("kept"), &json!(1))
    );
    assert_eq!(
        (&said[1]["content"], &said[1]["epoch"]),
        (&json!("new"), &json!(2))
    );
    assert_eq!(history["next_cursor"], Value::Null);
    // One by one nothing is skipped where the epoch changes.
    let (mut contents, mut more) = (Vec::new(), String::new());
    loop {
        let page = sim.read_json(&format!("/api/v1/rooms/{room}/messages?limit=1{more}"));
        let messages = page["messages"].as_array().unwrap().iter();
        contents.extend(messages.map(|message| message["content"].clone()));
        match page["next_cursor"].as_str() {
            Some(cursor) => more = format!("&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(contents, ["kept", "new"]);
    let epoch = sim.read_json(&format!("/api/v1/rooms/{room}/messages?after=0"));
    assert_eq!(epoch["messages"].as_array().unwrap().len(), 1);
    for (last, contents) in [
        (1, &["new"][..]),
        (2, &["kept", "new"]),
        (9, &["kept", "new"]),
    ] {
        let end = sim.read_json(&format!("/api/v1/rooms/{room}/messages?last={last}"));
        let end = end["messages"].as_array().unwrap().iter();
        assert!(
            end.map(|message| &message["content"]).eq(contents),
            "{last}"
        );
    }
}

#[test]
fn what_happened_to_a_room_is_stored_once_the_store_takes_it() {
    let (mut sim, _folder) = on_disk(87);
    let (started, stopped, left) = (sim.idle_room(0), sim.live_room(1), sim.live_room(1));
    sim.restart(true);
    sim.store.full = true;
    for (room, what) in [(started, "start"), (stopped, "stop")] {
        let client = sim.connect(0);
        let target = format!("/api/v1/rooms/{room}/{what}");
        let refused = sim.request(client, "POST", &target, &[("X-User-Id", "ann")], b"");
        refused.expect_error(503, "store_failed");
    }
    // The other one's anchor stays away: nobody asks for its end.
    sim.run_for(11 * 60 * SECOND);
    let status = |sim: &mut Sim| {
        [started, stopped, left].map(|room| {
            let room = sim.read_json(&format!("/api/v1/rooms/{room}"));
            room["status"].as_u64().expect("a status")
        })
    };
    assert_eq!(status(&mut sim), [1, 2, 2]);
    sim.store.full = false;
    sim.run_for(2 * SECOND);
    sim.restart(false);
    assert_eq!(status(&mut sim), [1, 2, 2]);
}

#[test]
fn a_recovered_room_ends_without_its_anchor() {
    let (mut sim, _folder) = on_disk(85);
    let (left, kept) = (sim.live_room(0), sim.live_room(1));
    sim.run_for(SECOND);
    sim.restart(false);
    let _ann = sim.member(kept, "ann");
    let mut bob = sim.member(left, "bob");
    bob.listen(&mut sim, 9 * 60 * SECOND);
    assert_eq!(sim.read_json(&format!("/api/v1/rooms/{left}"))["status"], 1);
    assert_eq!(bob.closed_within(&mut sim, 70 * SECOND), Some(1000));
    assert_eq!(sim.read_json(&format!("/api/v1/rooms/{left}"))["status"], 2);
    assert_eq!(sim.read_json(&format!("/api/v1/rooms/{kept}"))["status"], 1);
}

#[test]
fn the_demo_has_one_room_however_often_it_starts() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.db");
    let mut sim = Sim::with(2, 86, |config| {
        config.store.path = path;
        config.demo = true;
    });
    for clean in [true, false, true] {
        sim.run_for(11 * 60 * SECOND);
        let rooms = sim.read_json("/api/v1/rooms");
        assert_eq!(rooms["rooms"].as_array().unwrap().len(), 1, "{rooms}");
        let demo = &rooms["rooms"][0];
        assert_eq!(
            (&demo["status"], &demo["device_id"]),
            (&json!(1), &json!("demo"))
        );
        sim.restart(clean);
    }
    sim.run_for(SECOND);
    sim.act(1, "stop", "demo");
    sim.restart(true);
    let live = |sim: &mut Sim| {
        sim.run_for(SECOND);
        let list = sim.read_json("/api/v1/rooms?status=1");
        let ids = list["rooms"].as_array().unwrap().iter();
        Vec::from_iter(ids.map(|room| room["id"].as_u64().unwrap()))
    };
    let next = live(&mut sim);
    assert!(next.len() == 1 && next != [1], "a new one: {next:?}");
    sim.restart(true);
    assert_eq!(live(&mut sim), next, "the newest one goes on");

    // Without the clip nothing is to be seen in it; rooms of others are none of its business.
    let other = sim.live_room(1);
    sim.reconfigure(|config| config.demo = false);
    sim.restart(true);
    assert_eq!(live(&mut sim), [other]);
    sim.reconfigure(|config| config.demo = true);
    sim.restart(true);
    assert_eq!(live(&mut sim).len(), 2);
}
