//! Where server and clients stand: two network namespaces with a bad link between them, or loopback.
//!
//! Both namespaces have no name: they and their devices end with the last process in them, whatever that dies of.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use std::sync::mpsc;
use std::thread;

use rustix::thread::{LinkNameSpaceType, UnshareFlags, move_into_link_name_space};

use crate::link::Link;

/// Addresses of the two ends of the link, which nobody outside of the namespaces sees.
const NEAR: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 1);
const FAR: Ipv4Addr = Ipv4Addr::new(10, 99, 0, 2);

/// The place of this process, and that of its clients.
pub struct Site {
    far: Option<Far>,
}

struct Far {
    namespace: File,
    link: Link,
}

impl Site {
    /// Server and clients on loopback.
    pub fn loopback() -> Self {
        Self { far: None }
    }

    /// Moves this process into a namespace of its own, makes another one for the clients, and joins them. To be called
    /// while this is the only thread.
    ///
    /// # Errors
    /// What is not allowed here, as a sentence.
    pub fn enter() -> Result<Self, String> {
        unshare().map_err(|error| format!("unshare: {error}"))?;
        up("lo")?;
        let near = tun("soak-near", NEAR, FAR)?;
        let (send, receive) = mpsc::channel();
        // The thread that has moved ends; the namespace lives by its file.
        let mover = thread::spawn(move || {
            let made = || -> Result<(File, File), String> {
                unshare().map_err(|error| format!("unshare: {error}"))?;
                up("lo")?;
                let far = tun("soak-far", FAR, NEAR)?;
                let namespace = File::open("/proc/thread-self/ns/net");
                Ok((far, namespace.map_err(|error| error.to_string())?))
            };
            send.send(made())
        });
        let made = receive.recv().map_err(|error| error.to_string())?;
        let _ = mover.join();
        let (far, namespace) = made?;
        let link = Link::start(near, far).map_err(|error| error.to_string())?;
        Ok(Self {
            far: Some(Far { namespace, link }),
        })
    }

    /// Where the server listens for the clients behind the link.
    pub fn server_address(&self) -> IpAddr {
        self.far
            .as_ref()
            .map_or(Ipv4Addr::LOCALHOST, |_| NEAR)
            .into()
    }

    /// Where these clients are.
    pub fn client_address(&self) -> IpAddr {
        self.far
            .as_ref()
            .map_or(Ipv4Addr::LOCALHOST, |_| FAR)
            .into()
    }

    /// The bad link, where there is one.
    pub fn link(&self) -> Option<&Link> {
        self.far.as_ref().map(|far| &far.link)
    }

    /// Moves the calling thread, and those that it starts, to the clients' side.
    pub fn go_to_clients(&self) {
        if let Some(far) = &self.far {
            let network = Some(LinkNameSpaceType::Network);
            move_into_link_name_space(far.namespace.as_fd(), network)
                .expect("who made a namespace may enter it");
        }
    }
}

fn unshare() -> io::Result<()> {
    // SAFETY: only the network namespace of the calling thread changes; descriptors stay shared.
    Ok(unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?)
}

/// A point-to-point device of the present namespace, whose packets this process carries. It ends with its file.
fn tun(name: &str, address: Ipv4Addr, peer: Ipv4Addr) -> Result<File, String> {
    let device = attach(name).map_err(|error| format!("/dev/net/tun: {error}"))?;
    let (address, peer) = (address.to_string(), peer.to_string());
    ip(&["addr", "add", &address, "peer", &peer, "dev", name])?;
    up(name)?;
    Ok(device)
}

fn attach(name: &str) -> io::Result<File> {
    let device = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/net/tun")?;
    let mut request = libc::ifreq {
        ifr_name: [0; libc::IFNAMSIZ],
        ifr_ifru: libc::__c_anonymous_ifr_ifru {
            ifru_flags: (libc::IFF_TUN | libc::IFF_NO_PI) as libc::c_short,
        },
    };
    for (to, from) in request.ifr_name.iter_mut().zip(name.bytes()) {
        *to = from as libc::c_char;
    }
    // SAFETY: TUNSETIFF reads an ifreq, which lives until the call is over.
    if unsafe { libc::ioctl(device.as_raw_fd(), libc::TUNSETIFF, &request) } < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(device)
}

fn up(device: &str) -> Result<(), String> {
    ip(&["link", "set", device, "up"])
}

/// Runs `ip` in the namespace of the calling thread.
fn ip(arguments: &[&str]) -> Result<(), String> {
    let output = Command::new("ip")
        .args(arguments)
        .output()
        .map_err(|error| format!("ip: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}
