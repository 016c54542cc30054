//! Receivers that cost the generator nothing: the kernel throws their media away as it arrives, on the CPU that sent it, and
//! counts it. What keeps a session alive (STUN, DTLS, RTCP) still comes through.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::net::UdpSocket;

use socket2::{SockFilter, SockRef};

/// Where a filter sees the first byte of a datagram: behind UDP's header.
const PAYLOAD: u32 = 8;
/// Datagrams of so many bytes and more are media: STUN and RTCP of one viewer have some 100, and so has DTLS once its
/// handshake is over. A filter that need not look into a packet costs the sender half as much.
const LONG: u32 = 600;
/// Instructions of classic BPF (linux/bpf_common.h): load the length, load a byte, jump if ≥, return.
const LOAD_LENGTH: u16 = 0x80;
const LOAD_BYTE: u16 = 0x30;
const JUMP_IF_AT_LEAST: u16 = 0x35;
const RETURN: u16 = 0x06;
/// Bytes of a datagram that are kept: none, or all.
const DROP: u32 = 0;
const KEEP: u32 = u32::MAX;

/// From now on the kernel drops RTP for this socket before it is queued, and counts it as dropped. RTP is told from what shares
/// the socket by its length, and as RFC 7983 §7 and RFC 5761 §4 say.
///
/// # Errors
/// Those of `setsockopt(2)`.
pub fn drop_media(socket: &UdpSocket) -> io::Result<()> {
    let program = [
        SockFilter::new(LOAD_LENGTH, 0, 0, 0),
        SockFilter::new(JUMP_IF_AT_LEAST, 6, 0, PAYLOAD + LONG),
        SockFilter::new(LOAD_BYTE, 0, 0, PAYLOAD),
        SockFilter::new(JUMP_IF_AT_LEAST, 0, 5, 128), // STUN, DTLS
        SockFilter::new(JUMP_IF_AT_LEAST, 4, 0, 192),
        SockFilter::new(LOAD_BYTE, 0, 0, PAYLOAD + 1),
        SockFilter::new(JUMP_IF_AT_LEAST, 0, 1, 192), // below: RTP
        SockFilter::new(JUMP_IF_AT_LEAST, 0, 1, 224), // below: RTCP
        SockFilter::new(RETURN, 0, 0, DROP),
        SockFilter::new(RETURN, 0, 0, KEEP),
    ];
    SockRef::from(socket).attach_filter(&program)
}

/// Datagrams that the kernel has dropped so far, for whatever reason, on sockets of these IPv4 and IPv6 ports. With UDP_GRO
/// a run that was dropped whole counts as one.
///
/// # Errors
/// When `/proc/net/udp` cannot be read.
pub fn dropped(ports: &BTreeSet<u16>) -> io::Result<u64> {
    let mut sum = 0;
    for table in ["/proc/net/udp", "/proc/net/udp6"] {
        match fs::read_to_string(table) {
            Ok(text) => sum += drops_of(&text, ports),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {} // no IPv6 here
            Err(error) => return Err(error),
        }
    }
    Ok(sum)
}

/// The last column of the lines of these ports: proc_net_udp, `sl local_address rem_address … drops`.
fn drops_of(table: &str, ports: &BTreeSet<u16>) -> u64 {
    let drops = |line: &str| {
        let local = line.split_ascii_whitespace().nth(1)?;
        let port = u16::from_str_radix(local.rsplit_once(':')?.1, 16).ok()?;
        let drops = line.split_ascii_whitespace().next_back()?;
        ports.contains(&port).then(|| drops.parse::<u64>().ok())?
    };
    table.lines().skip(1).filter_map(drops).sum::<u64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_is_dropped_and_counted_and_the_rest_comes_through() {
        let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
        let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = receiver.local_addr().unwrap();
        drop_media(&receiver).unwrap();
        let rtp = [[128, 96], [128, 96 | 128], [191, 0], [144, 191], [128, 224]];
        let rest: [[u8; 2]; 6] = [[0, 1], [1, 1], [20, 254], [63, 0], [128, 200], [129, 223]];
        for datagram in rtp.iter().chain(&rest) {
            sender.send_to(datagram, address).unwrap();
        }
        let mut came = Vec::new();
        receiver.set_nonblocking(true).unwrap();
        let mut datagram = [0; 2];
        while receiver.recv(&mut datagram).is_ok() {
            came.push(datagram);
        }
        assert_eq!(came, rest);
        let mut long = [0; LONG as usize];
        long[0] = 128;
        sender.send_to(&long, address).unwrap();
        assert!(receiver.recv(&mut datagram).is_err());
        let ports = [address.port()].into();
        assert_eq!(dropped(&ports).unwrap(), rtp.len() as u64 + 1);
    }

    #[test]
    fn only_the_named_ports_count() {
        let table = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops\n\
            1: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0000000000000000 41\n\
            2: 0100007F:1F91 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0000000000000000 500\n\
            3: 00000000:1F92 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 1 2 0000000000000000 1\n";
        assert_eq!(drops_of(table, &[8080, 8082].into()), 42);
        assert_eq!(drops_of(table, &BTreeSet::new()), 0);
    }
}
