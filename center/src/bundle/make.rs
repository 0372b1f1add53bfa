//! Makes a bundle of files. The same files and conditions give the same hash, always.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::{Path, PathBuf};

use keros_protocol::UnixSeconds;
use keros_protocol::magic_link::{
    BundleFile, Descriptor, Digest, GatewayPattern, KerosRange, LinkConfig, Manifest, Title,
};

use super::folder::{SourceFile, collect};
use super::quick::{PLAYBOOK, Quick};
use super::verified::describe;
use super::{Blobs, Bundle, BundleError};

/// For whom and until when a Magic Link is, beside its files.
#[derive(Debug, Clone)]
pub(crate) struct Contents {
    /// What it is called; the folder's name when nothing is said.
    pub(crate) name: Option<String>,
    /// What it does.
    pub(crate) description: String,
    /// The gateways.
    pub(crate) gateways: BTreeSet<GatewayPattern>,
    /// The KerOS versions.
    pub(crate) keros: Option<KerosRange>,
    /// The hardware.
    pub(crate) models: BTreeSet<String>,
    /// The end of its time.
    pub(crate) expires_at_unix_s: Option<UnixSeconds>,
    /// The file to run; `site.yml`, or the only `.yml` at the top, when nothing is said.
    pub(crate) playbook: Option<Title>,
}

/// Makes a bundle of all files of a folder.
///
/// # Errors
/// What cannot be in a bundle, or is too much; nothing is declared; there is no playbook.
pub(crate) fn make(folder: &Path, contents: Contents) -> Result<Bundle, BundleError> {
    if contents.gateways.is_empty() {
        return Err(BundleError::NoGateways);
    }
    let sources = collect(folder)?;
    let playbook = match contents.playbook.clone() {
        Some(title) => title,
        None => find_playbook(&sources, folder)?,
    };
    put_together(sources, config(contents, || name_of(folder), playbook))
}

/// Makes a bundle of packages and files. Its playbook is written into `scratch`, which must be kept as long as the bundle.
///
/// # Errors
/// As above.
pub(crate) fn make_quick(quick: &Quick, contents: Contents, scratch: &Path) -> Result<Bundle, BundleError> {
    if contents.gateways.is_empty() {
        return Err(BundleError::NoGateways);
    }
    let sources = quick.sources(scratch)?;
    let playbook = PLAYBOOK.parse().map_err(|error| BundleError::Name(PLAYBOOK.into(), error))?;
    put_together(sources, config(contents, || quick.name(), playbook))
}

fn config(contents: Contents, name: impl FnOnce() -> String, playbook: Title) -> LinkConfig {
    LinkConfig {
        name: contents.name.unwrap_or_else(name),
        description: contents.description,
        gateways: contents.gateways.into_iter().collect(),
        keros: contents.keros,
        models: contents.models.into_iter().collect(),
        expires_at_unix_s: contents.expires_at_unix_s,
        playbook,
    }
}

fn put_together(sources: Vec<SourceFile>, config: LinkConfig) -> Result<Bundle, BundleError> {
    let mut paths = BTreeMap::new();
    let mut files = Vec::new();
    for SourceFile { title, path, executable } in sources {
        let blob = describe_file(&path)?;
        paths.entry(blob.digest).or_insert(path);
        files.push(BundleFile { title, blob, executable });
    }
    // A struct of texts and numbers can always be written.
    let config = serde_json::to_vec(&config).unwrap_or_default();
    let blob = Descriptor { digest: Digest::of(&config), size: config.len() as u64 };
    let manifest = Manifest { config: blob, files }.to_bytes();
    Bundle::new(manifest, config, Blobs::Files(paths))
}

fn describe_file(path: &PathBuf) -> Result<Descriptor, BundleError> {
    File::open(path)
        .and_then(|mut file| describe(&mut file))
        .map_err(|error| BundleError::Read(path.clone(), error))
}

fn find_playbook(files: &[SourceFile], folder: &Path) -> Result<Title, BundleError> {
    let is_top = |title: &str| {
        !title.contains('/')
            && !title.starts_with('.')
            && (title.ends_with(".yml") || title.ends_with(".yaml"))
    };
    let candidates: Vec<&Title> =
        files.iter().map(|file| &file.title).filter(|title| is_top(title.as_str())).collect();
    let site = candidates.iter().find(|title| title.as_str() == "site.yml");
    match (site, candidates.as_slice()) {
        (Some(title), _) => Ok((*title).clone()),
        (None, [title]) => Ok((*title).clone()),
        (None, several) => Err(BundleError::NoPlaybook { folder: folder.to_owned(), found: several.len() }),
    }
}

/// The name of `.` is that of the folder that it means.
fn name_of(folder: &Path) -> String {
    let folder = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    folder.file_name().map_or_else(|| "bundle".to_owned(), |name| name.to_string_lossy().into_owned())
}
