//! The rooms of the page in headless Chromium: two people in one room, a restart under them, a flood of messages, and
//! signing in. What is asserted is what they would see.

mod support;

use std::io::Write;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use support::browser::Browser;
use support::rooms::Member;
use support::server::Server;
use support::{SOON, wait_until};

/// Messages a second of the flood, and how long the page is watched in it.
const FLOOD_PER_SECOND: u32 = 200;
const WATCHED: Duration = Duration::from_secs(10);
/// Times that the flood is watched until one is smooth: server, encoder, browser and its decoder share the machine.
const SPANS: usize = 3;
/// Frames a second that count as smooth, or this part of what the page has without messages where that is fewer.
const SMOOTH_FPS: f64 = 50.0;
const SMOOTH_PART: f64 = 0.8;
/// A task longer than this is felt (ms).
const LONG_TASK_MS: f64 = 200.0;

/// Two pictures decoded at once would disturb each other on a small machine: these tests take turns.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn page(server: &Server, rest: &str) -> String {
    format!("http://{}/#/rooms{rest}", server.http())
}

/// Opens the page under a name.
fn open_as(browser: &mut Browser, name: &str, url: &str) {
    browser.open(name, url);
    browser.fill(name, "[data-ref='user']", name);
    browser.press(name, "Enter");
}

/// Makes a room by hand, starts it, and gives its id.
fn make_room(browser: &mut Browser, name: &str, title: &str, device: &str) -> u64 {
    browser.click(name, "[data-ref='newRoom']");
    browser.fill(name, "[data-ref='newTitle']", title);
    browser.fill(name, "[data-ref='newDevice']", device);
    browser.click(name, "[data-ref='newRoomMake']");
    browser.wait_room(name, "the new room is live", |room| room["state"] == "live");
    let id = browser.room(name)["roomId"].clone();
    id.as_str()
        .and_then(|id| id.parse().ok())
        .expect("the room's id")
}

fn say(browser: &mut Browser, name: &str, text: &str) {
    browser.fill(name, "#say", text);
    browser.press(name, "Enter");
}

/// What stands in the chat: who and what, without what became of one's own.
fn chat(browser: &mut Browser, name: &str) -> Vec<String> {
    let lines = "() => [...document.querySelectorAll('.line')].map((line) =>
        [...line.children].filter((part) => !part.matches('.fate')).map((part) => part.textContent).join(' ').trim())";
    let lines = browser.evaluate(name, lines);
    let text = |line: &Value| line.as_str().expect("a text").to_owned();
    lines.as_array().expect("a list").iter().map(text).collect()
}

#[track_caller]
fn wait_chat(browser: &mut Browser, name: &str, lines: &[&str]) {
    let deadline = Instant::now() + SOON;
    loop {
        let shown = chat(browser, name);
        if shown
            .iter()
            .map(|line| line.trim())
            .eq(lines.iter().copied())
        {
            return;
        }
        assert!(Instant::now() < deadline, "{name} sees {shown:#?}");
        thread::sleep(Duration::from_millis(50));
    }
}

/// Nothing of a room is left in sight, but why there is nothing to see.
#[track_caller]
fn assert_no_trace(browser: &mut Browser, name: &str, headline: &str) {
    let traces = "() => ['roomAnchor', 'roomFace', 'roomMark', 'roomRank', 'tabViewers', 'viewerRows', 'chatRows', 'arrivals']
        .map((ref) => document.querySelector(`[data-ref='${ref}']`).textContent)
        .concat(document.querySelector('#room').checkVisibility() ? [] : ['hidden'])
        .concat(document.querySelector('.room-figures').checkVisibility() ? ['figures'] : [])
        .concat(document.querySelector('[data-ref=roomBackdrop][data-blank]') ? [] : ['cover'])
        .concat(document.querySelector('[data-ref=roomBackdrop] img') ? ['cover'] : [])
        .join('')";
    assert_eq!(browser.evaluate(name, traces), "");
    assert_eq!(
        browser.texts(name, "[data-ref='roomTitle'], [data-ref='roomHeadline']"),
        json!(["Room", headline])
    );
    let room = browser.room(name);
    for figure in ["viewers", "heat", "rank", "seq"] {
        assert_eq!(room[figure], Value::Null, "{room:#}");
    }
}

/// Everything that was said is kept.
fn wait_sent(browser: &mut Browser, name: &str) {
    browser.wait_room(name, "what was said is acknowledged", |room| {
        room["pending"] == "0"
    });
    let unsent =
        "() => document.querySelectorAll('.line[data-state]:not([data-state=sent])').length";
    let deadline = Instant::now() + SOON;
    while browser.evaluate(name, unsent) != 0 {
        assert!(Instant::now() < deadline, "{:?}", chat(browser, name));
        thread::sleep(Duration::from_millis(50));
    }
}

fn number(room: &Value, name: &str) -> f64 {
    let text = room[name].as_str();
    text.and_then(|text| text.parse().ok()).unwrap_or(f64::NAN)
}

#[test]
#[ignore = "needs Chromium and Python with Playwright"]
fn two_people_in_a_room_see_each_other_talk_give_and_like() {
    let _turn = turn();
    let server = Server::start(&["--demo"]);
    let mut browser = Browser::start();
    open_as(&mut browser, "ada", &page(&server, ""));
    let room = make_room(&mut browser, "ada", "Two <b>people</b>", "demo");
    open_as(&mut browser, "bob", &page(&server, &format!("/{room}")));
    for name in ["ada", "bob"] {
        browser.wait_room(name, "both are there, and the picture plays", |room| {
            room["viewers"] == "2" && room["picture"] == "playing"
        });
    }
    assert_eq!(
        browser.texts("bob", "[data-ref='roomTitle']"),
        json!(["Two <b>people</b>"])
    );

    say(&mut browser, "ada", "hello <img src=x onerror=alert(1)>");
    let hello = "ada hello <img src=x onerror=alert(1)>";
    wait_chat(&mut browser, "bob", &[hello]);
    browser.click("bob", "[data-gift='rocket']");
    browser.click("bob", "[data-gift='rocket']");
    for name in ["ada", "bob"] {
        wait_chat(
            &mut browser,
            name,
            &[hello, "bob sent Rocket  ×1", "bob sent Rocket  ×1"],
        );
        wait_sent(&mut browser, name);
        // The same gift counts up on its banner.
        wait_until(SOON, "the banner counts", || {
            browser.texts(name, ".banner .times") == json!(["×2"])
        });
        browser.wait_room(name, "what was said flies", |room| room["flown"] == "1");
    }
    browser.click("ada", "[data-ref='like']");
    browser.wait_room("bob", "a like arrives", |room| room["likes"] == "1");
    browser.wait_room("bob", "the heat rises", |room| {
        number(room, "heat") > 1000.0 && room["rank"] == "1"
    });

    browser.click("bob", "#tab-viewers");
    wait_until(SOON, "both are named", || {
        browser.texts("bob", ".viewer-name") == json!(["ada", "bob"])
    });
    browser.screenshot("bob", "room-viewers");
    // Nobody comes or goes by it, so no presence tells.
    browser.reload("bob");
    let root = format!("http://{}/#/", server.http());
    browser.open("bob's other tab", &root);
    browser.fill("bob's other tab", "[data-ref='user']", "bob");
    browser.press("bob's other tab", "Enter");
    browser.open("bob's other tab", &page(&server, &format!("/{room}")));
    for name in ["bob", "bob's other tab"] {
        browser.wait_room(name, "the number of viewers is known", |room| {
            room["viewers"] == "2"
        });
    }

    browser.close("bob's other tab");
    browser.close("bob");
    browser.wait_room("ada", "one left", |room| room["viewers"] == "1");
    let demo_plays = number(&browser.room("ada"), "pictureFrames");
    browser.wait_room("ada", "the picture goes on", |room| {
        number(room, "pictureFrames") > demo_plays
    });

    // By the keyboard: the harmless answer comes first, and ends nothing.
    let focused = "() => document.activeElement.textContent";
    browser.click("ada", "[data-ref='roomStop']");
    browser.screenshot("ada", "room-ending");
    for key in ["Enter", "Enter", "Escape"] {
        browser.press("ada", key);
    }
    assert_eq!(browser.evaluate("ada", focused), "End");
    assert_eq!(browser.room("ada")["state"], "live");
    browser.press("ada", "Enter");
    assert_eq!(browser.evaluate("ada", focused), "Keep it");
    browser.press("ada", "Tab");
    browser.press("ada", "Enter");
    browser.wait_room("ada", "the room is over, and ranked no more", |room| {
        room["state"] == "ended" && room["rank"] == Value::Null
    });
    browser.open("carol", &page(&server, &format!("/{room}")));
    wait_chat(
        &mut browser,
        "carol",
        &[hello, "bob sent Rocket  ×1", "bob sent Rocket  ×1"],
    );
    assert_eq!(browser.errors(), json!([]));
    browser.open("carol", &page(&server, "/9007199254740991"));
    browser.wait_room("carol", "there is none", |room| room["state"] == "refused");
    assert_no_trace(&mut browser, "carol", "There is no such room");
}

#[test]
#[ignore = "needs Chromium and Python with Playwright"]
fn who_waits_before_a_room_is_let_in_when_it_starts() {
    let _turn = turn();
    let server = Server::start(&[]);
    let room = server.create_room("ada", "Soon");
    let mut browser = Browser::start();
    open_as(&mut browser, "bob", &page(&server, &format!("/{room}")));
    browser.wait_room("bob", "it has not begun", |room| room["state"] == "idle");
    browser.screenshot("bob", "room-idle");
    open_as(&mut browser, "ada", &page(&server, &format!("/{room}")));
    browser.click("ada", "[data-ref='roomStart']");
    for name in ["ada", "bob"] {
        browser.wait_room(name, "in", |room| {
            room["state"] == "live" && room["viewers"] == "2"
        });
    }
    browser.open_sized(
        "carol",
        &page(&server, &format!("/{room}")),
        (390, 844),
        true,
    );
    say(&mut browser, "bob", "at last");
    wait_chat(&mut browser, "carol", &["bob at last"]);
    browser.screenshot("carol", "room-phone-dark");
    browser.click("ada", "[data-ref='navRooms']");
    wait_until(
        SOON,
        "the room is listed with those who are left, and its heat",
        || {
            let viewers = browser.texts("ada", ".card .cover-figures span:first-child > span");
            let heat = browser.texts("ada", ".card .warmth > span");
            let warm = |heat: &Value| {
                heat[0].as_str().and_then(|heat| heat.parse::<f64>().ok()) > Some(1.0)
            };
            viewers[0] == "2" && warm(&heat)
        },
    );
    browser.screenshot("ada", "rooms");
    assert_eq!(browser.errors(), json!([]));
}

/// A port that is free now, for a server that shall come back under the same address.
fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("bound").port()
}

#[test]
#[ignore = "needs Chromium and Python with Playwright"]
fn a_restart_of_the_server_loses_nothing() {
    let _turn = turn();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let address = format!("127.0.0.1:{}", free_port());
    let store = format!("store.path={}", directory.path().join("rooms.db").display());
    let arguments = ["--demo", "--listen", &address, "--set", &store];
    let mut server = Server::start(&arguments);
    let url = format!("http://{address}/#/rooms");
    let mut browser = Browser::start();
    open_as(&mut browser, "ada", &url);
    let room = make_room(&mut browser, "ada", "Still here", "demo");
    say(&mut browser, "ada", "before");
    wait_chat(&mut browser, "ada", &["ada before"]);
    wait_sent(&mut browser, "ada");

    server.signal(Signal::TERM);
    assert!(server.wait(SOON).success());
    browser.wait_room("ada", "the page notices", |room| {
        room["state"] == "reconnecting"
    });
    browser.screenshot("ada", "room-reconnecting");
    let ends = "() => !document.querySelector(\"[data-ref='roomStop']\").disabled";
    assert_eq!(browser.evaluate("ada", ends), false, "nobody would hear it");
    say(&mut browser, "ada", "meanwhile");
    let _server = Server::start(&arguments);
    browser.wait_room("ada", "back by itself, with the picture", |room| {
        room["state"] == "live" && room["picture"] == "playing"
    });
    wait_sent(&mut browser, "ada");
    wait_chat(&mut browser, "ada", &["ada before", "ada meanwhile"]);
    let shown = browser.room("ada");
    assert_eq!(
        (&shown["gaps"], &shown["epoch"], &shown["seq"]),
        (&json!("0"), &json!("1"), &json!("2"))
    );

    browser.open("bob", &format!("{url}/{room}"));
    wait_chat(&mut browser, "bob", &["ada before", "ada meanwhile"]);
}

fn kill(mut server: Server) {
    server.signal(Signal::KILL);
    server.wait(SOON);
}

#[test]
#[ignore = "needs Chromium and Python with Playwright"]
fn what_was_said_before_a_crash_and_was_missed_is_shown() {
    let _turn = turn();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let address = format!("127.0.0.1:{}", free_port());
    let store = format!("store.path={}", directory.path().join("rooms.db").display());
    let arguments = ["--listen", &address, "--set", &store];
    let server = Server::start(&arguments);
    let room = server.live_room("ada", "Crash");
    let mut browser = Browser::start();
    open_as(
        &mut browser,
        "bob",
        &format!("http://{address}/#/rooms/{room}"),
    );
    say(&mut browser, "bob", "before");
    wait_chat(&mut browser, "bob", &["bob before"]);
    wait_sent(&mut browser, "bob");
    kill(server);

    // On the same store, where the page does not find it.
    let elsewhere = Server::start(&["--set", &store]);
    let mut member = Member::join(&elsewhere, room, "eve");
    member.say_with_id("missed", &json!(1));
    while member.next(SOON).expect("it is acknowledged")["type"] != "ack" {}
    kill(elsewhere);

    let _server = Server::start(&arguments);
    browser.wait_room("bob", "back in the third epoch", |room| {
        room["state"] == "live" && room["epoch"] == "3"
    });
    say(&mut browser, "bob", "after");
    // Nothing is missing, and nothing says so.
    let all = ["bob before", "eve missed", "bob after"];
    wait_chat(&mut browser, "bob", &all);
    browser.wait_room("bob", "alone", |room| {
        (&room["viewers"], &room["gaps"]) == (&json!("1"), &json!("0"))
    });
}

#[test]
#[ignore = "needs Chromium and Python with Playwright"]
fn a_burst_that_is_refused_is_one_line_to_try_again_or_dismiss() {
    let _turn = turn();
    let (rate, burst) = ("rooms.member_rate=1", "rooms.member_burst=2");
    let server = Server::start(&["--set", rate, "--set", burst]);
    let room = server.live_room("ada", "Slowly");
    let mut browser = Browser::start();
    open_as(&mut browser, "bob", &page(&server, &format!("/{room}")));
    browser.wait_room("bob", "in", |room| room["state"] == "live");
    let bar =
        "() => [...document.querySelectorAll('.unsent')].filter((bar) => bar.checkVisibility())
        .map((bar) => bar.firstElementChild.textContent).join()";
    let refuse = |browser: &mut Browser, burst: std::ops::Range<u32>| {
        for n in burst {
            say(browser, "bob", &format!("line {n}"));
        }
        let waiting = "() => document.querySelectorAll('.line:is([data-state=pending], [data-state=shown])').length";
        wait_until(SOON, "all are answered", || {
            browser.evaluate("bob", waiting) == 0
        });
        let unsent = browser.evaluate("bob", bar);
        let failed = "() => document.querySelectorAll('.line[data-state=failed]').length";
        let failed = browser.evaluate("bob", failed).as_u64().expect("a number");
        assert!(failed >= 2, "{failed} of a burst are refused");
        assert_eq!(unsent, format!("{failed} messages not sent"));
        assert_eq!(browser.texts("bob", ".line button"), json!([]));
    };
    refuse(&mut browser, 0..8);
    browser.screenshot("bob", "room-refused-burst");
    browser.click("bob", "[data-ref='unsentDrop']");
    assert_eq!(browser.evaluate("bob", bar), "");
    let kept = chat(&mut browser, "bob").len();
    assert!((2..8).contains(&kept), "{:?}", chat(&mut browser, "bob"));

    refuse(&mut browser, 8..12);
    wait_until(SOON, "sooner or later all of them are through", || {
        if browser.evaluate("bob", bar) != "" {
            browser.click("bob", "[data-ref='unsentRetry']");
        }
        thread::sleep(Duration::from_millis(300));
        chat(&mut browser, "bob").len() == kept + 4
            && browser.evaluate("bob", bar) == ""
            && browser.room("bob")["pending"] == "0"
    });
    wait_sent(&mut browser, "bob");
}

/// Frames of the page over a span, and its longest task.
struct Smoothness {
    median_fps: f64,
    longest_task_ms: f64,
}

fn smoothness(browser: &mut Browser, name: &str, span: Duration) -> Smoothness {
    let script = r"async () => {
        const gaps = [], tasks = [0];
        const observer = new PerformanceObserver((list) => tasks.push(...list.getEntries().map((task) => task.duration)));
        observer.observe({ type: 'longtask' });
        const end = performance.now() + SPAN;
        let last = performance.now();
        await new Promise((done) => requestAnimationFrame(function frame() {
            const now = performance.now();
            gaps.push(now - last);
            last = now;
            if (now < end) requestAnimationFrame(frame); else done();
        }));
        observer.disconnect();
        gaps.sort((a, b) => a - b);
        return { fps: 1000 / gaps[gaps.length >> 1], longest: Math.max(...tasks) };
    }";
    let script = script.replace("SPAN", &span.as_millis().to_string());
    let measured = browser.evaluate(name, &script);
    Smoothness {
        median_fps: measured["fps"].as_f64().expect("a number"),
        longest_task_ms: measured["longest"].as_f64().expect("a number"),
    }
}

/// Says something `FLOOD_PER_SECOND` times a second until `over`, and hears everything as the page does.
fn flood(mut member: Member, over: &AtomicBool) -> u32 {
    let begin = Instant::now();
    let mut said = 0;
    while !over.load(Ordering::Relaxed) {
        while f64::from(said) < begin.elapsed().as_secs_f64() * f64::from(FLOOD_PER_SECOND) {
            said += 1;
            member.say(
                [
                    "nice",
                    "what a view",
                    "that was close",
                    "hello from far away",
                ][said as usize % 4],
            );
        }
        while member.next(Duration::from_millis(1)).is_ok() {}
    }
    said
}

#[test]
#[ignore = "needs Chromium and Python with Playwright"]
fn two_hundred_messages_a_second_stay_smooth() {
    let _turn = turn();
    let server = Server::start(&["--demo", "--set", "rooms.member_rate=0"]);
    let mut browser = Browser::start();
    open_as(&mut browser, "ada", &page(&server, ""));
    let room = make_room(&mut browser, "ada", "Flood", "demo");
    browser.wait_room("ada", "the picture plays", |room| {
        room["picture"] == "playing"
    });

    let mut faults = Vec::new();
    for _ in 0..SPANS {
        let quiet = smoothness(&mut browser, "ada", WATCHED / 3);
        let before = number(&browser.room("ada"), "received").max(0.0);
        let over = AtomicBool::new(false);
        let member = Member::join(&server, room, "flood");
        let (loud, said) = thread::scope(|scope| {
            let talking = scope.spawn(|| flood(member, &over));
            let loud = smoothness(&mut browser, "ada", WATCHED);
            browser.screenshot("ada", "room-flood");
            over.store(true, Ordering::Relaxed);
            (loud, talking.join().expect("the flood ends"))
        });
        println!(
            "{said} messages: {:.1} frames/s in the median ({:.1} without), longest task {:.0} ms ({:.0})",
            loud.median_fps, quiet.median_fps, loud.longest_task_ms, quiet.longest_task_ms
        );
        assert!(f64::from(said) >= f64::from(FLOOD_PER_SECOND) * WATCHED.as_secs_f64());
        // Every message is counted, whatever flies.
        browser.wait_room("ada", "every message arrives", |room| {
            number(room, "received") == before + f64::from(said)
        });
        let shown = browser.room("ada");
        assert_eq!(shown["gaps"], "0", "{shown:#}");
        assert!(number(&shown, "flown") >= 30.0, "{shown:#}");
        assert!(chat(&mut browser, "ada").len() <= 200);
        let enough = SMOOTH_FPS.min(quiet.median_fps * SMOOTH_PART);
        faults.clear();
        if loud.median_fps < enough {
            faults.push(format!("{:.1} frames/s", loud.median_fps));
        }
        if loud.longest_task_ms > LONG_TASK_MS.max(quiet.longest_task_ms) {
            faults.push(format!("a task of {:.0} ms", loud.longest_task_ms));
        }
        if faults.is_empty() {
            break;
        }
    }
    assert!(faults.is_empty(), "{faults:?}");
}

#[test]
#[ignore = "needs Chromium and Python with Playwright"]
fn a_server_that_wants_tokens_is_used_by_signing_up() {
    let _turn = turn();
    let mut config = NamedTempFile::new().expect("a temporary file");
    write!(
        config,
        "[auth]\njwt_secret = 'a secret of thirty-two characters'\nsignup_role = 'anchor'\n"
    )
    .expect("room on the disk");
    let path = config.path().to_str().expect("a temporary path is UTF-8");
    let server = Server::start(&["--demo", "--config", path]);
    let mut browser = Browser::start();
    let root = format!("http://{}/", server.http());
    browser.open("ada", &root);
    wait_until(SOON, "the page asks who it is", || {
        browser.evaluate(
            "ada",
            "() => document.querySelector('dialog[open] h2')?.textContent",
        ) == "Who are you?"
    });
    browser.screenshot("ada", "sign-in");
    let devices = "() => [...document.querySelectorAll('.fleet, [data-ref=none] h2, .more')]
        .filter((part) => part.checkVisibility()).map((part) => part.innerText)";
    wait_until(SOON, "no figures that nobody knows", || {
        browser.evaluate("ada", devices) == json!(["Sign in to see the devices"])
    });
    browser.fill("ada", "[data-ref='signInName']", "ada");
    browser.fill("ada", "[data-ref='signInSecret']", "correct horse battery");
    browser.click("ada", "[data-ref='signInGo']");
    wait_until(SOON, "nobody is called that yet", || {
        browser.texts("ada", "[data-ref='signInError']")
            == json!(["User name or password is wrong."])
    });
    browser.click("ada", ".segments label:has([value='signup']) span");
    browser.click("ada", "[data-ref='signInGo']");
    wait_until(SOON, "signed up and in", || {
        browser.evaluate(
            "ada",
            "() => document.querySelector('dialog[open]') === null",
        ) == true
    });

    assert_eq!(
        browser.evaluate("ada", "() => location.href"),
        page(&server, ""),
        "anchors come for the rooms"
    );
    browser.click("ada", "[data-ref='navDevices']");
    wait_until(SOON, "what is not for anchors says so", || {
        browser.evaluate("ada", devices) == json!(["Devices are listed to administrators"])
    });
    browser.screenshot("ada", "devices-not-listed");
    browser.open("ada", "about:blank");
    browser.open("ada", &root);
    wait_until(SOON, "so do they when they come back", || {
        browser.evaluate("ada", "() => location.href") == page(&server, "")
    });

    let room = make_room(&mut browser, "ada", "Members only", "demo");
    say(&mut browser, "ada", "in");
    wait_sent(&mut browser, "ada");
    let user = browser.evaluate(
        "ada",
        "() => document.querySelector('.line .who').textContent",
    );
    let address = browser.evaluate("ada", "() => location.href");
    assert_eq!(
        address,
        page(&server, &format!("/{room}")),
        "no token in it"
    );
    browser.wait_room("ada", "the picture plays", |room| {
        room["picture"] == "playing"
    });

    browser.reload("ada");
    browser.wait_room("ada", "a reload stays signed in", |room| {
        room["state"] == "live" && room["received"] == "1"
    });
    let again = browser.evaluate(
        "ada",
        "() => document.querySelector('[data-ref=\"user\"]').value",
    );
    assert_eq!(again, user, "the same user");
    browser.click("ada", "[data-ref='signOut']");
    browser.wait_room("ada", "signed out, the room is closed", |room| {
        room["state"] == "refused"
    });
    assert_no_trace(&mut browser, "ada", "Sign in to come in");
    browser.click("ada", "[data-ref='navRooms']");
    wait_until(SOON, "nor is it listed or ranked", || {
        browser.texts(
            "ada",
            "[data-ref='cards'], [data-ref='hotList'], [data-ref='noRoomsHead']",
        ) == json!(["", "Sign in to see the rooms", ""])
    });
    browser.screenshot("ada", "rooms-signed-out");
}
