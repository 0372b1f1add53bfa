//! What holds of a Magic Link's parts, whatever text they are read from. Fuzzing with and without coverage asks the same.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    dead_code,
    reason = "a test ends by panicking, and uses what it needs"
)]

use std::path::{Component, Path};

use keros_protocol::limits::{MAX_BUNDLE_BYTES, MAX_BUNDLE_FILES, MAX_MANIFEST_BYTES};
use keros_protocol::magic_link::{Digest, GatewayPattern, KerosRange, LinkConfig, Manifest, Source, Title};
use keros_protocol::{Eui, KerosVersion};

/// A manifest that was read is within the limits, stays in its folder, and is written and read again as the same.
pub(crate) fn manifest(bytes: &[u8]) {
    let Ok(manifest) = Manifest::parse(bytes) else { return };
    assert!(manifest.files.len() <= MAX_BUNDLE_FILES && manifest.total_bytes() <= MAX_BUNDLE_BYTES);
    manifest.files.iter().for_each(|file| stays(&file.title));
    let written = manifest.to_bytes();
    assert!(written.len() <= MAX_MANIFEST_BYTES);
    assert_eq!(Manifest::parse(&written).unwrap(), manifest);
}

/// A config that was read declares somebody, and is written and read again as the same.
pub(crate) fn config(bytes: &[u8]) {
    let Ok(config) = LinkConfig::parse(bytes) else { return };
    assert!(!config.gateways.is_empty());
    stays(&config.playbook);
    let written = serde_json::to_vec(&config).unwrap();
    assert_eq!(LinkConfig::parse(&written).unwrap(), config);
}

/// Each kind of text has one spelling, which says what it means.
pub(crate) fn text(text: &str) {
    if let Ok(title) = text.parse::<Title>() {
        assert_eq!(title.as_str(), text);
        stays(&title);
    }
    if let Ok(digest) = text.parse::<Digest>() {
        assert_eq!(digest.to_string(), text);
    }
    text.parse().into_iter().for_each(|range| is_range(text, &range));
    text.parse().into_iter().for_each(|source| is_repository(text, &source));
    text.parse().into_iter().for_each(|pattern| declares_what_it_says(text, &pattern));
}

/// The file lies below the folder that it is put into, by each of its parts.
fn stays(title: &Title) {
    let bundle = Path::new("/bundle");
    let path = bundle.join(title.as_str());
    let below: Vec<Component<'_>> = path.strip_prefix(bundle).unwrap().components().collect();
    assert!(below.iter().all(|part| matches!(part, Component::Normal(_))), "{title}");
    assert_eq!(below.len(), title.folders().count() + 1, "{title}");
}

fn is_range(text: &str, range: &KerosRange) {
    assert_eq!(range.to_string(), text);
    // Alternatives can only add versions, further terms only take them away.
    for version in ["4.1.6_20190829151113", "5.10.1-0-gc7e2b007", "6.3.1", "0"] {
        let version: KerosVersion = version.parse().unwrap();
        let inside = range.contains(&version);
        if let Ok(more) = format!("{text}||{}", version.major()).parse::<KerosRange>() {
            assert!(more.contains(&version), "{text}");
        }
        if let Ok(fewer) = format!("{text},<{}", version.major()).parse::<KerosRange>() {
            assert!(inside || !fewer.contains(&version), "{text}");
        }
    }
}

fn is_repository(text: &str, source: &Source) {
    assert_eq!(source.to_string(), text);
    assert!(!source.authority().contains(['@', '/', '\\', '?', '#', '%', ' ']), "{text}");
    assert!(source.name().split('/').all(|part| !matches!(part, "" | "." | "..")), "{text}");
    let digest = Digest::of(b"");
    for url in [source.manifest_url(digest), source.blob_url(digest)] {
        assert!(url.starts_with(&format!("{text}/")) && url.ends_with(&digest.to_string()), "{url}");
    }
}

fn declares_what_it_says(text: &str, pattern: &GatewayPattern) {
    assert_eq!(pattern.to_string(), text);
    let stated = text.trim_end_matches('*');
    let eui = |text: String| text.parse::<Eui>().unwrap();
    for filler in ["0", "F"] {
        assert!(pattern.declares(eui(format!("{stated}{}", filler.repeat(16 - stated.len())))), "{text}");
    }
    let other = if stated.starts_with('0') { "1" } else { "0" };
    assert!(
        !pattern.declares(eui(format!("{other}{}{}", &stated[1..], "0".repeat(16 - stated.len())))),
        "{text}"
    );
}

/// A line that was read is written and read again as the same; what a center or gateway says is checked without a panic, and what passes
/// is of use: PEM texts have nothing but certificates in them.
pub(crate) fn enrolment(bytes: &[u8]) {
    use keros_protocol::certificate::{Certificate, CertificateRequest};
    use keros_protocol::enroll::{EnrolLine, Issued, Login, Renewed};
    let text = String::from_utf8_lossy(bytes);
    if let Ok(line) = text.parse::<EnrolLine>() {
        assert_eq!(line.to_string().parse(), Ok(line));
    }
    let _ = Certificate::parse(bytes);
    let _ = CertificateRequest::verified(bytes);
    let only_certificates =
        |pem: &str| assert!(!pem.contains("KEY-----") && pem.contains("BEGIN CERTIFICATE"));
    if let Ok(issued) = serde_json::from_slice::<Issued>(bytes)
        && issued.check(issued.eui).is_ok()
    {
        issued.authorities.iter().for_each(|pem| only_certificates(pem));
        if let Login::Password { password } = &issued.login {
            assert!(password.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }
    if let Ok(renewed) = serde_json::from_slice::<Renewed>(bytes)
        && renewed.check().is_ok()
    {
        only_certificates(&renewed.certificate);
    }
}
