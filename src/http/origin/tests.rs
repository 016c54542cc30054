use super::*;

fn policy(own: &[&str], hosts: &[&str], origins: &[&str]) -> OriginPolicy {
    let own: Vec<SocketAddr> = own.iter().map(|own| own.parse().unwrap()).collect();
    let owned = |list: &[&str]| {
        list.iter()
            .map(|&entry| entry.to_owned())
            .collect::<Vec<_>>()
    };
    OriginPolicy::new(&own, &owned(hosts), &owned(origins))
}

#[test]
fn a_loopback_listener_is_reached_by_its_address_and_as_localhost() {
    let policy = policy(&["127.0.0.1:30006", "[::1]:30006"], &[], &[]);
    for host in [
        "127.0.0.1:30006",
        "localhost:30006",
        "LocalHost:30006",
        "[::1]:30006",
    ] {
        assert!(policy.host_ok(host), "{host}");
    }
    for host in [
        "127.0.0.1",
        "127.0.0.1:30007",
        "127.0.0.2:30006",
        "localhost",
        "localhost.evil.example:30006",
        "evil.example:30006",
        "192.168.1.5:30006",
        "2130706433:30006",
        "",
        "localhost:30006:1",
        "user@localhost:30006",
    ] {
        assert!(!policy.host_ok(host), "{host}");
    }
}

#[test]
fn the_port_may_be_left_out_where_the_scheme_means_it() {
    assert!(policy(&["127.0.0.1:80"], &[], &[]).host_ok("localhost"));
    assert!(policy(&["192.0.2.1:443"], &[], &[]).host_ok("192.0.2.1"));
    assert!(!policy(&["192.0.2.1:80"], &[], &[]).host_ok("localhost"));
}

#[test]
fn a_listener_on_all_addresses_takes_any_literal_but_no_name() {
    for own in ["0.0.0.0:30006", "[::]:30006"] {
        let policy = policy(&[own], &[], &[]);
        for host in [
            "192.168.1.5:30006",
            "192.168.1.5:8080",
            "[2001:db8::1]:30006",
            "localhost:1",
        ] {
            assert!(policy.host_ok(host), "{host}");
        }
        assert!(!policy.host_ok("rebound.example:30006"));
    }
}

#[test]
fn configured_names_stand_for_any_port_or_for_theirs() {
    let policy = policy(
        &["127.0.0.1:30006"],
        &["media.example", "Fixed.example:8443"],
        &[],
    );
    for host in ["media.example", "MEDIA.example:9", "fixed.example:8443"] {
        assert!(policy.host_ok(host), "{host}");
    }
    for host in [
        "fixed.example",
        "fixed.example:8444",
        "x.media.example",
        "media.example.evil",
    ] {
        assert!(!policy.host_ok(host), "{host}");
    }
    assert!(super::OriginPolicy::new(&[], &["*".into()], &[]).host_ok("anything.example"));
}

#[test]
fn pages_of_the_server_itself_need_nothing() {
    let policy = policy(&["127.0.0.1:30006"], &["media.example"], &[]);
    for (origin, host) in [
        (None, "127.0.0.1:30006"),
        (Some("http://127.0.0.1:30006"), "127.0.0.1:30006"),
        (Some("http://localhost:30006"), "LOCALHOST:30006"),
        (Some("https://media.example"), "media.example"),
        (Some("https://media.example:443"), "media.example"),
        (Some("https://media.example"), "media.example:443"),
        // Behind a proxy that rewrites Host.
        (Some("https://media.example"), "127.0.0.1:30006"),
    ] {
        assert_eq!(
            policy.origin(origin, host),
            OriginVerdict::SameOrigin,
            "{origin:?} {host}"
        );
    }
    assert_eq!(OriginVerdict::SameOrigin.headers(), None);
}

#[test]
fn pages_of_others_are_refused_unless_listed() {
    let policy = policy(
        &["127.0.0.1:30006"],
        &["media.example"],
        &["https://App.example:443/"],
    );
    for origin in [
        "http://evil.example",
        "http://127.0.0.1:9999",
        "http://localhost:30006",
        "http://media.example:8080",
        "http://app.example",
        "https://app.example.evil",
        "https://app.example:8443",
        "null",
        "",
        "file://",
        "chrome-extension://abcdef",
    ] {
        let verdict = policy.origin(Some(origin), "127.0.0.1:30006");
        assert_eq!(verdict, OriginVerdict::Refused, "{origin}");
        assert_eq!(verdict.headers(), None);
    }
    let verdict = policy.origin(Some("https://app.example"), "127.0.0.1:30006");
    assert_eq!(verdict, OriginVerdict::Listed("https://app.example"));
    let headers = verdict.headers().unwrap();
    assert_eq!(
        headers[0],
        ("Access-Control-Allow-Origin", "https://app.example")
    );
    assert!(headers.contains(&("Vary", "Origin")));
}

#[test]
fn an_asterisk_lists_every_origin() {
    let policy = policy(&["127.0.0.1:30006"], &[], &["*"]);
    for origin in ["http://evil.example", "null"] {
        let verdict = policy.origin(Some(origin), "127.0.0.1:30006");
        assert_eq!(verdict, OriginVerdict::Listed("*"));
    }
}

#[test]
fn entries_are_checked_for_the_configuration() {
    for entry in [
        "*",
        "media.example",
        "media.example:1",
        "192.0.2.1",
        "[2001:db8::1]:80",
    ] {
        assert!(OriginPolicy::is_host(entry), "{entry}");
    }
    for entry in ["", "http://media.example", "*.example", "a b", "a:b", "a/"] {
        assert!(!OriginPolicy::is_host(entry), "{entry}");
    }
    for entry in [
        "*",
        "https://app.example",
        "http://[2001:db8::1]:80/",
        "http://localhost:5173",
    ] {
        assert!(OriginPolicy::is_origin(entry), "{entry}");
    }
    for entry in [
        "",
        "app.example",
        "ws://app.example",
        "https://app.example/path",
        "https://",
    ] {
        assert!(!OriginPolicy::is_origin(entry), "{entry}");
    }
}

#[test]
fn a_preflight_names_what_may_be_sent() {
    let response = preflight("https://app.example", "GET, HEAD, PUT");
    assert_eq!(response.status(), 204);
    let mut out = Vec::new();
    let how = crate::http::Framing {
        version: crate::http::Version::Http11,
        head: false,
        keep_alive: true,
        date: "",
        request_id: "",
        usual: &[],
        extra: &[],
    };
    response.encode(&how, &mut out);
    let text = String::from_utf8(out).unwrap();
    for line in [
        "HTTP/1.1 204 No Content",
        "Access-Control-Allow-Origin: https://app.example",
        "Access-Control-Allow-Methods: GET, HEAD, PUT",
        "Vary: Origin",
    ] {
        assert!(text.lines().any(|own| own == line), "{line} in {text}");
    }
    assert!(text.contains("Authorization, Content-Type"));
}
