//! Where a Magic Link is fetched from: a repository of a registry.

use std::fmt;
use std::str::FromStr;

use super::Digest;

/// A repository that speaks the OCI distribution protocol: `https://host[:port]/v2/name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    text: String,
    authority_at: usize,
    path_at: usize,
}

/// The text names no repository.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a Magic Link's source is like https://host[:port]/v2/name (lower-case name, at most 512 bytes), found {0:?}"
)]
pub struct SourceError(String);

const MAX_BYTES: usize = 512;
const API: &str = "/v2/";

impl Source {
    /// Whether it is asked over TLS.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.text.starts_with("https:")
    }

    /// Host and port, as written.
    #[must_use]
    pub fn authority(&self) -> &str {
        &self.text[self.authority_at..self.path_at]
    }

    /// The repository's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.text[self.path_at + API.len()..]
    }

    /// Where a manifest is (OCI distribution specification 1.1, end-3).
    #[must_use]
    pub fn manifest_url(&self, digest: Digest) -> String {
        format!("{}/manifests/{digest}", self.text)
    }

    /// Where a blob is (OCI distribution specification 1.1, end-2).
    #[must_use]
    pub fn blob_url(&self, digest: Digest) -> String {
        format!("{}/blobs/{digest}", self.text)
    }
}

/// Host and port: letters, digits, `-`, `.`, `_`, or an IPv6 address in brackets; no user, no blanks.
fn is_authority(text: &str) -> bool {
    let is_port = |port: &str| port.len() <= 5 && port.parse::<u16>().is_ok_and(|port| port != 0);
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, port)) if address.parse::<std::net::Ipv6Addr>().is_ok() => ("v6", port),
            _ => return false,
        },
        None => text.split_at(text.find(':').unwrap_or(text.len())),
    };
    let is_host =
        !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    is_host && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// OCI distribution specification 1.1, "Pulling manifests": `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/…)*`.
fn is_name(text: &str) -> bool {
    text.split('/').all(|part| {
        let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let ends_well = part.starts_with(alphanumeric) && part.ends_with(alphanumeric);
        let is_separator = |run: &str| {
            run.is_empty() || matches!(run, "." | "_" | "__") || run.bytes().all(|byte| byte == b'-')
        };
        ends_well && part.split(alphanumeric).all(is_separator)
    })
}

impl FromStr for Source {
    type Err = SourceError;

    fn from_str(text: &str) -> Result<Self, SourceError> {
        let error = || SourceError(crate::limits::shorten(text, 128));
        let scheme =
            ["https://", "http://"].into_iter().find(|scheme| text.starts_with(scheme)).ok_or_else(error)?;
        let rest = &text[scheme.len()..];
        let (authority, path) = rest.split_at(rest.find('/').ok_or_else(error)?);
        let name = path.strip_prefix(API).ok_or_else(error)?;
        if text.len() > MAX_BYTES || !is_authority(authority) || !is_name(name) {
            return Err(error());
        }
        Ok(Self {
            text: text.to_owned(),
            authority_at: scheme.len(),
            path_at: scheme.len() + authority.len(),
        })
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_repository_is_taken_apart() {
        let source: Source = "https://center.example:8443/v2/links/base-1".parse().unwrap();
        assert_eq!((source.authority(), source.name()), ("center.example:8443", "links/base-1"));
        assert!(source.is_https());
        let digest = Digest::of(b"");
        assert_eq!(
            source.blob_url(digest),
            format!("https://center.example:8443/v2/links/base-1/blobs/{digest}")
        );
        for text in ["http://10.0.0.1/v2/a", "https://[::1]:8443/v2/a/b__c", "https://a_b/v2/a--b.c"] {
            assert!(text.parse::<Source>().is_ok(), "{text}");
        }
    }

    #[test]
    fn what_is_no_repository_is_refused() {
        let long = format!("https://host/v2/{}", "a".repeat(512));
        for text in [
            "",
            "ftp://host/v2/a",
            "https://host/v1/a",
            "https://host/v2/",
            "https://host",
            "https://user@host/v2/a",
            "https://host:0/v2/a",
            "https://host:123456/v2/a",
            "https:///v2/a",
            "https://host/v2/A",
            "https://host/v2/a/",
            "https://host/v2/../a",
            "https://host/v2/a?b",
            "https://host/v2/a#b",
            "https://host/v2/a b",
            "https://[::g]/v2/a",
            "https://ho st/v2/a",
            "https://host/v2/a._b",
            &long,
        ] {
            assert!(text.parse::<Source>().is_err(), "{text:?}");
        }
    }
}
