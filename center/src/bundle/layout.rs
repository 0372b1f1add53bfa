//! OCI image layouts (OCI image specification 1.1, "Image Layout"), as a folder or as a plain tar of one.

use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use keros_protocol::magic_link::{ARTIFACT_TYPE, Digest, MANIFEST_MEDIA_TYPE};
use serde::Deserialize;
use serde_json::json;

use super::link::blob_path;
use super::{Blobs, Bundle, BundleError, tarball};

const INDEX_MEDIA_TYPE: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const LAYOUT_FILE: &str = "oci-layout";
pub(super) const INDEX_FILE: &str = "index.json";
const LAYOUT_TEXT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;

/// The index of a layout: some 2,000 links of 300 bytes each.
pub(super) const MAX_INDEX_BYTES: u64 = 1024 * 1024;

/// An image layout: which manifests it names, and where its blobs are.
#[derive(Debug)]
pub(crate) struct Image {
    path: PathBuf,
    manifests: Vec<Digest>,
    blobs: Blobs,
}

impl Image {
    /// Reads the index of a folder or a tar. Nothing is unpacked.
    ///
    /// # Errors
    /// When it is no image layout, or has no manifest.
    pub(crate) fn open(path: &Path) -> Result<Self, BundleError> {
        let metadata = std::fs::metadata(path).map_err(|error| BundleError::Read(path.to_owned(), error))?;
        let (marker, index, blobs) = if metadata.is_dir() {
            let blobs = Blobs::Folder(path.to_owned());
            (small(path, LAYOUT_FILE)?, small(path, INDEX_FILE)?, blobs)
        } else {
            tarball::read(path)?
        };
        let manifests = manifests(&marker, &index)
            .map_err(|what| BundleError::NoLayout { path: path.to_owned(), what })?;
        Ok(Self { path: path.to_owned(), manifests, blobs })
    }

    /// Opens the link with this hash, or hash that begins so; without one, the only link that there is.
    ///
    /// # Errors
    /// When it is not there, several are, or it is no Magic Link.
    pub(crate) fn bundle(&self, hash: Option<&str>) -> Result<Bundle, BundleError> {
        let fits = |manifest: &&Digest| hash.is_none_or(|hash| manifest.hex().starts_with(hash));
        let fitting: Vec<&Digest> = self.manifests.iter().filter(fits).collect();
        match (fitting.as_slice(), hash) {
            ([manifest], _) => Bundle::open(**manifest, self.blobs.clone()),
            ([], Some(hash)) => Err(BundleError::NotInIt {
                path: self.path.clone(),
                digest: hash.to_owned(),
                known: self.known(),
            }),
            _ => Err(BundleError::Several { path: self.path.clone(), known: self.known() }),
        }
    }

    fn known(&self) -> String {
        let names: Vec<String> = self.manifests.iter().map(ToString::to_string).collect();
        names.join(", ")
    }
}

fn small(folder: &Path, name: &'static str) -> Result<Vec<u8>, BundleError> {
    let path = folder.join(name);
    let missing = |error: io::Error| BundleError::NoLayout {
        path: folder.to_owned(),
        what: format!("{name} cannot be read: {error}"),
    };
    let mut bytes = Vec::new();
    if !std::fs::metadata(&path).map_err(missing)?.is_file() {
        return Err(missing(io::Error::other("it is no file")));
    }
    File::open(&path)
        .and_then(|file| file.take(MAX_INDEX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(missing)?;
    Ok(bytes)
}

/// The manifests that the index names, each once.
fn manifests(marker: &[u8], index: &[u8]) -> Result<Vec<Digest>, String> {
    #[derive(Deserialize)]
    struct Marker {
        #[serde(rename = "imageLayoutVersion")]
        version: String,
    }
    #[derive(Deserialize)]
    struct Index {
        manifests: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        #[serde(rename = "mediaType")]
        media_type: String,
        digest: Digest,
    }
    let marker: Marker = serde_json::from_slice(marker).map_err(|error| format!("{LAYOUT_FILE}: {error}"))?;
    if marker.version != "1.0.0" {
        return Err(format!("its version is {:?}, not 1.0.0", marker.version));
    }
    if index.len() as u64 > MAX_INDEX_BYTES {
        return Err(format!("{INDEX_FILE} has more than {MAX_INDEX_BYTES} bytes"));
    }
    let index: Index = serde_json::from_slice(index).map_err(|error| format!("{INDEX_FILE}: {error}"))?;
    let mut found: Vec<Digest> = Vec::new();
    for entry in index.manifests {
        if entry.media_type == MANIFEST_MEDIA_TYPE && !found.contains(&entry.digest) {
            found.push(entry.digest);
        }
    }
    if found.is_empty() {
        return Err(format!("{INDEX_FILE} names no manifest"));
    }
    Ok(found)
}

/// Writes a layout with this one link: a plain tar when the name ends so, else a folder. It is written beside and renamed. Nothing is
/// overwritten. The same link gives the same bytes.
///
/// # Errors
/// When it is there already, or cannot be written; when a blob is damaged.
pub(crate) fn write(bundle: &Bundle, path: &Path) -> Result<(), BundleError> {
    let writing = |error| BundleError::Write(path.to_owned(), error);
    let is_empty_folder = || std::fs::read_dir(path).is_ok_and(|mut entries| entries.next().is_none());
    if path.symlink_metadata().is_ok() && !is_empty_folder() {
        return Err(BundleError::Exists(path.to_owned()));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.extension().is_some_and(|extension| extension == "tar") {
        let mut file = beside(0o666).tempfile_in(parent).map_err(writing)?;
        tarball::write(bundle, file.as_file_mut(), &writing)?;
        file.as_file().sync_all().map_err(writing)?;
        file.persist_noclobber(path).map_err(|error| writing(error.error))?;
    } else {
        let folder = beside(0o777).tempdir_in(parent).map_err(writing)?;
        write_folder(bundle, folder.path(), &writing)?;
        std::fs::rename(folder.path(), path).map_err(writing)?;
        // Its name is gone: there is nothing left to remove.
        let _ = folder.keep();
    }
    File::open(parent).and_then(|folder| folder.sync_all()).map_err(writing)
}

/// With the permissions that a new file or folder would have.
fn beside(mode: u32) -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".new-").permissions(Permissions::from_mode(mode));
    builder
}

fn write_folder(
    bundle: &Bundle,
    folder: &Path,
    writing: &dyn Fn(io::Error) -> BundleError,
) -> Result<(), BundleError> {
    std::fs::create_dir_all(folder.join("blobs/sha256")).map_err(writing)?;
    let put = |path: PathBuf, content: &mut dyn Read| {
        let mut file = File::create_new(path)?;
        io::copy(content, &mut file)?;
        file.flush()?;
        file.sync_all()
    };
    for (name, content) in head(bundle) {
        put(folder.join(name), &mut content.as_slice()).map_err(writing)?;
    }
    for blob in bundle.link.manifest.blobs() {
        let mut content = bundle.blob(blob)?;
        put(blob_path(folder, blob.digest), &mut content)
            .map_err(|error| bundle.failed(blob.digest, error, writing))?;
    }
    Ok(())
}

/// The small files of a layout with this one link.
pub(super) fn head(bundle: &Bundle) -> [(String, Vec<u8>); 3] {
    [
        (LAYOUT_FILE.to_owned(), LAYOUT_TEXT.as_bytes().to_vec()),
        (INDEX_FILE.to_owned(), index_of(bundle)),
        (format!("blobs/sha256/{}", bundle.digest.hex()), bundle.manifest.clone()),
    ]
}

fn index_of(bundle: &Bundle) -> Vec<u8> {
    let index = json!({
        "schemaVersion": 2,
        "mediaType": INDEX_MEDIA_TYPE,
        "manifests": [{
            "mediaType": MANIFEST_MEDIA_TYPE,
            "artifactType": ARTIFACT_TYPE,
            "digest": bundle.digest,
            "size": bundle.manifest.len(),
        }],
    });
    index.to_string().into_bytes()
}
