//! Listeners and UDP ports over the loopback interface.

#![allow(unsafe_code, reason = "poll(2), and what is asked of descriptors")]

use std::collections::HashSet;
use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use executor::{
    Accepted, BindError, MAX_RUN_BYTES, MAX_RUN_SEGMENTS, RECV_BATCH_DATAGRAMS, Received,
    SendOutcome, UdpPort, bind_all,
};

const PATIENCE: Duration = Duration::from_secs(10);

fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Connects from an address of its own: connections that were closed lately may still hold every port
/// of 127.0.0.1 (TIME_WAIT), and connect(2) then finds none.
fn connect(to: SocketAddr) -> TcpStream {
    let from: SocketAddr = "127.64.0.1:0".parse().unwrap();
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&from.into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

fn wait_for(fd: impl AsFd, events: i16) {
    let mut pollfd = libc::pollfd {
        fd: fd.as_fd().as_raw_fd(),
        events,
        revents: 0,
    };
    // SAFETY: the pointer is to one pollfd.
    let ready = unsafe { libc::poll(&raw mut pollfd, 1, PATIENCE.as_millis() as i32) };
    assert_eq!(ready, 1, "not ready within {PATIENCE:?}");
}

/// Receives until `count` datagrams are there.
fn receive(port: &mut UdpPort, count: usize) -> Vec<(SocketAddr, Vec<u8>)> {
    let mut datagrams = Vec::new();
    while datagrams.len() < count {
        wait_for(&*port, libc::POLLIN);
        port.recv(&mut |from, datagram| datagrams.push((from, datagram.to_vec())))
            .unwrap();
    }
    datagrams
}

#[test]
fn connections_are_spread_over_the_listeners_of_one_port() {
    let mut listeners = bind_all(loopback(), 3).unwrap();
    let addr = listeners[0].local_addr();
    assert!(
        listeners
            .iter()
            .all(|listener| listener.local_addr() == addr)
    );
    let clients: Vec<TcpStream> = (0..90).map(|_| connect(addr)).collect();
    let addresses: HashSet<SocketAddr> = clients
        .iter()
        .map(|client| client.local_addr().unwrap())
        .collect();
    let mut peers = HashSet::new();
    for listener in &mut listeners {
        let before = peers.len();
        loop {
            match listener.accept(Instant::now()) {
                Accepted::Connection { peer, .. } => peers.insert(peer),
                Accepted::Empty => break,
                Accepted::Exhausted { .. } => panic!("nothing is exhausted"),
            };
        }
        assert!(peers.len() > before, "a listener got no connection of 90");
    }
    assert_eq!(peers, addresses);
}

#[test]
fn an_accepted_connection_is_ready_for_the_reactor() {
    let mut listeners = bind_all(loopback(), 1).unwrap();
    let mut client = connect(listeners[0].local_addr());
    wait_for(&listeners[0], libc::POLLIN);
    let Accepted::Connection { mut socket, peer } = listeners[0].accept(Instant::now()) else {
        panic!("nobody there");
    };
    assert_eq!(peer, client.local_addr().unwrap());
    assert!(socket.nodelay().unwrap(), "Nagle's delay is off");
    let low_water = SockRef::from(&socket).tcp_notsent_lowat().unwrap();
    assert_eq!(low_water, 16 << 10, "inherited from the listener");
    let mut byte = [0];
    assert_eq!(
        socket.read(&mut byte).unwrap_err().kind(),
        io::ErrorKind::WouldBlock
    );
    // SAFETY: takes no pointers.
    let flags = unsafe { libc::fcntl(socket.as_raw_fd(), libc::F_GETFD) };
    assert_eq!(
        flags & libc::FD_CLOEXEC,
        libc::FD_CLOEXEC,
        "not passed on to child processes"
    );
    client.write_all(b"x").unwrap();
    wait_for(&socket, libc::POLLIN);
    assert_eq!(socket.read(&mut byte).unwrap(), 1);
    assert!(matches!(
        listeners[0].accept(Instant::now()),
        Accepted::Empty
    ));
}

#[test]
fn a_second_server_on_the_port_is_refused() {
    let listeners = bind_all(loopback(), 2).unwrap();
    let addr = listeners[0].local_addr();
    let error = bind_all(addr, 2).unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }), "{error:?}");
    assert!(
        error
            .to_string()
            .contains("is already in use: another process"),
        "{error}"
    );

    // A server of another make, too.
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let error = bind_all(other.local_addr().unwrap(), 1).unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }), "{error:?}");
}

#[test]
fn a_restarted_server_gets_its_port_back_at_once() {
    let mut listeners = bind_all(loopback(), 1).unwrap();
    let addr = listeners[0].local_addr();
    let mut client = connect(addr);
    wait_for(&listeners[0], libc::POLLIN);
    let accepted = listeners[0].accept(Instant::now());
    assert!(matches!(accepted, Accepted::Connection { .. }));
    // The server closes first, so its end of the connection stays in TIME_WAIT.
    drop(accepted);
    drop(listeners);
    assert_eq!(client.read(&mut [0]).unwrap(), 0);
    drop(client);
    bind_all(addr, 2).unwrap();
}

#[test]
fn an_address_of_another_machine_is_refused_in_words() {
    let elsewhere: SocketAddr = "192.0.2.1:0".parse().unwrap(); // RFC 5737
    for error in [
        bind_all(elsewhere, 1).unwrap_err(),
        UdpPort::bind(elsewhere).unwrap_err(),
    ] {
        assert!(matches!(error, BindError::NotLocal { .. }), "{error:?}");
        assert!(
            error
                .to_string()
                .contains("is not an address of this machine"),
            "{error}"
        );
    }
}

#[test]
fn a_udp_port_is_for_one_server() {
    let port = UdpPort::bind(loopback()).unwrap();
    let error = UdpPort::bind(port.local_addr()).unwrap_err();
    assert!(matches!(error, BindError::InUse { .. }), "{error:?}");
}

#[test]
fn a_run_arrives_as_its_datagrams() {
    let sender = UdpPort::bind(loopback()).unwrap();
    let mut receiver = UdpPort::bind(loopback()).unwrap();
    for (bytes, segment) in [
        (1, 1),
        (1_000, 1_000),
        (1_000, 1_200),
        (2_401, 1_200),
        (64, 1),
    ] {
        let contents: Vec<u8> = (0..bytes).map(|byte| byte as u8).collect();
        let outcome = sender.send(receiver.local_addr(), &contents, segment);
        assert!(matches!(outcome, SendOutcome::Sent), "{outcome:?}");
        let expected: Vec<_> = contents
            .chunks(segment)
            .map(|datagram| (sender.local_addr(), datagram.to_vec()))
            .collect();
        assert_eq!(receive(&mut receiver, expected.len()), expected);
    }
}

#[test]
fn the_longest_run_arrives() {
    let sender = UdpPort::bind(loopback()).unwrap();
    let mut receiver = UdpPort::bind(loopback()).unwrap();
    let segment = MAX_RUN_BYTES / MAX_RUN_SEGMENTS;
    let contents = vec![7; segment * MAX_RUN_SEGMENTS];
    assert!(matches!(
        sender.send(receiver.local_addr(), &contents, segment),
        SendOutcome::Sent
    ));
    let datagrams = receive(&mut receiver, MAX_RUN_SEGMENTS);
    assert!(
        datagrams
            .iter()
            .all(|(_, datagram)| datagram.len() == segment)
    );
}

#[test]
fn datagrams_of_ordinary_senders_are_received_one_by_one() {
    let mut receiver = UdpPort::bind(loopback()).unwrap();
    let senders: Vec<UdpSocket> = (0..5)
        .map(|_| UdpSocket::bind("127.0.0.1:0").unwrap())
        .collect();
    for (number, sender) in (0..).zip(&senders) {
        sender
            .send_to(&[number; 33], receiver.local_addr())
            .unwrap();
        sender.send_to(&[], receiver.local_addr()).unwrap(); // says nothing, ends nothing
    }
    let datagrams = receive(&mut receiver, 5);
    for ((number, sender), (from, datagram)) in (0..).zip(&senders).zip(&datagrams) {
        assert_eq!(*from, sender.local_addr().unwrap());
        assert_eq!(*datagram, [number; 33]);
    }
}

#[test]
fn receiving_goes_on_until_the_port_is_drained() {
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut receiver = UdpPort::bind(loopback()).unwrap();
    assert_eq!(
        receiver.recv(&mut |_, _| panic!("nothing came")).unwrap(),
        Received::Drained
    );
    for number in 0..100_u8 {
        sender.send_to(&[number], receiver.local_addr()).unwrap();
    }
    let mut numbers = Vec::new();
    loop {
        let before = numbers.len();
        let received = receiver
            .recv(&mut |_, datagram| numbers.push(datagram[0]))
            .unwrap();
        assert!(numbers.len() - before <= RECV_BATCH_DATAGRAMS);
        if received == Received::Drained {
            break;
        }
    }
    assert_eq!(numbers, (0..100).collect::<Vec<_>>());
}

/// Runs `work` on a thread of its own on which the kernel answers each sendmsg(2) with `errno`. (The
/// loopback interface delivers at once, so it never fills a send buffer.)
fn refusing_to_send<T: Send>(errno: i32, work: impl FnOnce() -> T + Send) -> T {
    let statement = |code: u32, k: u32| libc::sock_filter {
        code: code as u16,
        jt: 0,
        jf: 0,
        k,
    };
    let mut program = [
        // The number of the system call is the first field of what a filter sees.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter {
            jf: 1,
            ..statement(
                libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
                libc::SYS_sendmsg as u32,
            )
        },
        statement(
            libc::BPF_RET | libc::BPF_K,
            libc::SECCOMP_RET_ERRNO | errno as u32,
        ),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            let filter = libc::sock_fprog {
                len: program.len() as u16,
                filter: program.as_mut_ptr(),
            };
            // SAFETY: takes no pointers; only this thread loses the right to gain privileges.
            let rc = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
            assert_eq!(rc, 0, "{}", io::Error::last_os_error());
            // SAFETY: `filter` and the program that it points to are readable during the call.
            let rc = unsafe {
                libc::prctl(
                    libc::PR_SET_SECCOMP,
                    libc::SECCOMP_MODE_FILTER,
                    &raw const filter,
                )
            };
            assert_eq!(rc, 0, "{}", io::Error::last_os_error());
            work()
        });
        thread.join().unwrap()
    })
}

/// glommio's socket sends one byte of a datagram when the kernel's buffer was full.
#[test]
fn a_run_is_sent_wholly_or_not_at_all_when_the_buffer_is_full() {
    let sender = UdpPort::bind(loopback()).unwrap();
    let mut receiver = UdpPort::bind(loopback()).unwrap();
    let to = receiver.local_addr();
    for (bytes, datagrams) in [(3_000, 3), (1_000, 1)] {
        let run = vec![9; bytes];
        let outcome = refusing_to_send(libc::EAGAIN, || sender.send(to, &run, 1_000));
        assert!(matches!(outcome, SendOutcome::WouldBlock), "{outcome:?}");
        let drained = receiver
            .recv(&mut |_, _| panic!("something was sent"))
            .unwrap();
        assert_eq!(drained, Received::Drained);

        assert!(matches!(sender.send(to, &run, 1_000), SendOutcome::Sent));
        for (_, datagram) in receive(&mut receiver, datagrams) {
            assert_eq!(datagram, [9; 1_000]);
        }
    }
}

#[test]
fn a_machine_that_cannot_segment_gets_one_datagram_at_a_time() {
    let sender = UdpPort::bind(loopback()).unwrap();
    let mut receiver = UdpPort::bind(loopback()).unwrap();
    let to = receiver.local_addr();
    let run: Vec<u8> = (0..2_500).map(|byte| (byte / 1_000) as u8).collect();
    // What a network card without checksum offload answers.
    let outcome = refusing_to_send(libc::EIO, || sender.send(to, &run, 1_000));
    assert!(matches!(outcome, SendOutcome::Failed(_)), "{outcome:?}");
    assert_eq!(sender.max_segments(), 1);

    assert!(matches!(sender.send(to, &run, 1_000), SendOutcome::Sent));
    let datagrams = receive(&mut receiver, 3);
    let expected = [vec![0; 1_000], vec![1; 1_000], vec![2; 500]];
    assert!(datagrams.iter().map(|(_, datagram)| datagram).eq(&expected));
}

#[test]
fn a_hostile_destination_is_refused_and_harms_nobody() {
    let sender = UdpPort::bind(loopback()).unwrap();
    let mut receiver = UdpPort::bind(loopback()).unwrap();
    let segments = sender.max_segments();
    let run = [1; 3_000];
    for to in ["127.0.0.1:0", "0.0.0.0:9", "[::1]:9"] {
        let outcome = sender.send(to.parse().unwrap(), &run, 1_000);
        assert!(
            matches!(outcome, SendOutcome::Failed(_)),
            "{to}: {outcome:?}"
        );
    }
    assert_eq!(
        sender.max_segments(),
        segments,
        "segmentation was switched off"
    );
    assert!(matches!(
        sender.send(receiver.local_addr(), &run, 1_000),
        SendOutcome::Sent
    ));
    assert_eq!(receive(&mut receiver, 3).len(), 3);
}

#[test]
fn a_run_that_no_send_can_hold_is_refused() {
    let sender = UdpPort::bind(loopback()).unwrap();
    let to = sender.local_addr();
    for (contents, segment) in [
        (vec![0; MAX_RUN_BYTES + 1], 1_200),
        (vec![0; MAX_RUN_SEGMENTS + 1], 1),
        (vec![], 1_200),
        (vec![0; 10], 0),
    ] {
        let outcome = sender.send(to, &contents, segment);
        assert!(matches!(outcome, SendOutcome::Failed(_)), "{outcome:?}");
    }
}

#[test]
fn version_6_works_where_the_machine_has_it() {
    let addr: SocketAddr = "[::1]:0".parse().unwrap();
    let mut receiver = match UdpPort::bind(addr) {
        Ok(port) => port,
        Err(BindError::NotLocal { .. } | BindError::Failed { .. }) => return, // no IPv6 here
        Err(error) => panic!("{error}"),
    };
    let sender = UdpPort::bind(addr).unwrap();
    assert!(matches!(
        sender.send(receiver.local_addr(), &[5; 2_500], 1_000),
        SendOutcome::Sent
    ));
    let sizes: Vec<usize> = receive(&mut receiver, 3)
        .iter()
        .map(|(_, datagram)| datagram.len())
        .collect();
    assert_eq!(sizes, [1_000, 1_000, 500]);
    let listeners = bind_all(addr, 2).unwrap();
    TcpStream::connect(listeners[0].local_addr()).unwrap();
}
