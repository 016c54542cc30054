//! The HTTP part of the server as an ordinary axum service: see README.md.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};

use axum::extract::{Path, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::Parser;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[derive(Parser)]
#[command(about = "The HTTP part of a media server as an ordinary axum service")]
struct Arguments {
    /// Address to listen on
    #[arg(long, default_value = "127.0.0.1:30007")]
    listen: SocketAddr,
}

/// `GET /health`.
#[derive(Serialize)]
struct Health {
    service: &'static str,
    status: &'static str,
}

/// The body of `POST /api/media/sessions`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    device_id: String,
    user_id: String,
}

/// Its answer.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Created {
    session_id: Uuid,
}

/// `GET /api/media/sessions/{id}`, with the fields of the server.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Session {
    session_id: Uuid,
    device_id: String,
    user_id: String,
    state: &'static str,
    ice_state: &'static str,
    shard: u16,
    created_at: Timestamp,
    last_activity_at: Timestamp,
}

/// An error of any route.
#[derive(Serialize)]
struct Problem {
    error: &'static str,
    code: &'static str,
}

type Sessions = Arc<RwLock<HashMap<Uuid, Session>>>;

fn main() -> std::io::Result<()> {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(arguments.listen).await?;
        println!("listening on {}", listener.local_addr()?);
        axum::serve(
            axum::serve::ListenerExt::tap_io(listener, |stream| {
                // As every server of JSON has it; a socket that refuses is slow, not wrong.
                let _ = stream.set_nodelay(true);
            }),
            routes(),
        )
        .await
    })
}

fn routes() -> Router {
    Router::new()
        .route("/health", get(health))
        .route("/api/media/sessions", post(create))
        .route("/api/media/sessions/{id}", get(read).delete(delete))
        .with_state(Sessions::default())
}

async fn health() -> Json<Health> {
    Json(Health {
        service: "axum-peer",
        status: "ok",
    })
}

async fn create(State(sessions): State<Sessions>, Json(wanted): Json<Wanted>) -> Response {
    let session_id = Uuid::new_v4();
    let now = now();
    let session = Session {
        session_id,
        device_id: wanted.device_id,
        user_id: wanted.user_id,
        state: "new",
        ice_state: "new",
        shard: 0,
        created_at: now,
        last_activity_at: now,
    };
    let mut all = sessions.write().expect("no holder panics");
    all.insert(session_id, session);
    let location = [(
        header::LOCATION,
        format!("/api/media/sessions/{session_id}"),
    )];
    (StatusCode::CREATED, location, Json(Created { session_id })).into_response()
}

/// Times have milliseconds, as the server's do.
fn now() -> Timestamp {
    let now = Timestamp::now();
    Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
}

async fn read(State(sessions): State<Sessions>, Path(id): Path<Uuid>) -> Response {
    // Written while the lock is held: a copy of the session would cost more than that.
    match sessions.read().expect("no holder panics").get(&id) {
        Some(session) => Json(session).into_response(),
        None => unknown(),
    }
}

async fn delete(State(sessions): State<Sessions>, Path(id): Path<Uuid>) -> Response {
    match sessions.write().expect("no holder panics").remove(&id) {
        Some(_) => StatusCode::NO_CONTENT.into_response(),
        None => unknown(),
    }
}

fn unknown() -> Response {
    let problem = Problem {
        error: "there is no such session",
        code: "unknown_session",
    };
    (StatusCode::NOT_FOUND, Json(problem)).into_response()
}
