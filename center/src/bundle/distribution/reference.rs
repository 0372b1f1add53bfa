//! What people call a place in a registry: `registry.example:5000/keros/base:1.0`.

use std::str::FromStr;

use keros_protocol::magic_link::{Digest, Source};

/// A repository, and perhaps one version in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reference {
    /// Host and port.
    pub(crate) registry: String,
    /// The repository.
    pub(crate) name: String,
    /// Which one.
    pub(crate) version: Option<Version>,
}

/// One of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Version {
    /// By a name that may be moved.
    Tag(String),
    /// By its hash.
    Digest(Digest),
}

/// OCI distribution specification 1.1, "Pulling manifests": `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
fn is_tag(text: &str) -> bool {
    (1..=128).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        && !text.starts_with(['.', '-'])
}

impl Reference {
    /// The repository as a gateway is told of it.
    pub(crate) fn source(&self, plain_http: bool) -> String {
        source(&self.registry, &self.name, plain_http)
    }
}

fn source(registry: &str, name: &str, plain_http: bool) -> String {
    format!("{}://{registry}/v2/{name}", if plain_http { "http" } else { "https" })
}

impl FromStr for Reference {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || {
            "expected REGISTRY/NAME, REGISTRY/NAME:TAG or REGISTRY/NAME@sha256:HASH, e.g. registry.example:5000/keros/base:1.0".to_owned()
        };
        let (registry, rest) = text.split_once('/').ok_or_else(error)?;
        let (name, version) = if let Some((name, digest)) = rest.split_once('@') {
            (name, Some(Version::Digest(digest.parse().map_err(|_| error())?)))
        } else if let Some((name, tag)) = rest.split_once(':') {
            (name, Some(Version::Tag(is_tag(tag).then(|| tag.to_owned()).ok_or_else(error)?)))
        } else {
            (rest, None)
        };
        source(registry, name, false).parse::<Source>().map_err(|_| error())?;
        Ok(Self { registry: registry.to_owned(), name: name.to_owned(), version })
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_in_a_registry_is_taken_apart() {
        let reference: Reference = "registry.example:5000/keros/base:1.0".parse().unwrap();
        assert_eq!(
            (reference.registry.as_str(), reference.name.as_str()),
            ("registry.example:5000", "keros/base")
        );
        assert_eq!(reference.version, Some(Version::Tag("1.0".to_owned())));
        assert_eq!(reference.source(false), "https://registry.example:5000/v2/keros/base");
        let digest = Digest::of(b"x");
        let reference: Reference = format!("[::1]:5000/a@{digest}").parse().unwrap();
        assert_eq!(reference.version, Some(Version::Digest(digest)));
        assert_eq!("host/a".parse::<Reference>().unwrap().version, None);
        for bad in [
            "",
            "a",
            "host/",
            "host/A",
            "host/a:",
            "host/a:-x",
            "host/a@sha256:12",
            "https://host/a",
            "u@host/a",
            "host/a:x:y",
        ] {
            assert!(bad.parse::<Reference>().unwrap_err().starts_with("expected REGISTRY/NAME"), "{bad}");
        }
    }
}
