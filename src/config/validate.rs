//! What must fit together.

use std::net::IpAddr;

use super::Config;
use super::kinds::span_text;
use super::sources::Sources;
use crate::auth::Role;
use crate::placement::ShardId;
use crate::tls;

/// Reports what does not fit, each by the key that is most likely to be wrong.
pub(super) fn validate(config: &Config, sources: &mut Sources) {
    check_listen(config, sources);
    check_tls(config, sources);
    check_metrics_listen(config, sources);
    check_signup(config, sources);
    check_media_addresses(config, sources);
    check_media_ports(config, sources);
    check_ws(config, sources);
    check_shutdown(config, sources);
}

fn check_listen(config: &Config, sources: &mut Sources) {
    let listen = &config.server.listen;
    if listen.is_empty() {
        let problem = "is empty: name at least one address, such as 127.0.0.1:30006";
        sources.blame(&["server.listen"], problem.to_owned());
    }
    for (i, address) in listen.iter().enumerate() {
        // Port 0 is another port each time.
        if address.port() != 0 && listen[..i].contains(address) {
            sources.blame(&["server.listen"], format!("names {address} twice"));
        }
        let open = !config.server.insecure && !config.auth.is_on();
        if open && !address.ip().to_canonical().is_loopback() {
            let problem = format!(
                "{address} can be reached from other hosts, and nobody is authenticated: set \
                 auth.jwt_secret or auth.jwt_public_key, pass --insecure (server.insecure = true) \
                 to allow that, or listen on 127.0.0.1"
            );
            let keys = [
                "server.listen",
                "server.insecure",
                "auth.jwt_secret",
                "auth.jwt_public_key",
            ];
            sources.blame(&keys, problem);
        }
    }
}

fn check_metrics_listen(config: &Config, sources: &mut Sources) {
    let listen = &config.metrics.listen;
    for (i, address) in listen.iter().enumerate() {
        if address.port() == 0 {
            continue;
        }
        if listen[..i].contains(address) {
            sources.blame(&["metrics.listen"], format!("names {address} twice"));
        }
        if config.server.listen.contains(address) {
            let problem = format!("{address} is one of server.listen: choose another port");
            sources.blame(&["metrics.listen", "server.listen"], problem);
        }
    }
}

/// Certificate and key are read, so that a fault in them is found with the others.
fn check_tls(config: &Config, sources: &mut Sources) {
    if let Err(fault) = tls::load(&config.tls) {
        sources.blame(&fault.keys, fault.problem.to_string());
    }
    if !config.tls.is_on() && !config.tls.hsts.is_zero() {
        let problem = "is set, and there is no TLS: set tls.cert and tls.key";
        sources.blame(&["tls.hsts", "tls.cert"], problem.to_owned());
    }
}

/// Whoever asks first would own the server.
fn check_signup(config: &Config, sources: &mut Sources) {
    if config.auth.signup && config.auth.signup_role == Role::Admin {
        let problem = "admin would let anybody who signs up do everything: choose another role, or \
                       close the sign-up (auth.signup = false)";
        sources.blame(&["auth.signup_role", "auth.signup"], problem.to_owned());
    }
}

fn check_media_addresses(config: &Config, sources: &mut Sources) {
    let listen = &config.media.listen;
    let follows = if listen.is_empty() {
        " (from server.listen)"
    } else {
        ""
    };
    let addresses = config.media_addresses();
    for (i, address) in addresses.iter().enumerate() {
        let bind = address.bind;
        if addresses[..i].iter().any(|other| other.bind == bind) {
            sources.blame(&["media.listen"], format!("names {bind} twice"));
        }
        if let Some(what) = unreachable(bind) {
            let problem = format!(
                "{bind}{follows} is {what}, which viewers cannot be told to send to: name the \
                 addresses of this host, such as --media-listen 192.0.2.7"
            );
            sources.blame(&["media.listen", "server.listen"], problem);
        }
    }

    let advertise = &config.media.advertise;
    if advertise.is_empty() {
        return;
    }
    let keys = ["media.advertise", "media.listen", "server.listen"];
    if advertise.len() != addresses.len() {
        let problem = format!(
            "has {} for {} of media.listen{follows}: they stand for each other one by one",
            counted(advertise.len()),
            counted(addresses.len()),
        );
        sources.blame(&keys, problem);
        return;
    }
    for address in &addresses {
        let (bind, told) = (address.bind, address.advertise);
        if let Some(what) = unreachable(told) {
            sources.blame(
                &["media.advertise"],
                format!("{told} is {what}: name one that viewers reach"),
            );
        } else if bind.is_ipv4() != told.is_ipv4() {
            let problem = format!("{told} cannot stand for {bind}: one is IPv4, the other IPv6");
            sources.blame(&keys, problem);
        }
    }
}

fn check_media_ports(config: &Config, sources: &mut Sources) {
    // Where neither is set the CPUs are counted at the start.
    let server = &config.server;
    let cores = server.cores.as_ref().map(Vec::len);
    let Some(shards) = server.shards.map(|n| n.get()).or(cores) else {
        return;
    };
    let last = u16::try_from(shards - 1).unwrap_or(u16::MAX);
    if config.media.port_of(ShardId::new(last)).is_none() {
        let port = config.media.port;
        let problem = format!("{port} leaves no port up to 65535 for the last of {shards} shards");
        sources.blame(&["media.port", "server.shards", "server.cores"], problem);
    }
}

fn check_ws(config: &Config, sources: &mut Sources) {
    let (ping, pong) = (config.ws.ping_interval, config.ws.pong_timeout);
    if pong <= ping {
        let (ping, pong) = (span_text(ping), span_text(pong));
        let problem = format!("{pong} must be more than ws.ping_interval, which is {ping}");
        sources.blame(&["ws.pong_timeout", "ws.ping_interval"], problem);
    }
}

fn check_shutdown(config: &Config, sources: &mut Sources) {
    let (delay, timeout) = (config.server.drain_delay, config.server.shutdown_timeout);
    if delay >= timeout {
        let (delay, timeout) = (span_text(delay), span_text(timeout));
        let problem = format!(
            "{delay} must be less than server.shutdown_timeout, which is {timeout}: what is open is \
             closed in the time between them"
        );
        sources.blame(&["server.drain_delay", "server.shutdown_timeout"], problem);
    }
}

/// Why nothing can be sent to the address.
fn unreachable(address: IpAddr) -> Option<&'static str> {
    let address = address.to_canonical();
    if address.is_unspecified() {
        Some("every address")
    } else if address.is_multicast() {
        Some("a multicast address")
    } else {
        None
    }
}

fn counted(addresses: usize) -> String {
    format!(
        "{addresses} address{}",
        if addresses == 1 { "" } else { "es" }
    )
}
