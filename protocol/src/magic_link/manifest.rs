//! The manifest: the bundle's files, each by digest and size. The hash of a Magic Link is the digest of these very bytes.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{
    ARTIFACT_TYPE, CONFIG_MEDIA_TYPE, Digest, EXECUTABLE_ANNOTATION, FILE_MEDIA_TYPE, MANIFEST_MEDIA_TYPE,
    TITLE_ANNOTATION, Title,
};
use crate::RefusalReason;
use crate::eligibility::Refusal;
use crate::limits::{
    MAX_BUNDLE_BYTES, MAX_BUNDLE_FILES, MAX_BUNDLE_FOLDERS, MAX_LINK_CONFIG_BYTES, MAX_MANIFEST_BYTES,
};

/// Names one blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Descriptor {
    /// Its digest.
    pub digest: Digest,
    /// Its length, bytes.
    pub size: u64,
}

/// One file of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleFile {
    /// Its path in the bundle.
    pub title: Title,
    /// Its content.
    pub blob: Descriptor,
    /// It is a program: mode 0755 instead of 0644.
    pub executable: bool,
}

/// A manifest that was read and checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// The config blob.
    pub config: Descriptor,
    /// The files, in the manifest's order. No two have the same title, and none is a folder of another.
    pub files: Vec<BundleFile>,
}

// What OCI writes. Fields that are of no use here (`urls`, `data`, `platform`, annotations of other names) are passed over.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    schema_version: u32,
    #[serde(default)]
    media_type: String,
    #[serde(default)]
    artifact_type: String,
    config: WrittenDescriptor,
    layers: Vec<WrittenDescriptor>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenDescriptor {
    media_type: String,
    #[serde(flatten)]
    blob: Descriptor,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    annotations: BTreeMap<String, String>,
}

fn refuse<T>(reason: RefusalReason, detail: impl AsRef<str>) -> Result<T, Refusal> {
    Err(Refusal::new(reason, detail))
}

impl Manifest {
    /// Reads and checks a manifest. Whether these bytes have the right digest must have been checked before.
    ///
    /// # Errors
    /// `too_large`, `unparsable` (no manifest, names that leave the bundle or meet each other), `unsupported` (something else
    /// than a Magic Link, or of a kind that this version does not know).
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_MANIFEST_BYTES {
            let detail = format!("the manifest has {} bytes, at most {MAX_MANIFEST_BYTES}", bytes.len());
            return refuse(RefusalReason::TooLarge, detail);
        }
        check_kind(bytes)?;
        let written: Written = serde_json::from_slice(bytes)
            .map_err(|error| Refusal::new(RefusalReason::Unparsable, format!("the manifest: {error}")))?;
        check_types(&written)?;
        if written.config.blob.size > MAX_LINK_CONFIG_BYTES as u64 {
            let size = written.config.blob.size;
            return refuse(
                RefusalReason::TooLarge,
                format!("the config has {size} bytes, at most {MAX_LINK_CONFIG_BYTES}"),
            );
        }
        check_amount(&written.layers)?;
        let files = written.layers.iter().map(file).collect::<Result<Vec<_>, _>>()?;
        check_titles(&files)?;
        Ok(Self { config: written.config.blob, files })
    }

    /// The manifest's bytes: the same for the same files, always.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let written = Written {
            schema_version: 2,
            media_type: MANIFEST_MEDIA_TYPE.to_owned(),
            artifact_type: ARTIFACT_TYPE.to_owned(),
            config: WrittenDescriptor {
                media_type: CONFIG_MEDIA_TYPE.to_owned(),
                blob: self.config,
                annotations: BTreeMap::new(),
            },
            layers: self.files.iter().map(layer).collect(),
        };
        // Maps of strings and numbers can always be written.
        serde_json::to_vec(&written).unwrap_or_default()
    }

    /// The sum of all files, bytes.
    #[must_use]
    pub fn total_bytes(&self) -> u64 {
        self.files.iter().map(|file| file.blob.size).sum()
    }

    /// Each blob once, the config first: files with the same content share one.
    #[must_use]
    pub fn blobs(&self) -> Vec<Descriptor> {
        let mut seen = BTreeSet::new();
        let all = std::iter::once(self.config).chain(self.files.iter().map(|file| file.blob));
        all.filter(|blob| seen.insert(blob.digest)).collect()
    }
}

fn layer(file: &BundleFile) -> WrittenDescriptor {
    let mut annotations = BTreeMap::from([(TITLE_ANNOTATION.to_owned(), file.title.to_string())]);
    if file.executable {
        annotations.insert(EXECUTABLE_ANNOTATION.to_owned(), "true".to_owned());
    }
    WrittenDescriptor { media_type: FILE_MEDIA_TYPE.to_owned(), blob: file.blob, annotations }
}

/// An index, or something else with a media type of its own, is named as what it is before its fields are missed.
fn check_kind(bytes: &[u8]) -> Result<(), Refusal> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kind {
        #[serde(default)]
        media_type: String,
        #[serde(default)]
        manifests: Option<serde::de::IgnoredAny>,
    }
    let Ok(kind) = serde_json::from_slice::<Kind>(bytes) else { return Ok(()) };
    if kind.manifests.is_some() {
        let detail = "the hash names an image index, not a manifest: use the digest of the manifest in it";
        return refuse(RefusalReason::Unsupported, detail);
    }
    if kind.media_type != MANIFEST_MEDIA_TYPE {
        let detail = format!(
            "the hash names something of media type {:?}, not {MANIFEST_MEDIA_TYPE}",
            crate::limits::shorten(&kind.media_type, 128)
        );
        return refuse(RefusalReason::Unsupported, detail);
    }
    Ok(())
}

fn check_types(written: &Written) -> Result<(), Refusal> {
    let is_other = |what: &str, found: &str, expected: &str| {
        let found = crate::limits::shorten(found, 128);
        refuse(RefusalReason::Unsupported, format!("the {what} is {found:?}, a Magic Link has {expected}"))
    };
    if written.schema_version != 2 {
        return is_other("schemaVersion", &written.schema_version.to_string(), "2");
    }
    if written.artifact_type != ARTIFACT_TYPE {
        return is_other("artifactType", &written.artifact_type, ARTIFACT_TYPE);
    }
    if written.config.media_type != CONFIG_MEDIA_TYPE {
        return is_other("config's mediaType", &written.config.media_type, CONFIG_MEDIA_TYPE);
    }
    Ok(())
}

fn check_amount(layers: &[WrittenDescriptor]) -> Result<(), Refusal> {
    if layers.len() > MAX_BUNDLE_FILES {
        let detail = format!("the bundle has {} files, at most {MAX_BUNDLE_FILES}", layers.len());
        return refuse(RefusalReason::TooLarge, detail);
    }
    let total = layers.iter().try_fold(0_u64, |sum, layer| sum.checked_add(layer.blob.size));
    match total {
        Some(total) if total <= MAX_BUNDLE_BYTES => Ok(()),
        _ => refuse(RefusalReason::TooLarge, format!("the bundle has more than {MAX_BUNDLE_BYTES} bytes")),
    }
}

fn file(layer: &WrittenDescriptor) -> Result<BundleFile, Refusal> {
    if layer.media_type != FILE_MEDIA_TYPE {
        let found = crate::limits::shorten(&layer.media_type, 128);
        let detail = format!("a layer has media type {found:?}, a Magic Link's files have {FILE_MEDIA_TYPE}");
        return refuse(RefusalReason::Unsupported, detail);
    }
    let Some(title) = layer.annotations.get(TITLE_ANNOTATION) else {
        let detail = format!("the layer {} has no annotation {TITLE_ANNOTATION}", layer.blob.digest);
        return refuse(RefusalReason::Unparsable, detail);
    };
    let title = title
        .parse()
        .map_err(|error: super::TitleError| Refusal::new(RefusalReason::Unparsable, error.to_string()))?;
    let executable = match layer.annotations.get(EXECUTABLE_ANNOTATION).map(String::as_str) {
        None | Some("false") => false,
        Some("true") => true,
        Some(_) => {
            let detail = format!("{title}: the annotation {EXECUTABLE_ANNOTATION} is \"true\" or \"false\"");
            return refuse(RefusalReason::Unparsable, detail);
        }
    };
    Ok(BundleFile { title, blob: layer.blob, executable })
}

fn check_titles(files: &[BundleFile]) -> Result<(), Refusal> {
    let mut titles = BTreeSet::new();
    for file in files {
        if !titles.insert(file.title.as_str()) {
            return refuse(RefusalReason::Unparsable, format!("two files have the title {}", file.title));
        }
    }
    let is_folder = |file: &&BundleFile| file.title.folders().any(|folder| titles.contains(folder));
    if let Some(file) = files.iter().find(is_folder) {
        let detail = format!("{} is in a folder that is a file of the bundle", file.title);
        return refuse(RefusalReason::Unparsable, detail);
    }
    let folders: BTreeSet<&str> = files.iter().flat_map(|file| file.title.folders()).collect();
    if folders.len() > MAX_BUNDLE_FOLDERS {
        let detail = format!("the bundle has {} folders, at most {MAX_BUNDLE_FOLDERS}", folders.len());
        return refuse(RefusalReason::TooLarge, detail);
    }
    let mut sizes = BTreeMap::new();
    for file in files {
        if *sizes.entry(file.blob.digest).or_insert(file.blob.size) != file.blob.size {
            let detail = format!("{} is listed with two sizes", file.blob.digest);
            return refuse(RefusalReason::Unparsable, detail);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn layer_json(title: &str) -> Value {
        json!({ "mediaType": FILE_MEDIA_TYPE, "digest": Digest::of(title.as_bytes()), "size": 7,
                "annotations": { TITLE_ANNOTATION: title } })
    }

    fn good() -> Value {
        json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_MEDIA_TYPE,
            "artifactType": ARTIFACT_TYPE,
            "config": { "mediaType": CONFIG_MEDIA_TYPE, "digest": Digest::of(b"c"), "size": 1 },
            "layers": [layer_json("site.yml"), layer_json("files/a")],
        })
    }

    fn parse(value: &Value) -> Result<Manifest, Refusal> {
        Manifest::parse(&serde_json::to_vec(value).unwrap())
    }

    #[test]
    fn a_manifest_is_read_and_written_the_same_way() {
        let manifest = parse(&good()).unwrap();
        assert_eq!(manifest.files[1].title.as_str(), "files/a");
        assert_eq!(manifest.total_bytes(), 14);
        assert_eq!(manifest.blobs().len(), 3);
        assert_eq!(Manifest::parse(&manifest.to_bytes()).unwrap(), manifest);
        assert_eq!(serde_json::from_slice::<Value>(&manifest.to_bytes()).unwrap(), good());
    }

    #[test]
    fn what_oci_allows_beside_is_passed_over() {
        let mut value = good();
        value["annotations"] = json!({ "org.opencontainers.image.created": "2026-11-25" });
        value["layers"][0]["urls"] = json!(["https://elsewhere.example/x"]);
        value["layers"][0]["annotations"][EXECUTABLE_ANNOTATION] = json!("true");
        assert!(parse(&value).unwrap().files[0].executable);
    }

    #[test]
    fn what_is_wrong_is_named() {
        type Change = fn(&mut Value);
        let cases: [(Change, RefusalReason, &str); 20] = [
            (
                |m| m["mediaType"] = json!("application/vnd.oci.image.index.v1+json"),
                RefusalReason::Unsupported,
                "index",
            ),
            (|m| m["manifests"] = json!([]), RefusalReason::Unsupported, "index"),
            (|m| m["mediaType"] = json!(null), RefusalReason::Unparsable, "manifest"),
            (|m| m["schemaVersion"] = json!(1), RefusalReason::Unsupported, "schemaVersion"),
            (|m| m["artifactType"] = json!("application/x"), RefusalReason::Unsupported, "artifactType"),
            (|m| m["config"]["mediaType"] = json!("application/x"), RefusalReason::Unsupported, "config"),
            (|m| m["config"]["size"] = json!(2_000_000), RefusalReason::TooLarge, "config"),
            (|m| m["config"]["size"] = json!(-1), RefusalReason::Unparsable, ""),
            (
                |m| m["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+gzip"),
                RefusalReason::Unsupported,
                "gzip",
            ),
            (|m| m["layers"][0]["annotations"] = json!({}), RefusalReason::Unparsable, TITLE_ANNOTATION),
            (|m| m["layers"][0] = layer_json("../x"), RefusalReason::Unparsable, ".."),
            (|m| m["layers"][0] = layer_json("/x"), RefusalReason::Unparsable, "absolute"),
            (|m| m["layers"][0] = layer_json("files/a"), RefusalReason::Unparsable, "two files"),
            (|m| m["layers"][0] = layer_json("files"), RefusalReason::Unparsable, "folder"),
            (
                |m| m["layers"][0]["annotations"][EXECUTABLE_ANNOTATION] = json!("yes"),
                RefusalReason::Unparsable,
                "executable",
            ),
            (|m| m["layers"][0]["size"] = json!(MAX_BUNDLE_BYTES), RefusalReason::TooLarge, "bytes"),
            (|m| m["layers"][0]["digest"] = json!("sha512:00"), RefusalReason::Unparsable, "sha256"),
            (
                |m| {
                    m["layers"] = Value::from(
                        (0..=MAX_BUNDLE_FILES).map(|n| layer_json(&n.to_string())).collect::<Vec<_>>(),
                    )
                },
                RefusalReason::TooLarge,
                "files",
            ),
            (
                |m| {
                    let deep = |n| layer_json(&format!("{n}/a/b/c/d/e/f/g/h/i/j/k"));
                    m["layers"] = (0..100).map(deep).collect();
                },
                RefusalReason::TooLarge,
                "folders",
            ),
            (
                |m| m["annotations"] = json!({ "x": "y".repeat(MAX_MANIFEST_BYTES) }),
                RefusalReason::TooLarge,
                "manifest",
            ),
        ];
        for (change, reason, word) in cases {
            let mut value = good();
            change(&mut value);
            let refusal = parse(&value).unwrap_err();
            assert_eq!(refusal.reason, reason, "{}", refusal.detail);
            assert!(refusal.detail.contains(word), "{}", refusal.detail);
        }
    }

    #[test]
    fn the_same_blob_has_one_size() {
        let mut value = good();
        value["layers"][1]["digest"] = value["layers"][0]["digest"].clone();
        assert_eq!(parse(&value).unwrap().blobs().len(), 2);
        value["layers"][1]["size"] = json!(8);
        assert!(parse(&value).unwrap_err().detail.contains("two sizes"));
    }
}
