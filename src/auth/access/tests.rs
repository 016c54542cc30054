//! Every route × method × role.

use super::*;
use crate::auth::{DeviceClaim, identify, is_public};
use crate::config;
use crate::http::routes::Route;
use crate::http::{Decoder, Event, HttpLimits, Method, Request};

const SESSION: &str = "3f0c8a52-6b1e-4c57-9d2a-0e8f7b6a5c41";

/// The least role that may do that, as the API's documentation has it; `None`: anybody.
///
/// No catch-all arm: a new route must choose.
fn least(route: Route, method: &str) -> Option<Role> {
    if method == "OPTIONS" {
        return None;
    }
    match route {
        Route::Health
        | Route::HealthLive
        | Route::HealthReady
        | Route::OpenApi
        | Route::Page
        | Route::Users
        | Route::UserLogin
        | Route::Unmatched => None,
        Route::Session
        | Route::SessionAnswer
        | Route::SessionCandidate
        | Route::SessionOffer
        | Route::SessionStats
        | Route::Device
        | Route::ViewerSocket
        | Route::Room
        | Route::RoomJoin
        | Route::RoomLeave
        | Route::RoomMessages
        | Route::RoomViewers
        | Route::RoomSocket
        | Route::HotRooms
        | Route::OnlineStats
        | Route::UserMe => Some(Role::Viewer),
        Route::Rooms if method == "POST" => Some(Role::Anchor),
        Route::Rooms => Some(Role::Viewer),
        Route::RoomStart | Route::RoomStop => Some(Role::Anchor),
        Route::Sessions if method == "POST" => Some(Role::Viewer),
        Route::DeviceVideo | Route::DeviceAudio | Route::DeviceSocket => Some(Role::Anchor),
        Route::Sessions | Route::Devices | Route::Metrics | Route::ShardStats => Some(Role::Admin),
    }
}

/// A good request for it.
fn request(route: Route, method: &str, query: &str) -> (Request, &'static [u8]) {
    let body: &[u8] = match (route, method) {
        (Route::Sessions, "POST") => br#"{"deviceId":"cam-1","userId":"ada"}"#,
        (Route::Rooms, "POST") => br#"{"title":"Chess","device_id":"cam-1"}"#,
        (Route::SessionAnswer, _) => br#"{"type":"answer","sdp":"v=0"}"#,
        (Route::SessionCandidate, _) => br#"{"candidate":""}"#,
        (Route::Users | Route::UserLogin, _) => br#"{"username":"ada","password":"correct horse"}"#,
        _ => b"",
    };
    let template = route.template();
    let id = match template {
        _ if template.starts_with("/api/media/sessions") => SESSION,
        _ if template.starts_with("/api/v1/rooms") => "42",
        _ => "cam-1",
    };
    let path = template.replace("{id}", id);
    let query = match (route, query) {
        (Route::ViewerSocket, "") => "?deviceId=cam-1",
        (Route::RoomSocket, "") => "?room_id=42",
        (_, query) => query,
    };
    let media = match route {
        Route::DeviceAudio => "audio/ogg",
        _ => "video/h264",
    };
    let head = format!(
        "{method} {path}{query} HTTP/1.1\r\nHost: x\r\nContent-Type: {media}\r\n\
         Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    );
    match Decoder::new(HttpLimits::default()).decode(head.as_bytes()) {
        Ok((_, Event::Head(request))) => (request, body),
        other => panic!("{head}: {other:?}"),
    }
}

fn operation(route: Route, method: &str, query: &str) -> Operation {
    let (request, body) = request(route, method, query);
    Operation::parse(&request, body).unwrap_or_else(|fault| panic!("{method} {route:?}: {fault}"))
}

fn identity(user: &str, role: Role) -> Identity {
    Identity {
        user: user.parse().unwrap(),
        role,
        devices: DeviceClaim::ANY,
        expires_at: Some(u64::MAX),
    }
}

fn refusal(identity: &Identity, operation: &Operation) -> Option<Forbidden> {
    match check(identity, operation) {
        Ok(()) => None,
        Err(ApiError::Forbidden(why)) => Some(why),
        Err(other) => panic!("{other}"),
    }
}

/// Routes and methods, [`Route::Unmatched`] apart, which does nothing.
fn everything() -> impl Iterator<Item = (Route, &'static str)> {
    Route::ALL
        .iter()
        .flat_map(|&route| route.methods().iter().map(move |&method| (route, method)))
}

#[test]
fn each_role_may_what_the_table_says() {
    for (route, method) in everything() {
        let operation = operation(route, method, "");
        for role in Role::ALL {
            let needed = least(route, method);
            let refusal = refusal(&identity("ada", role), &operation);
            let expected = needed
                .filter(|needed| role < *needed)
                .map(|needed| Forbidden::Role { needed, role });
            assert_eq!(refusal, expected, "{method} {route:?} as {role:?}");
        }
    }
}

#[test]
fn what_needs_a_role_needs_a_token() {
    let config = config::Auth {
        jwt_secret: Some("a secret of thirty-two characters".into()),
        ..config::Auth::default()
    };
    let auth = crate::auth::Authenticator::new(&config);
    for (route, method) in everything() {
        let (request, _) = request(route, method, "");
        let public = least(route, method).is_none();
        assert_eq!(
            is_public(route, &request.method),
            public,
            "{method} {route:?}"
        );
        let with_auth = identify(auth.as_ref(), &request, route, 0);
        assert_eq!(with_auth.is_ok(), public, "{method} {route:?}");

        // Without authentication everything is allowed to anybody.
        let anybody = identify(None, &request, route, 0).unwrap();
        let operation = operation(route, method, "");
        assert_eq!(refusal(&anybody, &operation), None, "{method} {route:?}");
    }
}

#[test]
fn a_token_in_the_query_is_for_sockets_alone() {
    let config = config::Auth {
        jwt_secret: Some("a secret of thirty-two characters".into()),
        ..config::Auth::default()
    };
    let auth = crate::auth::Authenticator::new(&config).unwrap();
    let user = "ada".parse().unwrap();
    let ttl = std::time::Duration::from_secs(60);
    let token = auth
        .mint(&user, Role::Admin, &DeviceClaim::ANY, ttl, 0)
        .unwrap();
    for (route, method) in everything().filter(|(_, method)| *method != "OPTIONS") {
        let query = format!("?deviceId=cam-1&token={token}");
        let (request, _) = request(route, method, &query);
        let known = identify(Some(&auth), &request, route, 0).is_ok_and(|it| it.user == user);
        assert_eq!(known, route.is_socket(), "{method} {route:?}");
    }
}

#[test]
fn a_takeover_and_other_peoples_names_are_for_admins() {
    let takeover = operation(Route::DeviceVideo, "PUT", "?takeover=true");
    let create = operation(Route::Sessions, "POST", "");
    let socket = operation(Route::ViewerSocket, "GET", "?deviceId=cam-1&userId=ada");
    for role in Role::ALL {
        let is_admin = role == Role::Admin;
        let eve = identity("eve", role);
        assert_eq!(refusal(&eve, &takeover).is_none(), is_admin, "{role:?}");
        let name = (!is_admin).then_some(Forbidden::User);
        assert_eq!(refusal(&eve, &create), name, "{role:?}");
        assert_eq!(refusal(&eve, &socket), name, "{role:?}");
        assert_eq!(refusal(&identity("ada", role), &socket), None, "{role:?}");

        let (ada, camera) = ("ada".parse().unwrap(), "cam-1".parse().unwrap());
        assert_eq!(may_use(&eve, &ada, &camera).is_ok(), is_admin, "{role:?}");
        assert!(may_use(&identity("ada", role), &ada, &camera).is_ok());
    }
}

#[test]
fn a_claim_narrows_devices_whatever_the_role() {
    let narrowed = Identity {
        devices: DeviceClaim::new(["shop-*".into()]),
        ..identity("ada", Role::Admin)
    };
    for (route, method) in [
        (Route::Sessions, "POST"),
        (Route::Device, "GET"),
        (Route::DeviceVideo, "PUT"),
        (Route::DeviceSocket, "GET"),
        (Route::Rooms, "POST"),
        (Route::ViewerSocket, "GET"),
    ] {
        let refused = refusal(&narrowed, &operation(route, method, ""));
        assert_eq!(refused, Some(Forbidden::Device), "{method} {route:?}");
    }
    for (route, query, refused) in [
        (Route::Devices, "", Some(Forbidden::AllDevices)),
        (Route::Sessions, "", Some(Forbidden::AllDevices)),
        (Route::Sessions, "?deviceId=cam-1", Some(Forbidden::Device)),
        (Route::Sessions, "?deviceId=shop-7", None),
        (Route::ViewerSocket, "?deviceId=shop-7", None),
    ] {
        let operation = operation(route, "GET", query);
        assert_eq!(refusal(&narrowed, &operation), refused, "{route:?}{query}");
    }
    let (ada, camera) = ("ada".parse().unwrap(), "cam-1".parse().unwrap());
    assert!(may_use(&narrowed, &ada, &camera).is_err());
}

/// Where nobody is asked for a token, the request says who it comes from.
#[test]
fn without_authentication_a_name_is_taken_as_it_is_said() {
    let said = |query: &str, header: &str| {
        let head = format!("GET /api/media/devices{query} HTTP/1.1\r\nHost: x\r\n{header}\r\n");
        let Ok((_, Event::Head(request))) =
            Decoder::new(HttpLimits::default()).decode(head.as_bytes())
        else {
            panic!("{head}")
        };
        assert_eq!(request.method, Method::Get);
        identify(None, &request, Route::Devices, 0).map(|identity| {
            assert_eq!(identity.role, Role::Admin);
            identity.user.to_string()
        })
    };
    assert_eq!(said("", "").unwrap(), "anonymous");
    assert_eq!(
        said("?userId=ada&user_id=bob", "X-User-Id: eve\r\n").unwrap(),
        "ada"
    );
    assert_eq!(said("?user_id=bob", "X-User-Id: eve\r\n").unwrap(), "bob");
    assert_eq!(said("", "X-User-Id: eve\r\n").unwrap(), "eve");
    // A token is not looked at.
    assert_eq!(
        said("", "Authorization: Bearer x\r\n").unwrap(),
        "anonymous"
    );
    for (query, header, name) in [
        ("?userId=a%20b", "", "userId"),
        ("?user_id=", "", "user_id"),
        ("", "X-User-Id: a b\r\n", "X-User-Id"),
    ] {
        let fault = said(query, header).unwrap_err();
        assert_eq!(fault.status(), 400);
        assert!(fault.to_string().starts_with(name), "{fault}");
    }
}
