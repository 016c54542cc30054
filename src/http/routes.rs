//! The paths of the server: which route a path names, and what may be done with it.
//!
//! A route is known before anything else about a request is: it decides which shard owns the
//! request, which limits apply and under which `path` label it is counted. So it is a small `Copy`
//! enum, and finding it allocates nothing.

/// Defines the routes once: name, path template, methods. The order is the order of the metric
/// tables.
macro_rules! routes {
    ($($(#[$doc:meta])* $name:ident $template:literal $methods:expr;)*) => {
        /// What a path names. `/openapi.json` describes every one of them but [`Route::Unmatched`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Route {
            $($(#[$doc])* $name,)*
        }

        impl Route {
            /// Every route, in the order of [`Route::index`].
            pub const ALL: &'static [Route] = &[$(Route::$name,)*];

            /// The path with its parameter in braces, as the OpenAPI document and the `path` label
            /// write it.
            pub const fn template(self) -> &'static str {
                match self {
                    $(Route::$name => $template,)*
                }
            }

            /// What the `Allow` header of a 405 lists; anything else is a 405. Empty for
            /// [`Route::Unmatched`] alone.
            pub const fn methods(self) -> &'static [&'static str] {
                match self {
                    $(Route::$name => $methods,)*
                }
            }
        }
    };
}

/// A resource that is only read. HEAD is GET without the body; OPTIONS is answered everywhere
/// (CORS).
const READ: &[&str] = &["GET", "HEAD", "OPTIONS"];
/// An action on a session or a room.
const ACT: &[&str] = &["POST", "OPTIONS"];
/// A collection that is listed and added to.
const COLLECTION: &[&str] = &["GET", "HEAD", "POST", "OPTIONS"];
/// A live body.
const PUBLISH: &[&str] = &["PUT", "OPTIONS"];
/// A WebSocket: its handshake is a GET, and a HEAD of it would mean nothing.
const UPGRADE: &[&str] = &["GET", "OPTIONS"];

routes! {
    /// Name and status of the service.
    Health "/health" READ;
    /// Liveness probe.
    HealthLive "/health/live" READ;
    /// Readiness probe: 503 while draining.
    HealthReady "/health/ready" READ;
    /// Prometheus text.
    Metrics "/metrics" READ;
    /// The OpenAPI document.
    OpenApi "/openapi.json" READ;
    /// The page and the files that it loads; whether a file exists is the page's to say.
    Page "/" READ;
    /// All sessions, and creating one.
    Sessions "/api/media/sessions" COLLECTION;
    /// One session.
    Session "/api/media/sessions/{id}" &["GET", "HEAD", "DELETE", "OPTIONS"];
    /// The viewer's answer to the open offer.
    SessionAnswer "/api/media/sessions/{id}/answer" ACT;
    /// A trickled candidate of the viewer.
    SessionCandidate "/api/media/sessions/{id}/ice-candidate" ACT;
    /// A fresh offer: renegotiation, ICE restart.
    SessionOffer "/api/media/sessions/{id}/offer" ACT;
    /// Quality of a session.
    SessionStats "/api/media/sessions/{id}/stats" READ;
    /// All devices.
    Devices "/api/media/devices" READ;
    /// One device.
    Device "/api/media/devices/{id}" READ;
    /// A device's video, published as a body.
    DeviceVideo "/api/media/devices/{id}/video" PUBLISH;
    /// A device's audio, published as a body.
    DeviceAudio "/api/media/devices/{id}/audio" PUBLISH;
    /// The WebSocket of a device's agent.
    DeviceSocket "/api/media/devices/{id}/ws" UPGRADE;
    /// The WebSocket of a viewer.
    ViewerSocket "/api/media/ws" UPGRADE;
    /// Signing up.
    Users "/api/v1/users" ACT;
    /// Logging in.
    UserLogin "/api/v1/users/login" ACT;
    /// Whoever asks.
    UserMe "/api/v1/users/me" READ;
    /// All rooms, and creating one.
    Rooms "/api/v1/rooms" COLLECTION;
    /// One room.
    Room "/api/v1/rooms/{id}" READ;
    /// A room goes live.
    RoomStart "/api/v1/rooms/{id}/start" ACT;
    /// A room ends.
    RoomStop "/api/v1/rooms/{id}/stop" ACT;
    /// A user is in a room without a socket.
    RoomJoin "/api/v1/rooms/{id}/join" ACT;
    /// A user that joined is gone again.
    RoomLeave "/api/v1/rooms/{id}/leave" ACT;
    /// What was said in a room.
    RoomMessages "/api/v1/rooms/{id}/messages" READ;
    /// Who is in a room.
    RoomViewers "/api/v1/rooms/{id}/viewers" READ;
    /// Live rooms by heat.
    HotRooms "/api/v1/stats/hot" READ;
    /// How many users, connections and live rooms there are.
    OnlineStats "/api/v1/stats/online" READ;
    /// Where the shards' time goes.
    ShardStats "/api/v1/stats/shards" READ;
    /// The WebSocket of a room's member.
    RoomSocket "/ws" UPGRADE;
    /// None of the above, or a request whose path was never read: 404, and one `path` label for all
    /// of them.
    Unmatched "unmatched" &[];
}

impl Route {
    /// How many routes there are: the size of a table by route.
    pub const COUNT: usize = Route::ALL.len();

    /// The route's place in [`Route::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Whether it is a WebSocket.
    pub fn is_socket(self) -> bool {
        self.methods() == UPGRADE
    }

    /// Whether `method`, in upper case, may be used here.
    pub fn allows(self, method: &str) -> bool {
        self.methods().contains(&method)
    }
}

/// A route and the session, device or room that the path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// What the path names.
    pub route: Route,
    /// The `{id}` of the template as it stands in the path: percent-encoded and unchecked, never
    /// empty.
    pub id: Option<&'a str>,
}

impl<'a> Target<'a> {
    const fn of(route: Route) -> Self {
        Target { route, id: None }
    }

    const fn with_id(route: Route, id: &'a str) -> Self {
        Target {
            route,
            id: Some(id),
        }
    }
}

/// What `path` (raw, without the query) names.
///
/// Templates match exactly and case counts: a trailing or doubled slash is another path, and no `.`
/// or `..` is resolved. Only the `{id}` segment may be percent-encoded.
pub fn resolve(path: &str) -> Target<'_> {
    if let Some(rest) = path.strip_prefix("/api/media/") {
        return resolve_media(rest);
    }
    if let Some(rest) = path.strip_prefix("/api/v1/") {
        return resolve_platform(rest);
    }
    Target::of(match path {
        "/" => Route::Page,
        "/health" => Route::Health,
        "/health/live" => Route::HealthLive,
        "/health/ready" => Route::HealthReady,
        "/metrics" => Route::Metrics,
        "/openapi.json" => Route::OpenApi,
        "/ws" => Route::RoomSocket,
        _ if is_page_file(path) => Route::Page,
        _ => Route::Unmatched,
    })
}

/// The part after `/api/media/`: a collection, perhaps an id in it, perhaps one thing of that.
fn resolve_media(rest: &str) -> Target<'_> {
    let mut segments = rest.splitn(3, '/');
    let collection = segments.next().unwrap_or_default();
    let (id, leaf) = (segments.next(), segments.next());
    match (collection, id, leaf) {
        ("sessions", None, None) => Target::of(Route::Sessions),
        ("devices", None, None) => Target::of(Route::Devices),
        ("ws", None, None) => Target::of(Route::ViewerSocket),
        (_, Some(id), _) if !id.is_empty() => match (collection, leaf) {
            ("sessions", None) => Target::with_id(Route::Session, id),
            ("sessions", Some("answer")) => Target::with_id(Route::SessionAnswer, id),
            ("sessions", Some("ice-candidate")) => Target::with_id(Route::SessionCandidate, id),
            ("sessions", Some("offer")) => Target::with_id(Route::SessionOffer, id),
            ("sessions", Some("stats")) => Target::with_id(Route::SessionStats, id),
            ("devices", None) => Target::with_id(Route::Device, id),
            ("devices", Some("video")) => Target::with_id(Route::DeviceVideo, id),
            ("devices", Some("audio")) => Target::with_id(Route::DeviceAudio, id),
            ("devices", Some("ws")) => Target::with_id(Route::DeviceSocket, id),
            _ => Target::of(Route::Unmatched),
        },
        _ => Target::of(Route::Unmatched),
    }
}

/// The part after `/api/v1/`.
fn resolve_platform(rest: &str) -> Target<'_> {
    let mut segments = rest.splitn(3, '/');
    let collection = segments.next().unwrap_or_default();
    let (id, leaf) = (segments.next(), segments.next());
    match (collection, id, leaf) {
        ("rooms", None, None) => Target::of(Route::Rooms),
        ("users", None, None) => Target::of(Route::Users),
        ("users", Some("login"), None) => Target::of(Route::UserLogin),
        ("users", Some("me"), None) => Target::of(Route::UserMe),
        ("stats", Some("hot"), None) => Target::of(Route::HotRooms),
        ("stats", Some("online"), None) => Target::of(Route::OnlineStats),
        ("stats", Some("shards"), None) => Target::of(Route::ShardStats),
        ("rooms", Some(id), leaf) if !id.is_empty() => match leaf {
            None => Target::with_id(Route::Room, id),
            Some("start") => Target::with_id(Route::RoomStart, id),
            Some("stop") => Target::with_id(Route::RoomStop, id),
            Some("join") => Target::with_id(Route::RoomJoin, id),
            Some("leave") => Target::with_id(Route::RoomLeave, id),
            Some("messages") => Target::with_id(Route::RoomMessages, id),
            Some("viewers") => Target::with_id(Route::RoomViewers, id),
            Some(_) => Target::of(Route::Unmatched),
        },
        _ => Target::of(Route::Unmatched),
    }
}

/// A file beside the page: `/app.css`, `/favicon.svg`, `/js/player.js`. A name with an extension,
/// at most one folder deep, so that a mistyped API path is never taken for one.
fn is_page_file(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else {
        return false;
    };
    let name = rest.strip_prefix("js/").unwrap_or(rest);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    match name.rsplit_once('.') {
        Some((stem, extension)) => {
            !stem.is_empty()
                && stem.bytes().all(plain)
                && !extension.is_empty()
                && extension.bytes().all(|byte| byte.is_ascii_alphanumeric())
        }
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_template_resolves_to_its_route() {
        for &route in Route::ALL {
            if route == Route::Unmatched {
                continue;
            }
            let path = route.template().replace("{id}", "cam-1%3A2");
            let target = resolve(&path);
            assert_eq!(target.route, route, "{path}");
            let has_id = route.template().contains("{id}");
            assert_eq!(target.id, has_id.then_some("cam-1%3A2"), "{path}");
        }
    }

    #[test]
    fn routes_are_dense_and_distinct() {
        for (index, route) in Route::ALL.iter().enumerate() {
            assert_eq!(route.index(), index);
            let same = Route::ALL
                .iter()
                .filter(|other| other.template() == route.template());
            assert_eq!(same.count(), 1, "{route:?}");
        }
    }

    #[test]
    fn files_of_the_page() {
        for path in [
            "/",
            "/app.css",
            "/favicon.svg",
            "/js/player.js",
            "/js/no_such-file.js",
        ] {
            assert_eq!(resolve(path), Target::of(Route::Page), "{path}");
        }
        for path in [
            "/js/",
            "/js/a/b.js",
            "/css/app.css",
            "/.env",
            "/..",
            "/../etc.conf",
            "/js/../app.css",
            "/a%2e.css",
            "/app.",
        ] {
            assert_eq!(resolve(path).route, Route::Unmatched, "{path}");
        }
    }

    #[test]
    fn near_misses_are_not_found() {
        for path in [
            "",
            "health",
            "//",
            "/health/",
            "/Health",
            "/health/live/",
            "/openapi.json/",
            "/api",
            "/api/media",
            "/api/media/",
            "/api/media/sessions/",
            "/api/media/sessions//answer",
            "/api/media/sessions/x/",
            "/api/media/sessions/x/answer/",
            "/api/media/sessions/x/video",
            "/api/media/devices/x/stats",
            "/api/media/devices/x/video/y",
            "/api/media/ws/",
            "/api/media/ws/x",
            "/api/media//sessions",
            "/api/v1",
            "/api/v1/",
            "/api/v1/rooms/",
            "/api/v1/rooms//start",
            "/api/v1/rooms/1/",
            "/api/v1/rooms/1/start/",
            "/api/v1/rooms/1/answer",
            "/api/v1/stats",
            "/api/v1/stats/hot/1",
            "/api/v2/rooms",
            "/ws/",
            "*",
        ] {
            assert_eq!(resolve(path), Target::of(Route::Unmatched), "{path}");
        }
    }

    #[test]
    fn methods_of_a_route() {
        assert!(Route::Sessions.allows("POST"));
        assert!(!Route::Sessions.allows("DELETE"));
        assert!(
            !Route::Session.allows("get"),
            "methods are case-sensitive (RFC 9110 §9.1)"
        );
        assert!(!Route::Unmatched.allows("GET"));
    }

    proptest! {
        #[test]
        fn an_id_is_a_whole_segment(
            path in "(/(api|media|v1|sessions|devices|rooms|ws|video|start|[a-z%.]{0,4})){0,6}/?"
        ) {
            let target = resolve(&path);
            if let Some(id) = target.id {
                prop_assert_eq!(target.route.template().replace("{id}", id), path);
            }
        }

        #[test]
        fn no_path_panics(path in any::<String>()) {
            resolve(&path);
        }
    }
}
