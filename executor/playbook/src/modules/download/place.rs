//! Where a file is fetched from, and where a server sends on to.

use std::fmt;

use ureq::http::Uri;

/// A URL of `http` or `https`. Shown without what may be secret in it: user, password and query.
#[derive(Debug, Clone)]
pub(super) struct Place(Uri);

impl Place {
    /// Reads a URL.
    ///
    /// # Errors
    /// When it is none that can be fetched.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        // What stands after # is for the one who asks.
        let text = text.split('#').next().unwrap_or_default();
        let uri: Uri = text.parse().map_err(|error| format!("field (url) is not a URL: {error}"))?;
        let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
        match uri.host() {
            Some(host) if is_web && !host.is_empty() => Ok(Self(uri)),
            _ => Err("field (url) must begin with http:// or https:// and a host".to_owned()),
        }
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.0
    }

    pub(super) fn is_secure(&self) -> bool {
        self.0.scheme_str() == Some("https")
    }

    /// Where a server's `Location` leads from here.
    ///
    /// # Errors
    /// When it is none that may be followed.
    pub(super) fn join(&self, location: &str) -> Result<Self, String> {
        let scheme = self.0.scheme_str().unwrap_or_default();
        let authority = self.0.authority().map_or("", |authority| authority.as_str());
        let next = if location.starts_with("//") {
            format!("{scheme}:{location}")
        } else if location.starts_with('/') {
            format!("{scheme}://{authority}{location}")
        } else if location.contains("://") {
            location.to_owned()
        } else {
            let folder = self.0.path().rsplit_once('/').map_or("", |(folder, _)| folder);
            format!("{scheme}://{authority}{folder}/{location}")
        };
        let next =
            Self::parse(&next).map_err(|_| "the server sends on to something that is no URL".to_owned())?;
        if self.is_secure() && !next.is_secure() {
            return Err(format!("the server sends on from https to {next}: that is not followed"));
        }
        Ok(next)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = self.0.scheme_str().unwrap_or_default();
        write!(f, "{scheme}://{}", self.0.host().unwrap_or_default())?;
        if let Some(port) = self.0.port() {
            write!(f, ":{port}")?;
        }
        write!(f, "{}", self.0.path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_followed_as_a_browser_would_but_never_from_https_to_http() {
        let base = Place::parse("https://u:p@a.example:8443/x/y?q=1#z").unwrap();
        for (location, expected) in [
            ("https://b.example/f?secret", "https://b.example/f"),
            ("//b.example/f", "https://b.example/f"),
            ("/f", "https://a.example:8443/f"),
            ("f", "https://a.example:8443/x/f"),
        ] {
            assert_eq!(base.join(location).unwrap().to_string(), expected);
        }
        assert_eq!(base.to_string(), "https://a.example:8443/x/y");
        for location in ["http://a.example/f", "ftp://a.example/f", "file:///etc/passwd", "a b", "https://"] {
            assert!(base.join(location).is_err(), "{location}");
        }
        assert!(Place::parse("http://a/").unwrap().join("http://b/").is_ok());
    }
}
