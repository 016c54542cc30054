//! Datagrams taken from a socket in batches, with what the kernel knows of each: where it came from, when, and how it was put
//! together from several (UDP_GRO).

use std::io;
use std::mem;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;
use std::time::Duration;

/// Messages taken per system call: a frame of 2 Mbit/s has seven packets, a keyframe some forty.
pub const BATCH_MESSAGES: usize = 32;
/// Room for one datagram of media; longer ones would not leave an Ethernet in one piece.
const DATAGRAM_BYTES: usize = 2 * 1024;
/// Room for datagrams that the kernel put together: UDP's length field has 16 bits.
const RUN_BYTES: usize = 64 * 1024;
/// Room for control messages: a time (16 bytes) and a segment size (4), each with a header of 16.
const CONTROL_BYTES: usize = 128;

/// What a socket shall tell of its datagrams.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Details {
    /// Several datagrams of one sender may come as one message (UDP_GRO).
    pub gro: bool,
    /// When the kernel got each (SO_TIMESTAMPNS), which is before they waited in the socket's buffer.
    pub times: bool,
}

impl Details {
    /// Asks the kernel for them.
    ///
    /// # Errors
    /// Those of `setsockopt(2)`.
    pub fn ask(self, socket: BorrowedFd<'_>) -> io::Result<()> {
        if self.gro {
            switch_on(socket, libc::SOL_UDP, libc::UDP_GRO)?;
        }
        if self.times {
            switch_on(socket, libc::SOL_SOCKET, libc::SO_TIMESTAMPNS)?;
        }
        Ok(())
    }
}

/// One message: a datagram, or several that the kernel put together.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The sender.
    pub from: SocketAddr,
    /// Since the Unix epoch, if it was asked for.
    pub at: Option<Duration>,
    bytes: &'a [u8],
    segment: usize,
}

impl<'a> Message<'a> {
    /// The datagrams in it.
    pub fn datagrams(&self) -> impl Iterator<Item = &'a [u8]> {
        self.bytes.chunks(self.segment.max(1))
    }
}

#[derive(Clone, Copy)]
#[repr(align(8))] // of cmsghdr
struct Control([u8; CONTROL_BYTES]);

/// Buffers for one batch, used for all sockets in turn.
pub struct Batch {
    room: usize,
    bytes: Box<[u8]>,
    names: [libc::sockaddr_storage; BATCH_MESSAGES],
    controls: [Control; BATCH_MESSAGES],
    headers: [libc::mmsghdr; BATCH_MESSAGES],
    received: usize,
}

impl Batch {
    /// Buffers for sockets with or without GRO.
    pub fn new(gro: bool) -> Self {
        let room = if gro { RUN_BYTES } else { DATAGRAM_BYTES };
        // SAFETY: both are plain data for which zeros are valid.
        let (name, header) = unsafe { (mem::zeroed(), mem::zeroed()) };
        Self {
            room,
            bytes: vec![0; room * BATCH_MESSAGES].into_boxed_slice(),
            names: [name; BATCH_MESSAGES],
            controls: [Control([0; CONTROL_BYTES]); BATCH_MESSAGES],
            headers: [header; BATCH_MESSAGES],
            received: 0,
        }
    }

    /// Takes what is there, at most [`BATCH_MESSAGES`], in place of what was there before. Never waits.
    ///
    /// # Errors
    /// Those of `recvmmsg(2)`: `WouldBlock` when nothing is there, and what the network reported (ICMP).
    pub fn receive(&mut self, socket: BorrowedFd<'_>) -> io::Result<usize> {
        self.received = 0;
        let mut parts = [libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        }; BATCH_MESSAGES];
        let buffers = self.bytes.chunks_exact_mut(self.room);
        for (((buffer, part), header), (name, control)) in buffers
            .zip(&mut parts)
            .zip(&mut self.headers)
            .zip(self.names.iter_mut().zip(&mut self.controls))
        {
            part.iov_base = buffer.as_mut_ptr().cast();
            part.iov_len = buffer.len();
            let header = &mut header.msg_hdr;
            header.msg_name = ptr::from_mut(name).cast();
            header.msg_namelen = size_of_val(name) as libc::socklen_t;
            header.msg_iov = ptr::from_mut(part);
            header.msg_iovlen = 1;
            header.msg_control = control.0.as_mut_ptr().cast();
            header.msg_controllen = CONTROL_BYTES;
            header.msg_flags = 0;
        }
        // SAFETY: every header points to buffers of the lengths given, which outlive the call.
        let received = unsafe {
            libc::recvmmsg(
                socket.as_raw_fd(),
                self.headers.as_mut_ptr(),
                BATCH_MESSAGES as libc::c_uint,
                libc::MSG_DONTWAIT as _,
                ptr::null_mut(),
            )
        };
        self.received = usize::try_from(received).map_err(|_| io::Error::last_os_error())?;
        Ok(self.received)
    }

    /// The messages of the last [`receive`](Self::receive), in the order of their arrival.
    pub fn messages(&self) -> impl Iterator<Item = Message<'_>> {
        (0..self.received).filter_map(|index| self.message(index))
    }

    fn message(&self, index: usize) -> Option<Message<'_>> {
        let length = self.headers[index].msg_len as usize;
        let start = index * self.room;
        let bytes = &self.bytes[start..start + length.min(self.room)];
        let (at, segment) = self.details(index);
        Some(Message {
            from: address(&self.names[index])?,
            at,
            bytes,
            segment: segment.unwrap_or(bytes.len()),
        })
    }

    /// Time and segment size, of the control messages.
    fn details(&self, index: usize) -> (Option<Duration>, Option<usize>) {
        let (mut at, mut segment) = (None, None);
        let length = self.headers[index].msg_hdr.msg_controllen;
        let mut rest = &self.controls[index].0[..length.min(CONTROL_BYTES)];
        // A header is three words: length with itself, level, type (cmsg(3)); the next begins at a multiple of 8.
        while let Some((head, body)) = rest.split_at_checked(size_of::<libc::cmsghdr>()) {
            let length = word(head, 0).unwrap_or(0) as usize;
            let kind = (half(head, 8), half(head, 12));
            match kind {
                (Some(libc::SOL_SOCKET), Some(libc::SO_TIMESTAMPNS)) => {
                    let parts = word(body, 0).zip(word(body, 8));
                    at = parts.map(|(s, ns)| Duration::new(s, ns as u32));
                }
                (Some(libc::SOL_UDP), Some(libc::UDP_GRO)) => {
                    segment = half(body, 0).and_then(|bytes| usize::try_from(bytes).ok());
                }
                _ => {}
            }
            let next = length.max(head.len()).next_multiple_of(8);
            rest = rest.get(next..).unwrap_or_default();
        }
        (at, segment)
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_ne_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

fn half(bytes: &[u8], at: usize) -> Option<i32> {
    Some(i32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn address(name: &libc::sockaddr_storage) -> Option<SocketAddr> {
    match i32::from(name.ss_family) {
        libc::AF_INET => {
            // SAFETY: the kernel wrote an address of this family, which fits and is aligned for any.
            let name: &libc::sockaddr_in = unsafe { &*ptr::from_ref(name).cast() };
            let ip = Ipv4Addr::from(u32::from_be(name.sin_addr.s_addr));
            Some((ip, u16::from_be(name.sin_port)).into())
        }
        libc::AF_INET6 => {
            // SAFETY: as above.
            let name: &libc::sockaddr_in6 = unsafe { &*ptr::from_ref(name).cast() };
            let ip = Ipv6Addr::from(name.sin6_addr.s6_addr);
            Some((ip, u16::from_be(name.sin6_port)).into())
        }
        _ => None,
    }
}

fn switch_on(socket: BorrowedFd<'_>, level: i32, option: i32) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: the pointer is to a readable integer of the length given.
    let result = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            option,
            ptr::from_ref(&on).cast(),
            size_of_val(&on) as libc::socklen_t,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;
    use std::time::SystemTime;

    use quinn_udp::{Transmit, UdpSocketState};

    use super::*;

    /// Two sockets of this host, the second with these details.
    fn pair(details: Details) -> (UdpSocket, UdpSocket) {
        let bind = || UdpSocket::bind("127.0.0.1:0").unwrap();
        let (sender, receiver) = (bind(), bind());
        details.ask(receiver.as_fd()).unwrap();
        (sender, receiver)
    }

    /// Sends three datagrams, of 500, 500 and 200 bytes, as one run.
    fn send_run(sender: &UdpSocket, to: SocketAddr) {
        let contents: Vec<u8> = (0..1200).map(|i| (i / 500) as u8).collect();
        let transmit = Transmit {
            destination: to,
            ecn: None,
            contents: &contents,
            segment_size: Some(500),
            src_ip: None,
        };
        let state = UdpSocketState::new(sender.into()).unwrap();
        state.try_send(sender.into(), &transmit).unwrap();
    }

    fn lengths(batch: &Batch) -> Vec<Vec<usize>> {
        let of = |message: Message<'_>| message.datagrams().map(<[u8]>::len).collect();
        batch.messages().map(of).collect()
    }

    #[test]
    fn a_run_is_one_message_with_gro_and_three_without() {
        for gro in [false, true] {
            let (sender, receiver) = pair(Details { gro, times: false });
            send_run(&sender, receiver.local_addr().unwrap());
            let mut batch = Batch::new(gro);
            batch.receive(receiver.as_fd()).unwrap();
            let expected = if gro {
                vec![vec![500, 500, 200]]
            } else {
                vec![vec![500], vec![500], vec![200]]
            };
            assert_eq!(lengths(&batch), expected);
            let datagrams: Vec<u8> = batch
                .messages()
                .flat_map(|message| message.datagrams().map(|d| d[0]).collect::<Vec<_>>())
                .collect();
            assert_eq!(datagrams, [0, 1, 2], "in order");
            let mut senders = batch.messages().map(|message| message.from);
            assert!(senders.all(|from| from == sender.local_addr().unwrap()));
        }
    }

    #[test]
    fn the_time_is_when_the_kernel_got_it() {
        let details = Details {
            gro: true,
            times: true,
        };
        let (sender, receiver) = pair(details);
        let now = || {
            SystemTime::now()
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap()
        };
        let before = now();
        send_run(&sender, receiver.local_addr().unwrap());
        let after = now();
        let mut batch = Batch::new(true);
        batch.receive(receiver.as_fd()).unwrap();
        assert_eq!(lengths(&batch), [[500, 500, 200]]);
        let at = batch.messages().next().unwrap().at.unwrap();
        assert!(before <= at && at <= after, "{before:?} {at:?} {after:?}");
    }

    #[test]
    fn an_empty_socket_says_so_and_forgets_the_batch_before() {
        let (sender, receiver) = pair(Details::default());
        let mut batch = Batch::new(false);
        sender
            .send_to(b"x", receiver.local_addr().unwrap())
            .unwrap();
        assert_eq!(batch.receive(receiver.as_fd()).unwrap(), 1);
        let error = batch.receive(receiver.as_fd()).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(batch.messages().count(), 0);
    }
}
