//! Who a request comes from, by what its head says.

use crate::auth::{AuthError, Authenticator, Identity};
use crate::error::ApiError;
use crate::http::query::param;
use crate::http::routes::Route;
use crate::http::{Method, Request};
use crate::ids::UserId;

/// Who asks, at this time (Unix seconds). Without an `authenticator` it is whoever the request says,
/// and may do everything.
///
/// # Errors
/// [`ApiError::Unauthorized`], and [`ApiError::BadParameter`] for a user's name that is no id.
pub fn identify(
    authenticator: Option<&Authenticator>,
    request: &Request,
    route: Route,
    unix: u64,
) -> Result<Identity, ApiError> {
    if is_public(route, &request.method) {
        return Ok(Identity::nobody());
    }
    match authenticator {
        None => said(request).map(Identity::unchecked),
        Some(authenticator) => {
            let query = request.query.as_deref();
            let verified = match bearer(request) {
                Some(token) => authenticator.verify(token, unix),
                // A browser cannot set the headers of a WebSocket's handshake. Elsewhere a token in
                // the query would end up in logs and histories for nothing.
                None if route.is_socket() => {
                    let token = param(query, "token").unwrap_or_default();
                    authenticator.verify(&token, unix)
                }
                None => Err(AuthError::Missing),
            };
            verified.map_err(ApiError::Unauthorized)
        }
    }
}

/// What needs no token although others do.
pub fn is_public(route: Route, method: &Method) -> bool {
    match route {
        // A browser sends no token with a preflight.
        _ if *method == Method::Options => true,
        Route::Health
        | Route::HealthLive
        | Route::HealthReady
        | Route::OpenApi
        | Route::Page
        | Route::Users
        | Route::UserLogin
        | Route::Unmatched => true,
        Route::Metrics
        | Route::Sessions
        | Route::Session
        | Route::SessionAnswer
        | Route::SessionCandidate
        | Route::SessionOffer
        | Route::SessionStats
        | Route::Devices
        | Route::Device
        | Route::DeviceVideo
        | Route::DeviceAudio
        | Route::DeviceSocket
        | Route::ViewerSocket
        | Route::UserMe
        | Route::Rooms
        | Route::Room
        | Route::RoomStart
        | Route::RoomStop
        | Route::RoomJoin
        | Route::RoomLeave
        | Route::RoomMessages
        | Route::RoomViewers
        | Route::HotRooms
        | Route::OnlineStats
        | Route::ShardStats
        | Route::RoomSocket => false,
    }
}

/// RFC 6750 §2.1. The name of the scheme has no case (RFC 9110 §11.1).
fn bearer(request: &Request) -> Option<&str> {
    let (scheme, token) = request.headers.get("authorization")?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim_matches(' '))
}

/// Who the client says it is, where nobody is asked to prove it.
fn said(request: &Request) -> Result<UserId, ApiError> {
    let query = request.query.as_deref();
    let (name, user) = match (param(query, "userId"), param(query, "user_id")) {
        (Some(user), _) => ("userId", Some(user)),
        (None, Some(user)) => ("user_id", Some(user)),
        (None, None) => {
            let user = request.headers.get("x-user-id");
            ("X-User-Id", user.map(Into::into))
        }
    };
    match user {
        None => Ok(UserId::default()),
        Some(user) => UserId::try_from(&*user).map_err(|fault| ApiError::BadParameter {
            name,
            fault: fault.to_string().into(),
        }),
    }
}
