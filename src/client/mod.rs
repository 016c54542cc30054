//! Which client a request comes from: the other end of its connection, or whom a proxy there speaks for.

mod forwarded;
mod network;

use std::net::{IpAddr, Ipv6Addr};

pub use forwarded::{Client, FORWARDED_HOPS};
pub use network::{Network, NetworkError};

/// What the bounds on addresses count by: an IPv4 address, or the /64 of an IPv6 address, for one host may
/// take any address of its /64 (RFC 8981).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct AddressBlock(IpAddr);

impl AddressBlock {
    /// Where the address is.
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(address) => address.into(),
            IpAddr::V6(address) => {
                let network = u128::from(address) >> 64 << 64;
                Ipv6Addr::from(network).into()
            }
        })
    }

    /// Bytes that no other block has.
    pub fn bytes(self) -> [u8; 16] {
        match self.0 {
            IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
            IpAddr::V6(address) => address.octets(),
        }
    }
}

#[cfg(test)]
#[test]
fn a_host_has_one_block() {
    let block = |text: &str| AddressBlock::of(text.parse().unwrap());
    assert_eq!(block("192.0.2.1"), block("::ffff:192.0.2.1"));
    assert_ne!(block("192.0.2.1"), block("192.0.2.2"));
    assert_eq!(block("2001:db8::1"), block("2001:db8::ffff:1:2:3"));
    assert_ne!(block("2001:db8::1"), block("2001:db8:0:1::1"));
    assert_ne!(block("192.0.2.1").bytes(), block("192.0.2.2").bytes());
    assert_ne!(block("::").bytes(), block("0.0.0.0").bytes());
}
