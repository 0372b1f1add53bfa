//! To which addresses messages may go. Whoever may make a webhook must not be able to reach what only the center's machine can: itself, its
//! network, the address from which clouds give out their keys. What a name means is looked at when it is connected to, and not before.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// The longest address.
const MAX_URL_BYTES: usize = 2048;

/// Where messages may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Reach {
    /// To public addresses, over TLS.
    #[default]
    Public,
    /// Anywhere, also without TLS: by a setting of whoever runs the center.
    Anywhere,
}

/// Says what is wrong with the address of a webhook. A name is not looked up.
pub(crate) fn check_url(url: &str, reach: Reach) -> Result<(), String> {
    if url.len() > MAX_URL_BYTES {
        return Err(format!("the address of a webhook has at most {MAX_URL_BYTES} bytes"));
    }
    let uri: Uri = url.parse().map_err(|error| format!("{url:?} is no address: {error}"))?;
    let scheme = uri.scheme_str().unwrap_or_default();
    match (scheme, reach) {
        ("https", _) | ("http", Reach::Anywhere) => {}
        _ => return Err("the address of a webhook begins with https://".to_owned()),
    }
    let authority = uri.authority().map(|authority| authority.as_str()).unwrap_or_default();
    if authority.contains('@') {
        return Err("the address of a webhook has no user name and no password in it".to_owned());
    }
    let host = uri.host().unwrap_or_default();
    if host.is_empty() {
        return Err("the address of a webhook names a host".to_owned());
    }
    let literal: Option<IpAddr> = host.trim_start_matches('[').trim_end_matches(']').parse().ok();
    if reach == Reach::Public && literal.is_some_and(|address| !is_public(address)) {
        return Err(private(host));
    }
    Ok(())
}

fn private(host: &str) -> String {
    format!(
        "{host} is no public address: messages go to such only when the center is started with --webhooks-anywhere"
    )
}

/// Looks names up, and lets only those addresses through to which messages may go: the very ones that are connected to.
#[derive(Debug)]
pub(super) struct Guarded {
    pub(super) reach: Reach,
    pub(super) inner: DefaultResolver,
}

impl Resolver for Guarded {
    fn resolve(
        &self,
        uri: &Uri,
        config: &ureq::config::Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = self.inner.resolve(uri, config, timeout)?;
        let mut allowed = self.empty();
        for address in found.iter().filter(|address| self.reach == Reach::Anywhere || is_public(address.ip()))
        {
            allowed.push(*address);
        }
        if allowed.is_empty() {
            let host = uri.host().unwrap_or_default();
            return Err(ureq::Error::Io(std::io::Error::other(private(host))));
        }
        Ok(allowed)
    }
}

/// Whether an address is of the public internet, by IANA's registries of special addresses.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = matches!(
        (a, b, c),
        (0 | 10 | 127, _, _)                // this network, private, loopback
            | (100, 64..=127, _)            // carriers
            | (169, 254, _)                 // link local, and the keys of clouds
            | (172, 16..=31, _)
            | (192, 0, 0 | 2)               // protocols, documents
            | (192, 88, 99)                 // 6to4 relays
            | (192, 168, _)
            | (198, 18..=19, _)             // measurements
            | (198, 51, 100)
            | (203, 0, 113)
            | (224..=255, _, _) // multicast, reserved, broadcast
    );
    !special
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    if let Some(inner) = address.to_ipv4_mapped() {
        return is_public_v4(inner);
    }
    let [first, second, ..] = address.segments();
    // Only global unicast; not protocols and Teredo, documents, 6to4 (an IPv4 address inside).
    let special =
        matches!((first, second), (0x2001, 0..=0x01ff | 0x0db8) | (0x2002, _) | (0x3fff, 0..=0x0fff));
    (0x2000..=0x3fff).contains(&first) && !special
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_public_internet_are_public() {
        for text in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.8.8.8",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.1",
            "192.0.2.1",
            "192.168.1.1",
            "192.88.99.1",
            "198.18.0.1",
            "198.51.100.7",
            "203.0.113.9",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "::127.0.0.1",
            "64:ff9b::7f00:1",
            "fc00::1",
            "fd12::1",
            "fe80::1",
            "ff02::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "3fff::1",
        ] {
            assert!(!is_public(text.parse().unwrap()), "{text}");
        }
        for text in [
            "1.1.1.1",
            "100.63.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "2606:4700::1111",
            "::ffff:1.1.1.1",
            "2001:4860::1",
        ] {
            assert!(is_public(text.parse().unwrap()), "{text}");
        }
    }

    #[test]
    fn an_address_that_should_not_be_is_refused_when_it_is_written() {
        for (url, public, anywhere) in [
            ("https://hooks.example/keros?x=1", true, true),
            ("https://1.1.1.1/", true, true),
            ("https://[2606:4700::1111]:8443/x", true, true),
            ("http://hooks.example/", false, true),
            ("https://127.0.0.1/", false, true),
            ("https://[::1]/", false, true),
            ("https://169.254.169.254/latest", false, true),
            ("ftp://hooks.example/", false, false),
            ("file:///etc/passwd", false, false),
            ("https://ada:secret@hooks.example/", false, false),
            ("https://hooks.example@127.0.0.1/", false, false),
            ("/path", false, false),
            ("", false, false),
            ("https://", false, false),
            ("https://a b/", false, false),
        ] {
            assert_eq!(check_url(url, Reach::Public).is_ok(), public, "{url}");
            assert_eq!(check_url(url, Reach::Anywhere).is_ok(), anywhere, "{url}");
        }
        let long = format!("https://hooks.example/{}", "x".repeat(MAX_URL_BYTES));
        check_url(&long, Reach::Anywhere).unwrap_err();
    }
}
