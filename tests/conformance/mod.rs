//! Cases, and what runs them against the sockets of the API.

#![allow(unreachable_pub)] // as in tests/support

pub mod closing;
pub mod deflate;
pub mod fragments;
pub mod framing;
pub mod garbage;
pub mod limits;
pub mod opening;
pub mod utf8;
pub mod wire;

use serde_json::{Value, json};

use crate::support::server::Server;
use wire::{BINARY, CONTINUATION, Frame, Received, TEXT, Wire};

/// Bytes of a danmaku's content: more is refused.
const CONTENT_BYTES: usize = 2 << 10;

/// Whose socket is tested. Both take text; what they make of it shows whether it arrived as it was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Peer {
    /// A viewer's: text that is no message of a viewer is answered with an error, each one.
    Viewer,
    /// A room's member's: a danmaku comes back with its content, other text is answered with an error.
    Member,
}

/// What must come back for a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The room's broadcast with this content.
    Content(String),
    /// An `error`, after which the socket goes on.
    Error,
}

impl Peer {
    pub const ALL: [Self; 2] = [Self::Viewer, Self::Member];

    /// What a text has around its content.
    fn envelope(self) -> (&'static [u8], &'static [u8]) {
        match self {
            Self::Viewer => (b"", b""),
            Self::Member => (br#"{"type":"danmu","content":""#, br#""}"#),
        }
    }

    /// A text message with this content, in as many pieces.
    pub fn pieces(self, content: &[&[u8]]) -> Vec<Vec<u8>> {
        let (before, after) = self.envelope();
        let mut pieces: Vec<Vec<u8>> = content.iter().map(|piece| piece.to_vec()).collect();
        if let Some(first) = pieces.first_mut() {
            first.splice(..0, before.iter().copied());
        }
        if let Some(last) = pieces.last_mut() {
            last.extend(after);
        }
        pieces
    }

    /// A text message with this content, whole.
    pub fn text(self, content: impl AsRef<[u8]>) -> Vec<u8> {
        self.pieces(&[content.as_ref()]).remove(0)
    }

    /// A text message of so many octets on the wire. What is too short for the envelope has none.
    pub fn text_of(self, octets: usize) -> Vec<u8> {
        let (before, after) = self.envelope();
        match octets.checked_sub(before.len() + after.len()) {
            Some(left) if left > 0 => self.text(vec![b'*'; left]),
            Some(_) | None => vec![b'*'; octets],
        }
    }

    /// What comes back for a text message.
    pub fn answer(self, text: &[u8]) -> Answer {
        let message: Value = serde_json::from_slice(text).unwrap_or_default();
        match (self, &message["content"]) {
            (Self::Member, Value::String(content))
                if !content.is_empty() && content.len() <= CONTENT_BYTES =>
            {
                Answer::Content(content.clone())
            }
            (Self::Member | Self::Viewer, _) => Answer::Error,
        }
    }
}

/// One step of a case.
#[derive(Clone, Debug)]
pub enum Step {
    /// Octets, in writes of so many.
    Send { bytes: Vec<u8>, chop: usize },
    /// So many pongs have come: what was sent is read and accepted.
    Pongs(usize),
}

/// How a case ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All is well: the client closes with 1000, and is answered with 1000.
    Well,
    /// The client's close frame was among the steps; the server answers with this code, or none.
    Closed(Option<u16>),
    /// The server fails the connection with this code, by itself.
    Failed(u16),
}

/// What is sent, and what must come of it.
#[derive(Clone, Debug)]
pub struct Case {
    /// Its number in the Autobahn|Testsuite; of further ones a name.
    pub name: String,
    pub sentence: String,
    pub steps: Vec<Step>,
    pub pongs: Vec<Vec<u8>>,
    pub answers: Vec<Answer>,
    pub end: End,
}

impl Case {
    pub fn new(name: impl Into<String>, sentence: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            sentence: sentence.into(),
            steps: Vec::new(),
            pongs: Vec::new(),
            answers: Vec::new(),
            end: End::Well,
        }
    }

    /// Sends octets in writes of `chop`.
    pub fn octets(mut self, bytes: Vec<u8>, chop: usize) -> Self {
        self.steps.push(Step::Send { bytes, chop });
        self
    }

    /// Sends frames at once.
    pub fn send(self, frames: impl IntoIterator<Item = Frame>) -> Self {
        self.chopped(usize::MAX, frames)
    }

    /// Sends frames in writes of `chop` octets.
    pub fn chopped(self, chop: usize, frames: impl IntoIterator<Item = Frame>) -> Self {
        let bytes = frames.into_iter().flat_map(|frame| frame.encode());
        self.octets(bytes.collect(), chop)
    }

    /// Sends frames with a write for each.
    pub fn frame_wise(self, frames: impl IntoIterator<Item = Frame>) -> Self {
        frames
            .into_iter()
            .fold(self, |case, frame| case.send([frame]))
    }

    /// Expects pongs with these payloads; [`Self::await_pongs`] in the script waits for those so far.
    pub fn pong(mut self, payloads: impl IntoIterator<Item = impl Into<Vec<u8>>>) -> Self {
        self.pongs.extend(payloads.into_iter().map(Into::into));
        self
    }

    /// Goes on when the pongs that are expected so far have come.
    pub fn await_pongs(mut self) -> Self {
        self.steps.push(Step::Pongs(self.pongs.len()));
        self
    }

    /// Expects the answer to a text message.
    pub fn answer(mut self, peer: Peer, text: &[u8]) -> Self {
        self.answers.push(peer.answer(text));
        self
    }

    /// Expects errors as answers, so many.
    pub fn errors(mut self, count: usize) -> Self {
        self.answers.extend(vec![Answer::Error; count]);
        self
    }

    pub fn end(self, end: End) -> Self {
        Self { end, ..self }
    }

    pub fn fails(self, code: u16) -> Self {
        self.end(End::Failed(code))
    }
}

/// A whole message of `text`, whose kind the first frame tells, in frames of `pieces`.
pub fn fragmented(opcode: u8, pieces: Vec<Vec<u8>>) -> Vec<Frame> {
    let last = pieces.len() - 1;
    let frames = pieces.into_iter().enumerate();
    frames
        .map(|(number, piece)| Frame {
            fin: number == last,
            ..Frame::new(if number == 0 { opcode } else { CONTINUATION }, piece)
        })
        .collect()
}

/// A text frame, whole.
pub fn text(payload: impl Into<Vec<u8>>) -> Frame {
    Frame::new(TEXT, payload)
}

/// A binary frame, whole.
pub fn binary(payload: impl Into<Vec<u8>>) -> Frame {
    Frame::new(BINARY, payload)
}

/// A server whose sockets are tested.
struct Testee {
    server: Server,
    peer: Peer,
    target: String,
}

impl Testee {
    fn start(peer: Peer, more: &[&str]) -> Self {
        let server = Server::start(&[more, &["--set", "rooms.member_rate=0"]].concat());
        let target = match peer {
            Peer::Viewer => {
                let session = server.create_session("cam-1", "ada");
                let id = session["sessionId"].as_str().expect("an id").to_owned();
                format!("/api/media/ws?sessionId={id}&userId=ada")
            }
            Peer::Member => {
                let room = server
                    .post("/api/v1/rooms?user_id=ada", &json!({"title": "Cases"}))
                    .expect(201)
                    .json();
                let id = room["id"].as_u64().expect("an id");
                let start = format!("/api/v1/rooms/{id}/start?user_id=ada");
                server.post(&start, &json!({})).expect(200);
                format!("/ws?room_id={id}&user_id=ada")
            }
        };
        Self {
            server,
            peer,
            target,
        }
    }

    /// A connection, as far as the greeting.
    fn open(&self, headers: &[(&str, &str)]) -> Run {
        let mut run = Run {
            wire: Wire::open(self.server.http(), &self.target, headers),
            pongs: Vec::new(),
            answers: Vec::new(),
            close: None,
            ended: false,
        };
        if self.peer == Peer::Member {
            run.greeting();
        }
        run
    }

    /// Runs a case; what is wrong, if anything.
    fn run(&self, case: &Case) -> Result<(), String> {
        let mut run = self.open(&[]);
        for step in &case.steps {
            match step {
                Step::Send { bytes, chop } => run.wire.send(bytes, *chop),
                Step::Pongs(count) => run.until(|run| run.pongs.len() >= *count),
            }
        }
        if case.end == End::Well {
            let (pongs, answers) = (case.pongs.len(), case.answers.len());
            run.until(|run| run.pongs.len() >= pongs && run.answers.len() >= answers);
            run.wire.send(&Frame::close(1000, "").encode(), usize::MAX);
        }
        run.until(|run| run.ended);

        let code = match case.end {
            End::Well => Some(1000),
            End::Closed(code) => code,
            End::Failed(code) => Some(code),
        };
        // A member that closes, or is closed, leaves the room: what the room had for it then is not sent any more.
        let answers = match (self.peer, case.end) {
            (Peer::Member, End::Closed(_) | End::Failed(_)) => {
                &case.answers[..run.answers.len().min(case.answers.len())]
            }
            (Peer::Member | Peer::Viewer, _) => &case.answers,
        };
        let expected = (&case.pongs[..], answers, Some(code));
        let got = (&run.pongs[..], &run.answers[..], run.close);
        (expected == got)
            .then_some(())
            .ok_or_else(|| abridged(&format!("expected {expected:?}, got {got:?}")))
    }
}

/// A case under way.
struct Run {
    wire: Wire,
    pongs: Vec<Vec<u8>>,
    answers: Vec<Answer>,
    /// The server's close frame.
    close: Option<Option<u16>>,
    ended: bool,
}

impl Run {
    /// The first frame that a member gets.
    fn greeting(&mut self) {
        match self.wire.receive() {
            Received::Text(text) if text.contains(r#""type":"hello""#) => {}
            other => panic!("no hello but {other:?}"),
        }
    }

    /// Reads until `done`, or the end of the stream.
    fn until(&mut self, done: impl Fn(&Self) -> bool) {
        while !done(self) && !self.ended {
            let received = self.wire.receive();
            assert!(
                self.close.is_none() || matches!(received, Received::End),
                "after the close frame came {received:?}"
            );
            match received {
                Received::Ping => {}
                Received::Pong(payload) => self.pongs.push(payload),
                Received::Close(code) => self.close = Some(code),
                Received::End => self.ended = true,
                Received::Text(text) => {
                    let message: Value = serde_json::from_str(&text).expect("JSON");
                    let content = message["content"].as_str();
                    match message["type"].as_str().expect("a type") {
                        "error" => self.answers.push(Answer::Error),
                        "danmu" => self
                            .answers
                            .push(Answer::Content(content.expect("content").to_owned())),
                        "stats" | "presence" => {}
                        other => panic!("nobody asked for {other}: {text}"),
                    }
                }
            }
        }
    }
}

/// Payloads of 64 KiB belong in no message of a test.
fn abridged(text: &str) -> String {
    const MOST: usize = 600;
    let mut end = text.len().min(MOST);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_owned()
}

/// Runs the cases against each kind of socket.
///
/// # Panics
/// With every case that failed.
pub fn conform(cases: impl Fn(Peer) -> Vec<Case>) {
    for peer in Peer::ALL {
        let testee = Testee::start(peer, &["--shards", "1"]);
        let cases = cases(peer);
        let failed: Vec<String> = cases
            .iter()
            .filter_map(|case| {
                let fault = testee.run(case).err()?;
                Some(format!("{} ({}): {fault}", case.name, case.sentence))
            })
            .collect();
        println!("{peer:?}: {} cases", cases.len());
        assert!(
            failed.is_empty(),
            "{peer:?}: {} of {} cases:\n{}",
            failed.len(),
            cases.len(),
            failed.join("\n")
        );
    }
}
