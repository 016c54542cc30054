//! Panics on purpose: what each ends, who is told, and that everybody else goes on.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use media_service::faults::{Fault, Place};
use media_service::shard::PANICS_PER_MINUTE;
use serde_json::json;

use simulation::support::http::{LAST_CHUNK, chunk};
use simulation::support::media::Clip;
use simulation::{Sim, Socket, UPGRADE, head, numbers, request};

const SECOND: Duration = Duration::from_secs(1);
const PUBLISH: [(&str, &str); 2] = [
    ("Content-Type", "video/h264"),
    ("Transfer-Encoding", "chunked"),
];

/// What these tests do with a simulation.
trait Strike {
    fn strike(&mut self, place: Place);
    fn calm(&mut self);
    fn assert_caught(&mut self, part: &str);
}

impl Strike for Sim {
    fn strike(&mut self, place: Place) {
        self.shards[0].inject(Fault::Panic(place));
    }

    /// What waits for its place is forgotten.
    fn calm(&mut self) {
        self.shards[0].inject(Fault::None);
    }

    /// Everything has come to its place: the panic was caught, once, and only this part has ended.
    #[track_caller]
    fn assert_caught(&mut self, part: &str) {
        let metrics = self.metrics();
        let caught = |labels: &[(&str, &str)]| metrics.sum("media_panics_caught_total", labels);
        assert_eq!(caught(&[("part", part)]), 1.0, "{part}");
        assert_eq!(caught(&[]), 1.0, "and nothing else");
        self.assert_sound();
    }
}

/// Two rooms with two members each, of which the first is to fail.
struct Rooms {
    bad: u64,
    good: u64,
    ann: Socket,
    bob: Socket,
    eve: Socket,
    joe: Socket,
}

fn rooms(sim: &mut Sim) -> Rooms {
    let (bad, good) = (sim.live_room(0), sim.live_room(0));
    Rooms {
        bad,
        good,
        ann: sim.member(bad, "ann"),
        bob: sim.member(bad, "bob"),
        // She is in both: who is online is counted by rooms.
        eve: sim.member(good, "ann"),
        joe: sim.member(good, "joe"),
    }
}

impl Rooms {
    /// The first room has ended, its members were told, and the second one works.
    #[track_caller]
    fn assert_one_failed(mut self, sim: &mut Sim, said: &[&str]) {
        for member in [&mut self.ann, &mut self.bob] {
            let closing = member.expect(sim, "closing");
            assert_eq!(closing["reason"], "a fault of the server", "{closing}");
            assert_eq!(member.closed(sim), Some(1011));
        }
        sim.assert_caught("room");
        let room = sim.read_json(&format!("/api/v1/rooms/{}", self.bad));
        assert_eq!(room["status"], 2, "{room}");
        let page = sim.read_json(&format!("/api/v1/rooms/{}/messages", self.bad));
        let contents = page["messages"].as_array().expect("a list").iter();
        let contents: Vec<_> = contents.filter_map(|it| it["content"].as_str()).collect();
        assert_eq!(contents, said, "what was said before is stored");

        self.joe.say(sim, "still here");
        for member in [&mut self.eve, &mut self.joe] {
            assert_eq!(member.expect(sim, "danmu")["content"], "still here");
        }
        let viewers = sim.read_json(&format!("/api/v1/rooms/{}/viewers", self.good));
        assert_eq!(viewers["viewers"].as_array().map(Vec::len), Some(2));
        let online = sim.read_json("/api/v1/stats/online");
        assert_eq!(
            (&online["users"], &online["rooms_live"]),
            (&json!(2), &json!(1)),
            "{online}"
        );
        // The room's place is given out again, and nothing of it comes back.
        let next = sim.live_room(0);
        let mut zoe = sim.member(next, "zoe");
        zoe.say(sim, "new");
        assert_eq!(zoe.expect(sim, "danmu")["content"], "new");
        sim.run_for(10 * SECOND);
        sim.assert_sound();
    }
}

#[test]
fn a_room_that_fails_over_a_message_ends_alone() {
    let mut sim = Sim::new(1, 1);
    let mut rooms = rooms(&mut sim);
    rooms.bob.say(&mut sim, "before");
    rooms.ann.expect(&mut sim, "danmu");
    sim.run_for(SECOND);
    sim.strike(Place::RoomMessage);
    rooms.bob.say(&mut sim, "the last straw");
    // It stood in the log when the room failed, but nothing says that it was stored.
    rooms.assert_one_failed(&mut sim, &["before"]);
}

#[test]
fn a_room_that_fails_while_it_is_swept_ends_alone() {
    for place in [Place::RoomSweep, Place::RoomFlush, Place::RoomDelivery] {
        let mut sim = Sim::new(1, 2);
        let mut rooms = rooms(&mut sim);
        sim.run_for(2 * SECOND);
        sim.strike(place);
        rooms.bob.say(&mut sim, "hello");
        rooms.assert_one_failed(&mut sim, &["hello"]);
    }
}

#[test]
fn a_room_that_fails_by_itself_ends_alone() {
    let mut sim = Sim::new(1, 3);
    let rooms = rooms(&mut sim);
    sim.run_for(2 * SECOND);
    sim.strike(Place::RoomTimer);
    // That of its presence.
    let _zoe = sim.member(rooms.bad, "zoe");
    sim.run_for(2 * SECOND);
    rooms.assert_one_failed(&mut sim, &[]);
}

#[test]
fn a_room_that_fails_over_a_member_that_comes_ends_alone() {
    let mut sim = Sim::new(1, 4);
    let rooms = rooms(&mut sim);
    sim.run_for(2 * SECOND);
    sim.strike(Place::RoomJoin);
    let target = format!("/ws?room_id={}&user_id=zoe", rooms.bad);
    let client = sim.connect(0);
    let response = sim.request(client, "GET", &target, &UPGRADE, b"");
    response.expect_error(500, "internal");
    rooms.assert_one_failed(&mut sim, &[]);
}

/// A member whose socket has taken half a frame is given the other half before the close frame.
#[test]
fn a_member_in_the_middle_of_a_frame_understands_the_end() {
    let mut sim = Sim::new(1, 5);
    let room = sim.live_room(0);
    let mut ann = sim.member(room, "ann");
    let mut slow = sim.member(room, "slow");
    // What is told of their coming is read.
    slow.listen(&mut sim, 2 * SECOND);
    sim.wire(slow.client).window = 40;
    ann.say(&mut sim, &"x".repeat(500));
    sim.run_for(SECOND / 10);
    sim.strike(Place::RoomMessage);
    ann.say(&mut sim, "the last straw");
    ann.expect(&mut sim, "closing");
    sim.wire(slow.client).window = usize::MAX;
    sim.run_for(SECOND / 10);
    assert_eq!(numbers(&[slow.expect(&mut sim, "danmu")]), [1]);
    slow.expect(&mut sim, "closing");
    assert_eq!(slow.closed(&mut sim), Some(1011));
    sim.assert_caught("room");
}

fn session(sim: &mut Sim, device: &str) -> String {
    let client = sim.connect(0);
    let created = sim.create(client, device);
    sim.wire(client).reset = true;
    created["sessionId"].as_str().expect("an id").to_owned()
}

fn status(sim: &mut Sim, target: &str) -> u16 {
    let client = sim.connect(0);
    let close = [("Connection", "close")];
    sim.request(client, "GET", target, &close, b"").status
}

/// A viewer's socket, and its session.
fn viewer(sim: &mut Sim, user: &str) -> (Socket, String) {
    let target = format!("/api/media/ws?deviceId=cam-1&userId={user}");
    let mut viewer = sim.open(0, &target);
    let offer = viewer.expect(sim, "offer");
    (
        viewer,
        offer["sessionId"].as_str().expect("an id").to_owned(),
    )
}

#[test]
fn a_session_that_fails_ends_alone_and_its_viewer_is_told() {
    for place in [Place::SessionMedia, Place::SessionTimer, Place::Request] {
        let mut sim = Sim::new(1, 6);
        let (mut ada, of_ada) = viewer(&mut sim, "ada");
        sim.run_for(SECOND);
        sim.strike(place);
        if place == Place::Request {
            let client = sim.connect(0);
            let target = format!("/api/media/sessions/{of_ada}/offer");
            let answer = sim.request(client, "POST", &target, &[], b"");
            answer.expect_error(500, "internal");
            assert_eq!(
                sim.get(client, "/health").status,
                200,
                "the connection goes on"
            );
        }
        // A session's own deadline passes when its viewer has said nothing for five minutes.
        let closing = ada.expect_within(&mut sim, 310 * SECOND, "closing");
        assert_eq!(closing["reason"], "a fault of the server");
        assert_eq!(ada.closed(&mut sim), Some(1011));
        assert_eq!(
            status(&mut sim, &format!("/api/media/sessions/{of_ada}")),
            404
        );
        let (_bob, of_bob) = viewer(&mut sim, "bob");
        sim.run_for(SECOND);
        assert_eq!(
            status(&mut sim, &format!("/api/media/sessions/{of_bob}")),
            200
        );
        sim.assert_caught("session");
    }
}

#[test]
fn a_viewer_whose_message_fails_its_session_is_told() {
    let mut sim = Sim::new(1, 7);
    let (mut ada, of_ada) = viewer(&mut sim, "ada");
    let other = session(&mut sim, "cam-1");
    sim.strike(Place::SessionMessage);
    ada.send(&mut sim, &json!({"type": "offer"}));
    ada.expect(&mut sim, "closing");
    assert_eq!(ada.closed(&mut sim), Some(1011));
    assert_eq!(
        status(&mut sim, &format!("/api/media/sessions/{of_ada}")),
        404
    );
    assert_eq!(
        status(&mut sim, &format!("/api/media/sessions/{other}")),
        200
    );
    sim.assert_caught("session");
}

#[test]
fn a_connection_that_fails_is_closed_alone() {
    for place in [
        Place::ConnectionBytes,
        Place::ConnectionTimer,
        Place::SocketMessage,
    ] {
        let mut sim = Sim::new(1, 8);
        let room = sim.live_room(0);
        let mut ann = sim.member(room, "ann");
        sim.run_for(SECOND);
        sim.strike(place);
        ann.say(&mut sim, "hello");
        // Its next ping.
        sim.run_for(60 * SECOND);
        assert_eq!(
            ann.closed(&mut sim),
            None,
            "nobody knows what it has been sent"
        );
        assert_eq!(sim.read_json(&format!("/api/v1/rooms/{room}"))["status"], 1);
        let mut bob = sim.member(room, "bob");
        bob.say(&mut sim, "still here");
        assert_eq!(bob.expect(&mut sim, "danmu")["content"], "still here");
        sim.assert_caught("connection");
    }
}

/// A request has made its connection a publisher, an agent, a member or a viewer, and the connection fails before it
/// knows of that.
#[test]
fn what_a_connection_was_given_before_it_failed_is_taken_back() {
    let mut sim = Sim::new(1, 14);
    let room = sim.live_room(0);
    let member = format!("/ws?room_id={room}&user_id=ann");
    for (method, target, headers) in [
        ("PUT", "/api/media/devices/cam-1/video", &PUBLISH[..]),
        ("GET", "/api/media/devices/cam-1/ws", &UPGRADE[..]),
        (
            "GET",
            "/api/media/ws?deviceId=cam-1&userId=ada",
            &UPGRADE[..],
        ),
        ("GET", &member, &UPGRADE[..]),
    ] {
        sim.strike(Place::Reply);
        let client = sim.connect(0);
        sim.send(client, head(method, target, headers));
        sim.expect_closed(5 * SECOND, client);
        sim.assert_sound();
        // It is free for the next one.
        let next = sim.connect(0);
        sim.send(next, head(method, target, headers));
        if method == "GET" {
            assert_eq!(sim.response(next).status, 101, "{target}");
        } else {
            sim.send(next, chunk(&Clip::tiny_h264().unit(0)));
            sim.send(next, LAST_CHUNK);
            sim.response(next).expect(200);
        }
    }
    sim.calm();
    sim.run_for(400 * SECOND);
    sim.assert_sound();
}

#[test]
fn a_publisher_whose_pictures_fail_the_server_is_told_and_viewers_stay() {
    let mut sim = Sim::new(1, 9);
    let clip = Clip::tiny_h264();
    let (_ada, of_ada) = viewer(&mut sim, "ada");
    let publish = |sim: &mut Sim| {
        let client = sim.connect(0);
        sim.send(
            client,
            head("PUT", "/api/media/devices/cam-1/video", &PUBLISH),
        );
        for number in 0..3 {
            sim.send(client, chunk(&clip.unit(number)));
            sim.run_for(SECOND / 30);
        }
        client
    };
    sim.strike(Place::DeviceFrame);
    let first = publish(&mut sim);
    sim.response(first).expect_error(500, "internal");
    sim.expect_closed(5 * SECOND, first);
    assert_eq!(
        status(&mut sim, &format!("/api/media/sessions/{of_ada}")),
        200
    );
    let second = publish(&mut sim);
    sim.send(second, LAST_CHUNK);
    assert_eq!(sim.response(second).expect(200).json()["accessUnits"], 3);
    sim.assert_caught("device");
}

#[test]
fn a_device_that_fails_when_it_is_to_be_forgotten_is_forgotten_later() {
    let mut sim = Sim::new(1, 8);
    let client = sim.connect(0);
    let target = format!("/api/media/sessions/{}", session(&mut sim, "cam-1"));
    sim.strike(Place::DeviceTimer);
    let deleted = sim.request(client, "DELETE", &target, &[], b"");
    assert_eq!(deleted.status, 204);
    sim.run_for(120 * SECOND);
    assert_eq!(status(&mut sim, "/api/media/devices/cam-1"), 404);
    sim.assert_caught("device");
}

#[test]
fn an_order_to_end_is_not_lost() {
    let mut sim = Sim::new(1, 9);
    sim.strike(Place::Mailbox);
    sim.drain(5 * SECOND);
    sim.run_until(6 * SECOND, "the shard ends", |sim| sim.has_ended(0));
}

#[test]
fn a_question_that_fails_has_no_answer_and_the_next_one_has() {
    let mut sim = Sim::new(2, 10);
    sim.strike(Place::Mailbox);
    let client = sim.connect(1);
    let refused = sim.get(client, "/api/media/sessions");
    refused.expect_error(503, "shard_busy");
    sim.get(client, "/api/media/sessions").expect(200);
    sim.assert_caught("question");
}

#[test]
fn a_request_that_fails_is_answered() {
    let mut sim = Sim::new(1, 11);
    let client = sim.connect(0);
    sim.strike(Place::Request);
    sim.get(client, "/api/media/devices")
        .expect_error(500, "internal");
    sim.get(client, "/api/media/devices").expect(200);
    sim.assert_caught("question");
}

/// Where nobody is to blame, or too often, the shard is left to its end.
#[test]
fn a_shard_that_fails_itself_or_too_often_dies() {
    let mut sim = Sim::new(1, 12);
    sim.strike(Place::Turn);
    let died = catch_unwind(AssertUnwindSafe(|| sim.step()));
    assert!(died.is_err());

    let mut sim = Sim::new(1, 13);
    let client = sim.connect(0);
    for _ in 0..PANICS_PER_MINUTE {
        sim.strike(Place::Request);
        sim.send(client, request("GET", "/api/media/devices", &[], b""));
        sim.response(client).expect_error(500, "internal");
    }
    sim.assert_sound();
    sim.strike(Place::Request);
    sim.send(client, request("GET", "/api/media/devices", &[], b""));
    let died = catch_unwind(AssertUnwindSafe(|| sim.run_for(SECOND)));
    assert!(died.is_err(), "one more in that minute");
    // Whoever catches that (the shard is called from within the guard of a connection's TLS) does not save it.
    let died = catch_unwind(AssertUnwindSafe(|| sim.run_for(SECOND)));
    assert!(died.is_err(), "it has given itself up");
}

#[test]
fn a_minute_later_panics_are_forgiven() {
    let mut sim = Sim::new(1, 14);
    for _ in 0..3 {
        let client = sim.connect(0);
        for _ in 0..PANICS_PER_MINUTE {
            sim.strike(Place::Request);
            sim.get(client, "/api/media/devices")
                .expect_error(500, "internal");
        }
        sim.run_for(60 * SECOND);
    }
    sim.assert_sound();
}

/// Whatever is struck while everything is at work: tables, gauges and cursors fit together after each step, and who
/// comes afterwards is served.
#[test]
fn any_place_may_fail_at_any_time() {
    let clip = Clip::tiny_h264();
    for seed in 100..105 {
        let mut sim = Sim::new(1, seed);
        let rooms: Vec<u64> = (0..3).map(|_| sim.live_room(0)).collect();
        for _ in 0..30 {
            let place = Place::ALL[sim.draw(Place::ALL.len())];
            if place != Place::Turn {
                sim.strike(place);
            }
            let room = rooms[sim.draw(rooms.len())];
            match sim.draw(4) {
                0 => {
                    let client = sim.connect(0);
                    let target = format!("/ws?room_id={room}&user_id=u{}", sim.draw(4));
                    let danmu = json!({"type": "danmu", "content": "x"}).to_string();
                    sim.send(client, head("GET", &target, &UPGRADE));
                    sim.send(client, masked(danmu.as_bytes()));
                }
                1 => {
                    let client = sim.connect(0);
                    let body = json!({"deviceId": "cam-1", "userId": "ada"}).to_string();
                    let create = request("POST", "/api/media/sessions", &[], body.as_bytes());
                    sim.send(client, create);
                }
                2 => {
                    let client = sim.connect(0);
                    let query = "?takeover=true";
                    let target = format!("/api/media/devices/cam-1/video{query}");
                    sim.send(client, head("PUT", &target, &PUBLISH));
                    (0..5).for_each(|n| sim.send(client, chunk(&clip.unit(n))));
                }
                _ => {
                    let client = sim.connect(0);
                    let join = format!("/api/v1/rooms/{room}/join");
                    let user = [("X-User-Id", "bob")];
                    sim.send(client, request("POST", &join, &user, b""));
                }
            }
            for _ in 0..sim.draw(200) {
                sim.step();
                sim.assert_sound();
            }
        }
        sim.calm();
        sim.run_for(SECOND);
        let caught = sim.metrics().sum("media_panics_caught_total", &[]);
        assert!(caught >= 10.0, "{caught} of 30");
        let next = sim.live_room(0);
        let mut zoe = sim.member(next, "zoe");
        zoe.say(&mut sim, "new");
        assert_eq!(zoe.expect(&mut sim, "danmu")["content"], "new");
        let (_ada, of_ada) = viewer(&mut sim, "ada");
        let target = format!("/api/media/sessions/{of_ada}");
        assert_eq!(status(&mut sim, &target), 200);
        // Every client is gone, every timeout has passed.
        sim.run_for(400 * SECOND);
        sim.assert_sound();
    }
}

/// A text frame of a client (RFC 6455 §5.3), short enough for one byte of length.
fn masked(text: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x81, 0x80 | text.len() as u8, 0, 0, 0, 0];
    frame.extend(text);
    frame
}
