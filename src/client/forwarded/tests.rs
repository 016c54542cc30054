//! Which address counts, and that nobody chooses it who is not trusted to.

use proptest::prelude::*;

use super::*;

const PROXY: &str = "10.0.0.1";

fn networks(texts: &[&str]) -> Vec<Network> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn headers(lines: &[(&str, &str)]) -> Headers {
    let lines: Vec<_> = lines
        .iter()
        .map(|(name, value)| httparse::Header {
            name,
            value: value.as_bytes(),
        })
        .collect();
    Headers::new(&lines)
}

/// Behind proxies of 10.0.0.0/8 and fd00::/8.
fn client(peer: &str, lines: &[(&str, &str)]) -> String {
    let trusted = networks(&["10.0.0.0/8", "fd00::/8"]);
    Client::of(peer.parse().unwrap(), &headers(lines), &trusted)
        .address
        .to_string()
}

#[test]
fn the_client_is_the_right_most_hop_that_is_not_trusted() {
    let cases = [
        ("198.51.100.7", "198.51.100.7"),
        ("203.0.113.9, 198.51.100.7", "198.51.100.7"),
        (
            "203.0.113.9, 198.51.100.7, 10.0.0.2, 10.9.9.9",
            "198.51.100.7",
        ),
        ("2001:db8::7, fd00::1", "2001:db8::7"),
        ("[2001:db8::7]:4711", "2001:db8::7"),
        ("198.51.100.7:4711", "198.51.100.7"),
        ("::ffff:198.51.100.7", "198.51.100.7"),
        ("10.0.0.3,\t10.0.0.2", "10.0.0.3"),
    ];
    for (value, expected) in cases {
        assert_eq!(
            client(PROXY, &[("X-Forwarded-For", value)]),
            expected,
            "{value}"
        );
        let forwarded: Vec<_> = value
            .split(',')
            .map(|hop| format!("proto=https;For=\"{}\"", hop.trim()))
            .collect();
        let forwarded = forwarded.join(", ");
        assert_eq!(
            client(PROXY, &[("Forwarded", &forwarded)]),
            expected,
            "{forwarded}"
        );
    }
    assert_eq!(
        client("::ffff:10.0.0.1", &[("x-forwarded-for", "192.0.2.1")]),
        "192.0.2.1"
    );
    let lines = [
        ("X-Forwarded-For", "192.0.2.1"),
        ("X-Forwarded-For", "198.51.100.7, 10.0.0.2"),
    ];
    assert_eq!(client(PROXY, &lines), "198.51.100.7", "lines are one list");
}

#[test]
fn what_rfc_7239_allows_is_read() {
    for (value, expected) in [
        ("for=192.0.2.60;proto=http;by=203.0.113.43", "192.0.2.60"),
        ("for=192.0.2.43, for=198.51.100.17", "198.51.100.17"),
        ("by=\"a,b;for=1.2.3.4\\\"\";for=192.0.2.60", "192.0.2.60"),
        ("for=192.0.2.60 ; proto=http", "192.0.2.60"),
        ("FOR=\"[2001:db8:cafe::17]:4711\"", "2001:db8:cafe::17"),
        ("for=[2001:db8:cafe::17]", "2001:db8:cafe::17"),
    ] {
        assert_eq!(client(PROXY, &[("Forwarded", value)]), expected, "{value}");
    }
}

#[test]
fn what_cannot_be_read_is_the_last_trusted_hop() {
    for value in [
        "",
        ",",
        "unknown",
        "_gazonk",
        "198.51.100.7,",
        "198.51.100.7, 1.2.3",
        "198.51.100.7 192.0.2.1",
        "192.0.2.1:99999",
        "192.0.2.1:x",
        "http://192.0.2.1",
        "[::1",
        "\u{fffd}",
    ] {
        assert_eq!(
            client(PROXY, &[("X-Forwarded-For", value)]),
            PROXY,
            "{value}"
        );
    }
    assert_eq!(
        client(
            PROXY,
            &[("X-Forwarded-For", "192.0.2.1, unknown, 10.0.0.2")]
        ),
        "10.0.0.2"
    );
    for value in [
        "",
        "for",
        "for=",
        "for=_hidden",
        "for=unknown",
        "proto=http",
        "for=192.0.2.1,",
        "for=192.0.2.1;for=192.0.2.2",
        "for=\"192.0.2.1",
        "for=192.0.2.1 for=192.0.2.2",
        "for=\"192.0.2.1\"x",
        "=192.0.2.1",
        "for =192.0.2.1",
        "for= 192.0.2.1",
        "for=\"192.0.2.1:_obf\"",
    ] {
        assert_eq!(client(PROXY, &[("Forwarded", value)]), PROXY, "{value}");
    }
    // A quote that a client leaves open does not swallow what the proxy adds, in its line or the next.
    for open in ["for=\"1.2.3.4", "for=1.2.3.4;x=\"", "x=\"\\"] {
        let own = "for=\"[2001:db8::1]\"";
        let merged = format!("{open}, {own}");
        assert_eq!(client(PROXY, &[("Forwarded", &merged)]), PROXY, "{merged}");
        let lines = [("Forwarded", open), ("Forwarded", own)];
        assert_eq!(client(PROXY, &lines), "2001:db8::1", "{open}");
    }
}

#[test]
fn one_header_does_not_override_the_other() {
    let both = |forwarded, for_each| {
        client(
            PROXY,
            &[("Forwarded", forwarded), ("X-Forwarded-For", for_each)],
        )
    };
    assert_eq!(both("for=198.51.100.7", "198.51.100.7"), "198.51.100.7");
    assert_eq!(both("for=1.2.3.4", "198.51.100.7"), PROXY);
    assert_eq!(both("for=198.51.100.7", "1.2.3.4"), PROXY);
    assert_eq!(both("for=unknown", "198.51.100.7"), PROXY);
}

#[test]
fn strangers_speak_for_themselves() {
    let lines = headers(&[("X-Forwarded-For", "192.0.2.1")]);
    let peer = "198.51.100.7".parse().unwrap();
    for trusted in [vec![], networks(&["10.0.0.0/8"])] {
        let client = Client::of(peer, &lines, &trusted);
        assert_eq!((client.address, client.ignored), (peer, true));
    }
    let silent = Client::of(peer, &headers(&[("Via", "1.1 x")]), &[]);
    assert_eq!(silent, Client::direct(peer));
}

#[test]
fn a_chain_is_followed_for_32_hops() {
    let chain = |hops: usize| {
        let hops: Vec<_> = (0..hops).map(|n| format!("10.0.1.{n}")).collect();
        format!("192.0.2.1, {}", hops.join(", "))
    };
    let of = |hops| client(PROXY, &[("X-Forwarded-For", &chain(hops))]);
    assert_eq!(of(FORWARDED_HOPS - 1), "192.0.2.1");
    assert_eq!(of(FORWARDED_HOPS), "10.0.1.0");
    assert_eq!(of(100), "10.0.1.68");
}

proptest! {
    /// Whatever a client sends, what the proxy puts behind it, in its own line or the same one, decides; or
    /// else the proxy itself does.
    #[test]
    fn no_client_chooses_its_address(text in "[ -~]{0,60}", same_line in any::<bool>()) {
        let real = "198.51.100.7";
        for (name, own) in [("X-Forwarded-For", real.to_owned()), ("Forwarded", format!("for={real}"))] {
            let merged = format!("{text}, {own}");
            let found = match same_line {
                true => client(PROXY, &[(name, &merged)]),
                false => client(PROXY, &[(name, &text), (name, &own)]),
            };
            prop_assert!(found == real || (same_line && found == PROXY), "{found}");
        }
    }

    /// A client that knows what it is up against.
    #[test]
    fn no_syntax_helps_a_client(parts in prop::collection::vec(
        prop::sample::select(vec!["for=1.2.3.4", "\"", "\\", ",", ";", "=", " ", "for=", "[", "]", "x"]), 0..12,
    )) {
        let merged = format!("{}, for=\"198.51.100.7\"", parts.concat());
        let found = client(PROXY, &[("Forwarded", &merged)]);
        prop_assert!(found == "198.51.100.7" || found == PROXY, "{merged}: {found}");
    }
}
