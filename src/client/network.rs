//! Networks of addresses (CIDR, RFC 4632 §3.1, RFC 4291 §2.3).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// A network, or a single address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    /// Its first address; never an IPv4 address in the form of IPv6.
    first: IpAddr,
    /// Bits that its addresses have in common; never 0.
    prefix: u32,
}

/// Why a text is no network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// Neither an address nor an address with a number of bits.
    #[error("is not a network, such as 10.0.0.0/8, 192.0.2.7 or 2001:db8::/32")]
    Malformed,
    /// Bits are set behind the prefix.
    #[error("has bits behind its prefix: {0} is the network")]
    HostBits(Network),
    /// It would be everybody.
    #[error("is every address there is: name the networks of your proxies")]
    Everything,
}

impl Network {
    /// Whether the address is in it, in whatever form it is written.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.first, address.to_canonical()) {
            (IpAddr::V4(first), IpAddr::V4(address)) => {
                let shift = u32::BITS - self.prefix;
                u32::from(first) >> shift == u32::from(address) >> shift
            }
            (IpAddr::V6(first), IpAddr::V6(address)) => {
                let shift = u128::BITS - self.prefix;
                u128::from(first) >> shift == u128::from(address) >> shift
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => false,
        }
    }

    fn new(address: IpAddr, prefix: Option<u32>) -> Result<Self, NetworkError> {
        let (bits, canonical) = (bits(address), address.to_canonical());
        let prefix = prefix.unwrap_or(bits);
        // What an IPv4 address in the form of IPv6 has in front of itself.
        let mapping = bits - self::bits(canonical);
        if prefix > bits || prefix < mapping {
            return Err(NetworkError::Malformed);
        }
        let prefix = prefix - mapping;
        if prefix == 0 {
            return Err(NetworkError::Everything);
        }
        let first = match canonical {
            IpAddr::V4(address) => {
                let shift = u32::BITS - prefix;
                IpAddr::V4((u32::from(address) >> shift << shift).into())
            }
            IpAddr::V6(address) => {
                let shift = u128::BITS - prefix;
                IpAddr::V6((u128::from(address) >> shift << shift).into())
            }
        };
        let network = Self { first, prefix };
        match first == canonical {
            true => Ok(network),
            false => Err(NetworkError::HostBits(network)),
        }
    }
}

fn bits(address: IpAddr) -> u32 {
    match address {
        IpAddr::V4(_) => u32::BITS,
        IpAddr::V6(_) => u128::BITS,
    }
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, prefix) = match text.split_once('/') {
            None => (text, None),
            Some((address, prefix)) => {
                let digits = (1..=3).contains(&prefix.len())
                    && prefix.bytes().all(|byte| byte.is_ascii_digit());
                let prefix = digits.then(|| prefix.parse().ok()).flatten();
                (address, Some(prefix.ok_or(NetworkError::Malformed)?))
            }
        };
        let address = address.parse().map_err(|_| NetworkError::Malformed)?;
        Self::new(address, prefix)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.prefix == bits(self.first) {
            true => self.first.fmt(f),
            false => write!(f, "{}/{}", self.first, self.prefix),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contains(network: &str, address: &str) -> bool {
        let network: Network = network.parse().unwrap();
        network.contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_has_the_addresses_of_its_prefix() {
        assert!(contains("10.0.0.0/8", "10.255.1.2"));
        assert!(!contains("10.0.0.0/8", "11.0.0.0"));
        assert!(contains("192.0.2.7", "192.0.2.7"));
        assert!(!contains("192.0.2.7", "192.0.2.6"));
        assert!(contains("128.0.0.0/1", "255.0.0.1"));
        assert!(contains("2001:db8::/32", "2001:db8:ffff::1"));
        assert!(!contains("2001:db8::/32", "2001:db9::"));
        assert!(contains("::1", "::1"));
    }

    #[test]
    fn the_form_of_an_address_makes_no_difference() {
        assert!(contains("10.0.0.0/8", "::ffff:10.1.2.3"));
        assert!(contains("::ffff:10.0.0.0/104", "10.1.2.3"));
        assert!(contains("::ffff:192.0.2.7", "192.0.2.7"));
        assert!(!contains("fc00::/7", "10.1.2.3"));
    }

    #[test]
    fn what_is_no_network_is_refused_with_a_reason() {
        let fault = |text: &str| text.parse::<Network>().unwrap_err();
        for text in [
            "",
            "/",
            "/8",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.0/+8",
            "10.0.0.0/8/8",
            "10.0.0/8",
            "::/129",
            "example.com",
            "10.0.0.1:80",
            "10.0.0.0/0008",
            "[::1]",
            "::ffff:10.0.0.0/64",
        ] {
            assert_eq!(fault(text), NetworkError::Malformed, "{text}");
        }
        for text in ["0.0.0.0/0", "::/0", "10.0.0.0/0", "::ffff:0.0.0.0/96"] {
            assert_eq!(fault(text), NetworkError::Everything, "{text}");
        }
        let sentence = fault("10.1.2.3/8").to_string();
        assert_eq!(
            sentence,
            "has bits behind its prefix: 10.0.0.0/8 is the network"
        );
    }

    #[test]
    fn a_network_is_written_as_it_is_read() {
        for text in ["10.0.0.0/8", "192.0.2.7", "2001:db8::/32", "::1"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
    }
}
