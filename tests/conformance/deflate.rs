//! Cases 12 and 13: permessage-deflate (RFC 7692), which the server does not have.

use super::wire::Received;
use super::{Peer, Testee, text};

/// What browsers offer, and what else may be offered.
const OFFERS: [&str; 4] = [
    "permessage-deflate",
    "permessage-deflate; client_max_window_bits",
    "permessage-deflate; server_no_context_takeover; client_max_window_bits=9, x-webkit-deflate-frame",
    "unheard-of; of=\"an extension\"",
];

/// "Hello" deflated (RFC 7692 §7.2.3.1).
const DEFLATED: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

/// An offer is passed over and the socket works; what is compressed all the same is refused, since RSV1 means nothing.
pub fn is_not_taken() {
    for peer in Peer::ALL {
        let testee = Testee::start(peer, &["--shards", "1"]);
        for offer in OFFERS {
            let mut run = testee.open(&[("Sec-WebSocket-Extensions", offer)]);
            let message = peer.text("not compressed");
            run.wire.send(&text(message.clone()).encode(), usize::MAX);
            run.until(|run| !run.answers.is_empty());
            assert_eq!(run.answers, [peer.answer(&message)], "{offer}");

            run.wire.send(&text(DEFLATED).rsv(4).encode(), usize::MAX);
            run.until(|run| run.close.is_some());
            assert_eq!(run.close, Some(Some(1002)), "{offer}");
            assert!(matches!(run.wire.receive(), Received::End), "{offer}");
        }
    }
}
