//! Rates hold exactly over the process, whatever the shards that the connections come to.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::time::Duration;

use media_service::auth::{Authenticator, DeviceClaim, Role};
use media_service::config::Config;
use media_service::connection::Scope;
use media_service::limits::Cap;
use media_service::totals::Total;
use serde_json::json;

use simulation::support::http::Response;
use simulation::{Client, Sim, UNIX, request};

const MS: Duration = Duration::from_millis(1);
const SECOND: Duration = Duration::from_secs(1);
const SESSIONS: &str = "/api/media/sessions";
const ADDRESS: &str = "198.51.100.7";

/// Three shards with the default rates, changed by `edit`.
fn limited(seed: u64, edit: impl FnOnce(&mut Config)) -> Sim {
    Sim::with(3, seed, |config| {
        config.limits = Config::default().limits;
        config.limits.connections_per_address = Cap::OFF;
        edit(config);
    })
}

#[track_caller]
fn connect(sim: &mut Sim, address: &str, shard: usize) -> Client {
    let address: IpAddr = address.parse().expect("an address");
    sim.try_connect_from(address, shard, Scope::Everything)
        .expect("the connection is taken")
}

/// Somebody at the address asks for a session, of any device and over any shard.
fn ask(sim: &mut Sim, address: &str, headers: &[(&str, &str)]) -> Client {
    let shard = sim.draw(3);
    let device = format!("cam-{}", sim.draw(20));
    let client = connect(sim, address, shard);
    let body = json!({"deviceId": device, "userId": "ada"}).to_string();
    sim.send(client, request("POST", SESSIONS, headers, body.as_bytes()));
    client
}

/// How many of them are answered 201; the others are told 429.
#[track_caller]
fn admitted(sim: &mut Sim, clients: &[Client]) -> usize {
    let answers: Vec<_> = clients.iter().map(|&client| sim.response(client)).collect();
    let refused = answers.iter().filter(|answer| answer.status != 201);
    for answer in refused {
        assert_eq!(answer.status, 429, "{}", answer.text());
    }
    answers.iter().filter(|it| it.status == 201).count()
}

/// So many ask at once.
fn burst(sim: &mut Sim, count: usize, address: &str) -> usize {
    let clients: Vec<_> = (0..count).map(|_| ask(sim, address, &[])).collect();
    admitted(sim, &clients)
}

fn limited_by(sim: &mut Sim, kind: &str) -> f64 {
    let kind = [("kind", kind)];
    sim.metrics().sum("media_rate_limited_total", &kind)
}

#[test]
fn an_address_has_twenty_sessions_at_once_and_ten_a_second() {
    for seed in 0..4 {
        let mut sim = limited(seed, |_| {});
        // Letters between shards take their time: the tokens are where they are all the same.
        let delay = seed as u32 * 7 * MS;
        sim.mailboxes.iter_mut().for_each(|it| it.delay = delay);
        let clients: Vec<_> = (0..100).map(|_| ask(&mut sim, ADDRESS, &[])).collect();
        let began = sim.now;
        assert_eq!(admitted(&mut sim, &clients), 20);
        assert!(sim.now - began < 100 * MS, "no token has come back");

        // Fifty in each second for five seconds.
        let mut clients = Vec::new();
        let from = sim.now;
        while sim.now < from + 5 * SECOND {
            clients.push(ask(&mut sim, ADDRESS, &[]));
            sim.run_for(20 * MS);
        }
        let given = admitted(&mut sim, &clients);
        assert!((49..=51).contains(&given), "{given} in 5 s, seed {seed}");
        assert!(limited_by(&mut sim, "session_address") > 250.0);
    }
}

#[test]
fn a_refusal_says_when_to_come_back() {
    let mut sim = limited(10, |config| {
        config.limits.session_rate = Cap::new(1);
        config.limits.session_burst = 1;
    });
    assert_eq!(burst(&mut sim, 1, ADDRESS), 1);
    sim.run_for(300 * MS);
    let client = ask(&mut sim, ADDRESS, &[]);
    let refused = sim.response(client);
    assert_eq!(refused.header("Retry-After"), Some("1"));
    assert_eq!(refused.header("Connection"), None, "the connection goes on");
    let sentence = refused.expect_error(429, "rate_limited");
    assert_eq!(sentence, "rate limit exceeded");
    sim.run_for(SECOND);
    assert_eq!(burst(&mut sim, 5, ADDRESS), 1);
}

#[test]
fn who_asks_much_takes_nothing_from_others() {
    let mut sim = limited(11, |config| {
        config.limits.session_rate_total = Cap::new(100);
        config.limits.session_burst_total = 60;
    });
    assert_eq!(burst(&mut sim, 200, ADDRESS), 20);
    assert_eq!(burst(&mut sim, 25, "198.51.100.8"), 20);
    // A host has its whole /64.
    let hosts = ["2001:db8::1", "2001:db8::2:0:0:1"];
    let clients: Vec<_> = (0..50).map(|n| ask(&mut sim, hosts[n % 2], &[])).collect();
    assert_eq!(admitted(&mut sim, &clients), 20);
    assert_eq!(
        limited_by(&mut sim, "session_total"),
        0.0,
        "none was charged to all"
    );
}

#[test]
fn all_together_have_a_rate_too() {
    let mut sim = limited(12, |config| {
        config.limits.session_rate_total = Cap::new(1);
        config.limits.session_burst_total = 50;
    });
    let clients: Vec<_> = (0..90)
        .map(|n| ask(&mut sim, &format!("198.51.100.{n}"), &[]))
        .collect();
    assert_eq!(admitted(&mut sim, &clients), 50);
    assert_eq!(limited_by(&mut sim, "session_total"), 40.0);

    let mut off = limited(13, |config| {
        config.limits.session_rate_total = Cap::OFF;
        config.limits.session_rate = Cap::OFF;
    });
    assert_eq!(burst(&mut off, 200, ADDRESS), 200);
}

#[test]
fn a_user_has_a_rate_where_it_is_known_who_asks() {
    let secret = |config: &mut Config| {
        config.auth.jwt_secret = Some("a secret of thirty-two characters".into());
    };
    let mut sim = limited(14, secret);
    let mut config = Config::default();
    secret(&mut config);
    let auth = Authenticator::new(&config.auth).expect("there is a secret");
    let bearer = |user: &str| {
        let user = user.parse().expect("an id");
        let token = auth.mint(
            &user,
            Role::Admin,
            &DeviceClaim::ANY,
            SECOND * 60,
            UNIX.as_secs(),
        );
        format!("Bearer {}", token.expect("a token"))
    };
    let of = |sim: &mut Sim, user: &str, first: usize| {
        let bearer = bearer(user);
        let clients: Vec<_> = (0..30)
            .map(|n| {
                let address = format!("198.51.100.{}", first + n);
                ask(sim, &address, &[("Authorization", &bearer)])
            })
            .collect();
        admitted(sim, &clients)
    };
    assert_eq!(of(&mut sim, "ada", 0), 20, "from many addresses");
    assert_eq!(of(&mut sim, "bob", 100), 20);
    assert_eq!(limited_by_admin(&mut sim, &bearer("ada")), 20.0);

    // Elsewhere a name is what somebody says: nobody can use up another one's tokens by it.
    let mut sim = limited(15, |_| {});
    let clients: Vec<_> = (0..60)
        .map(|n| {
            ask(
                &mut sim,
                &format!("198.51.100.{n}"),
                &[("X-User-Id", "ada")],
            )
        })
        .collect();
    assert_eq!(admitted(&mut sim, &clients), 60);
}

fn limited_by_admin(sim: &mut Sim, bearer: &str) -> f64 {
    let client = sim.connect(0);
    let text = sim
        .request(client, "GET", "/metrics", &[("Authorization", bearer)], b"")
        .expect(200)
        .text();
    let kind = [("kind", "session_user")];
    simulation::support::metrics::Metrics::parse(&text).sum("media_rate_limited_total", &kind)
}

#[test]
fn a_socket_that_makes_a_session_needs_a_token_and_others_do_not() {
    let mut sim = limited(16, |config| config.limits.session_burst = 3);
    let open = |sim: &mut Sim, target: &str| -> Result<(), Response> {
        let shard = sim.draw(3);
        let client = connect(sim, ADDRESS, shard);
        let socket = sim.upgrade(client, target, &[])?;
        socket.vanish(sim);
        Ok(())
    };
    let shard = sim.draw(3);
    let client = connect(&mut sim, ADDRESS, shard);
    let session = sim.create(client, "cam-1")["sessionId"].to_string();
    for n in 0..2 {
        let opened = open(&mut sim, &format!("/api/media/ws?deviceId=cam-{n}"));
        assert!(opened.is_ok());
    }
    let refused = open(&mut sim, "/api/media/ws?deviceId=cam-9").expect_err("it has no token");
    refused.expect_error(429, "rate_limited");
    let target = format!("/api/media/ws?sessionId={}", session.trim_matches('"'));
    for _ in 0..10 {
        assert!(open(&mut sim, &target).is_ok(), "it makes no session");
    }
}

#[test]
fn rooms_have_a_rate_of_their_own() {
    let mut sim = limited(17, |_| {});
    let make = |sim: &mut Sim| {
        let shard = sim.draw(3);
        let client = connect(sim, ADDRESS, shard);
        let body = json!({"title": "a room"});
        sim.post(client, "/api/v1/rooms", &body).status
    };
    let statuses: Vec<_> = (0..25).map(|_| make(&mut sim)).collect();
    let made = statuses.iter().filter(|&&status| status == 201).count();
    // Each waits for the store, and meanwhile a token may come back.
    assert!((20..=21).contains(&made), "{statuses:?}");
    assert_eq!(statuses[24], 429);
    assert_eq!(burst(&mut sim, 25, ADDRESS), 20, "sessions have theirs");
    sim.run_for(SECOND);
    assert_eq!(make(&mut sim), 201);
}

#[test]
fn behind_a_proxy_each_client_has_its_own_tokens() {
    let mut sim = limited(18, |config| {
        config.server.trusted_proxies = vec!["203.0.113.0/24".parse().expect("a network")];
    });
    let from = |sim: &mut Sim, peer: &str, header: (&str, &str)| {
        let clients: Vec<_> = (0..30).map(|_| ask(sim, peer, &[header])).collect();
        admitted(sim, &clients)
    };
    let proxy = "203.0.113.9";
    let [one, other] = ["192.0.2.1", "192.0.2.2"];
    assert_eq!(from(&mut sim, proxy, ("X-Forwarded-For", one)), 20);
    assert_eq!(
        from(&mut sim, "203.0.113.8", ("Forwarded", "for=192.0.2.1")),
        0
    );
    // What the client put in front of it does not help.
    assert_eq!(
        from(&mut sim, proxy, ("X-Forwarded-For", "1.2.3.4, 192.0.2.1")),
        0
    );
    assert_eq!(from(&mut sim, proxy, ("Forwarded", "for=192.0.2.2")), 20);
    assert_eq!(
        from(&mut sim, other, ("X-Forwarded-For", "1.2.3.5")),
        0,
        "the same client"
    );
    assert_eq!(
        from(&mut sim, ADDRESS, ("X-Forwarded-For", "1.2.3.6")),
        20,
        "a stranger"
    );
    assert_eq!(from(&mut sim, ADDRESS, ("X-Forwarded-For", "1.2.3.7")), 0);
}

#[test]
fn pipelined_requests_keep_their_order_on_the_way_to_their_tokens() {
    let mut sim = limited(19, |_| {});
    let client = connect(&mut sim, ADDRESS, 1);
    for n in 0..40 {
        let id = n.to_string();
        let headers = [("X-Request-Id", id.as_str())];
        let body = json!({"deviceId": format!("cam-{n}"), "userId": "ada"}).to_string();
        sim.send(client, request("POST", SESSIONS, &headers, body.as_bytes()));
        sim.send(client, request("GET", "/health", &headers, b""));
    }
    let began = sim.now;
    let mut created = 0;
    for n in 0..40 {
        let answer = sim.response(client);
        assert_eq!(answer.header("X-Request-Id"), Some(n.to_string().as_str()));
        created += usize::from(answer.status == 201);
        let health = sim.response(client).expect(200);
        assert_eq!(health.header("X-Request-Id"), Some(n.to_string().as_str()));
    }
    let tokens = 20 + ((sim.now - began).as_millis() / 100) as usize;
    assert!((20..=tokens).contains(&created), "{created}");
}

#[test]
fn a_full_mailbox_on_the_way_is_an_answer() {
    let mut sim = limited(20, |_| {});
    sim.mailboxes.iter_mut().for_each(|it| it.capacity = 0);
    let clients: Vec<_> = (0..30).map(|_| ask(&mut sim, ADDRESS, &[])).collect();
    let mut busy = 0;
    for client in clients {
        let answer = sim.response(client);
        match answer.status {
            201 | 429 => {}
            _ => {
                answer.expect_error(503, "shard_busy");
                busy += 1;
            }
        }
    }
    assert!(busy > 10, "{busy}");
    sim.mailboxes.iter_mut().for_each(|it| it.capacity = 100);
    sim.run_for(2 * SECOND);
    assert_eq!(burst(&mut sim, 30, ADDRESS), 20);
}

/// Wherever on its way a request finds a mailbox full, it is answered there, once, and its connection goes on.
#[test]
fn a_mailbox_that_is_full_at_any_hop_is_an_answer() {
    let mut sim = limited(22, |_| {});
    for full in 0..sim.shards.len() {
        sim.run_for(3 * SECOND);
        sim.mailboxes[full].capacity = 0;
        let (began, mut statuses) = (sim.now, BTreeMap::new());
        for n in 0..60 {
            let client = connect(&mut sim, ADDRESS, n % 3);
            let body = json!({"deviceId": format!("cam-{n}"), "userId": "ada"}).to_string();
            sim.send(client, request("POST", SESSIONS, &[], body.as_bytes()));
            sim.send(client, request("GET", "/health", &[], b""));
            let status = sim.response(client).status;
            *statuses.entry(status).or_insert(0_usize) += 1;
            sim.response(client).expect(200);
        }
        sim.mailboxes[full].capacity = 100;
        let tokens = 20 + ((sim.now - began).as_millis() / 100) as usize;
        assert!(
            statuses.keys().all(|it| [201, 429, 503].contains(it)),
            "{statuses:?}"
        );
        let count = |status| statuses.get(&status).copied().unwrap_or(0);
        assert!(count(503) > 0 && count(201) <= tokens, "{statuses:?}");
    }
    sim.run_for(SECOND);
    sim.assert_sound();
    let open = sim.totals.sum(Total::Connections);
    assert_eq!(sim.totals.counted_by_address(), [open; 2]);
}
