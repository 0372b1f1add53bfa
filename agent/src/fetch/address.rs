//! Where a request goes, and where it may be sent on to.

use std::fmt;

use ureq::http::Uri;

/// A URL of `http` or `https` without a user. Shown without its query, which may be secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address(Uri);

/// Who answers: two addresses of the same origin are asked the same way, with the same secrets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Origin {
    is_https: bool,
    host: String,
    port: u16,
}

/// Where an attempt may go.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) source: Origin,
    /// Host names, with their port where it is not the scheme's own.
    pub(super) hosts: Vec<String>,
    pub(super) allow_http: bool,
}

impl Address {
    /// Reads a URL; `None` when nobody could be asked for it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        // What stands after # is for the one who asks.
        let uri: Uri = text.split('#').next()?.parse().ok()?;
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        let authority = uri.authority()?;
        let is_plain = !authority.as_str().contains('@') && !authority.host().is_empty();
        (is_web && is_plain).then_some(Self(uri))
    }

    /// Where a server's `Location` leads from here.
    pub(super) fn join(&self, location: &str) -> Option<Self> {
        let scheme = self.0.scheme_str()?;
        let authority = self.0.authority()?;
        if location.starts_with("//") {
            Self::parse(&format!("{scheme}:{location}"))
        } else if location.starts_with('/') {
            Self::parse(&format!("{scheme}://{authority}{location}"))
        } else if location.contains("://") {
            Self::parse(location)
        } else {
            let (folder, _) = self.0.path().rsplit_once('/')?;
            Self::parse(&format!("{scheme}://{authority}{folder}/{location}"))
        }
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.0
    }

    pub(super) fn is_https(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    pub(super) fn origin(&self) -> Origin {
        let is_https = self.is_https();
        Origin {
            is_https,
            host: self.0.host().unwrap_or_default().to_ascii_lowercase(),
            port: self.0.port_u16().unwrap_or(if is_https { 443 } else { 80 }),
        }
    }
}

impl Origin {
    /// Whether this text of the settings names it: the port may be left out where it is the scheme's own.
    pub(super) fn is_named(&self, text: &str) -> bool {
        let is_own_port = self.port == if self.is_https { 443 } else { 80 };
        let text = text.to_ascii_lowercase();
        text == format!("{}:{}", self.host, self.port) || (is_own_port && text == self.host)
    }
}

impl Rules {
    /// Whether one may go on from one address to the next.
    ///
    /// # Errors
    /// Why not, in words.
    pub(super) fn check(&self, from: &Address, to: &Address) -> Result<(), String> {
        let origin = to.origin();
        if !origin.is_https && (!self.allow_http || from.is_https()) {
            return Err(format!("{from} leads to {to}, which is not encrypted"));
        }
        if origin != self.source && !self.hosts.iter().any(|host| origin.is_named(host)) {
            return Err(format!("{from} leads to {to}, which is not among magic_links.redirect_hosts"));
        }
        Ok(())
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.0.authority().map_or("", |authority| authority.as_str());
        write!(f, "{}://{authority}{}", self.0.scheme_str().unwrap_or_default(), self.0.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> Address {
        Address::parse(text).unwrap()
    }

    #[test]
    fn a_location_is_followed_as_a_browser_would() {
        let base = address("https://a.example:8443/x/y?q=1#z");
        for (location, expected) in [
            ("https://b.example/f?secret", "https://b.example/f"),
            ("//b.example/f", "https://b.example/f"),
            ("/f", "https://a.example:8443/f"),
            ("f", "https://a.example:8443/x/f"),
        ] {
            assert_eq!(base.join(location).unwrap().to_string(), expected);
        }
        assert_eq!(base.to_string(), "https://a.example:8443/x/y");
        for location in ["ftp://a/f", "file:///etc/passwd", "a b", "https://", "https://u:p@a.example/f"] {
            assert_eq!(base.join(location), None, "{location}");
        }
    }

    #[test]
    fn one_may_go_on_to_the_source_and_to_hosts_that_were_named() {
        let source = address("https://a.example/v2/x");
        let hosts = ["b.example", "C.example:8443"].map(str::to_owned).to_vec();
        let rules = Rules { source: source.origin(), hosts, allow_http: true };
        for to in ["https://A.example:443/y", "https://b.example/y", "https://c.example:8443/y"] {
            assert_eq!(rules.check(&source, &address(to)), Ok(()), "{to}");
        }
        for to in [
            "https://a.example:444/y",
            "https://b.example:8443/y",
            "https://c.example/y",
            "https://a.example.evil/y",
            "http://a.example/y",
            "http://b.example/y",
        ] {
            assert!(rules.check(&source, &address(to)).is_err(), "{to}");
        }
        let plain = address("http://a.example/v2/x");
        let rules = Rules { source: plain.origin(), hosts: Vec::new(), allow_http: false };
        assert!(rules.check(&plain, &plain).is_err(), "http only where it is allowed");
    }
}
