//! A host and its port.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A host name or address, and a TCP port, written `host:port`; an IPv6 address needs no brackets, since the port is behind the last colon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Unchecked")]
pub struct HostPort {
    host: String,
    port: u16,
}

/// Why it is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected host:port, like center.example:8443")]
pub struct HostPortError;

#[derive(Deserialize)]
struct Unchecked {
    host: String,
    port: u16,
}

impl HostPort {
    /// A checked pair.
    ///
    /// # Errors
    /// When the host can be none, or the port is 0.
    pub fn new(host: &str, port: u16) -> Result<Self, HostPortError> {
        let is_address = host.parse::<std::net::Ipv6Addr>().is_ok();
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
        let is_name = !host.is_empty()
            && host.len() <= 253
            && host.bytes().all(is_plain)
            && !host.starts_with(['-', '.'])
            && !host.ends_with('-');
        if (is_address || is_name) && port != 0 {
            Ok(Self { host: host.to_ascii_lowercase(), port })
        } else {
            Err(HostPortError)
        }
    }

    /// The host, in lower case; an IPv6 address without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// As it stands in a URL: an IPv6 address in brackets.
    #[must_use]
    pub fn authority(&self) -> String {
        if self.host.contains(':') { format!("[{}]:{}", self.host, self.port) } else { self.to_string() }
    }
}

impl TryFrom<Unchecked> for HostPort {
    type Error = HostPortError;

    fn try_from(pair: Unchecked) -> Result<Self, HostPortError> {
        Self::new(&pair.host, pair.port)
    }
}

impl FromStr for HostPort {
    type Err = HostPortError;

    fn from_str(text: &str) -> Result<Self, HostPortError> {
        let (host, port) = text.rsplit_once(':').ok_or(HostPortError)?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let is_number = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
        Self::new(host, port.parse().ok().filter(|_| is_number).ok_or(HostPortError)?)
    }
}

impl fmt::Display for HostPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_a_name_or_an_address_and_nothing_else() {
        for (text, shown) in [
            ("Center.Example:8443", "center.example:8443"),
            ("10.0.0.1:1", "10.0.0.1:1"),
            ("[::1]:65535", "::1:65535"),
            ("fe80::1:8443", "fe80::1:8443"),
        ] {
            let place: HostPort = text.parse().unwrap();
            assert_eq!(place.to_string(), shown);
            assert_eq!(place.to_string().parse::<HostPort>().unwrap(), place);
        }
        for text in
            ["", "a", ":1", "a:0", "a:+1", "a:65536", "a b:1", "a/b:1", "-a:1", "a:b:1", "é:1", "a\n:1"]
        {
            assert!(text.parse::<HostPort>().is_err(), "{text:?}");
        }
        assert_eq!("::1:8443".parse::<HostPort>().unwrap().authority(), "[::1]:8443");
        assert!(serde_json::from_str::<HostPort>(r#"{"host":"a/../b","port":1}"#).is_err());
    }
}
