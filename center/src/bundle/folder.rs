//! The files of a folder, as a bundle takes them.

use std::fs::{DirEntry, FileType, read_dir};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use keros_protocol::limits::{MAX_BUNDLE_BYTES, MAX_BUNDLE_FILES};
use keros_protocol::magic_link::Title;

use super::BundleError;

/// A file that is to be in a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceFile {
    /// Its path in the bundle.
    pub(crate) title: Title,
    /// Where it is.
    pub(crate) path: PathBuf,
    /// Its owner may run it.
    pub(crate) executable: bool,
}

/// What a version control system keeps for itself.
const LEFT_OUT: [&str; 4] = [".git", ".hg", ".svn", ".jj"];

/// Collects all files below a folder, sorted by title. Folders of version control are left out; empty folders cannot be in a bundle.
///
/// # Errors
/// What is no file, has a name that no bundle's file can have, or is too much.
pub(crate) fn collect(folder: &Path) -> Result<Vec<SourceFile>, BundleError> {
    let mut found = Found { root: folder, files: Vec::new(), bytes: 0, largest: None };
    found.walk(folder, "")?;
    if found.files.is_empty() {
        return Err(BundleError::Empty(folder.to_owned()));
    }
    if found.bytes > MAX_BUNDLE_BYTES {
        let (largest_bytes, largest) = found.largest.unwrap_or_default();
        let folder = folder.to_owned();
        return Err(BundleError::TooManyBytes { folder, bytes: found.bytes, largest, largest_bytes });
    }
    found.files.sort_by(|a, b| a.title.cmp(&b.title));
    Ok(found.files)
}

struct Found<'a> {
    root: &'a Path,
    files: Vec<SourceFile>,
    bytes: u64,
    largest: Option<(u64, PathBuf)>,
}

impl Found<'_> {
    /// As deep as a title may be: a deeper file is refused by its title.
    fn walk(&mut self, folder: &Path, prefix: &str) -> Result<(), BundleError> {
        let reading = |error| BundleError::Read(folder.to_owned(), error);
        for entry in read_dir(folder).map_err(reading)? {
            let entry = entry.map_err(reading)?;
            let path = entry.path();
            let name = entry.file_name();
            let name = name.to_str().ok_or_else(|| BundleError::NameNoText(path.clone()))?;
            let kind = entry.file_type().map_err(|error| BundleError::Read(path.clone(), error))?;
            if kind.is_dir() && LEFT_OUT.contains(&name) {
                continue;
            }
            let title: Title =
                format!("{prefix}{name}").parse().map_err(|error| BundleError::Name(path.clone(), error))?;
            if kind.is_dir() {
                self.walk(&path, &format!("{title}/"))?;
            } else {
                self.add(&entry, kind, title)?;
            }
        }
        Ok(())
    }

    fn add(&mut self, entry: &DirEntry, kind: FileType, title: Title) -> Result<(), BundleError> {
        let path = entry.path();
        if let Some((what, advice)) = no_file(kind) {
            return Err(BundleError::NoFile { path, what, advice });
        }
        let metadata = entry.metadata().map_err(|error| BundleError::Read(path.clone(), error))?;
        self.bytes = self.bytes.saturating_add(metadata.len());
        if self.largest.as_ref().is_none_or(|(bytes, _)| *bytes < metadata.len()) {
            self.largest = Some((metadata.len(), path.clone()));
        }
        self.files.push(SourceFile { title, path, executable: metadata.mode() & 0o100 != 0 });
        if self.files.len() > MAX_BUNDLE_FILES {
            return Err(BundleError::TooManyFiles(self.root.to_owned()));
        }
        Ok(())
    }
}

/// What it is instead of a file, and what to do.
fn no_file(kind: FileType) -> Option<(&'static str, &'static str)> {
    if kind.is_file() {
        return None;
    }
    Some(match () {
        () if kind.is_symlink() => {
            ("symbolic link", "; put a copy there, and let the playbook make the link with the module `file`")
        }
        () if kind.is_socket() => ("socket", ""),
        () if kind.is_fifo() => ("pipe", ""),
        () => ("device", ""),
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    fn titles(folder: &Path) -> Vec<String> {
        collect(folder).unwrap().iter().map(|file| file.title.to_string()).collect()
    }

    fn put(folder: &Path, title: &str, content: &str) {
        let path = folder.join(title);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }

    #[test]
    fn all_files_come_by_title_without_version_control() {
        let folder = tempfile::tempdir().unwrap();
        for title in ["site.yml", "files/b", "files/a/x", "files-x", ".hidden", ".git/config", "roles/.svn/x"]
        {
            put(folder.path(), title, title);
        }
        put(folder.path(), "files/.gitignore", "");
        std::fs::create_dir(folder.path().join("empty")).unwrap();
        let program = folder.path().join("files/b");
        std::fs::set_permissions(program, std::fs::Permissions::from_mode(0o755)).unwrap();
        let expected = [".hidden", "files-x", "files/.gitignore", "files/a/x", "files/b", "site.yml"];
        assert_eq!(titles(folder.path()), expected);
        let executable: Vec<bool> =
            collect(folder.path()).unwrap().iter().map(|file| file.executable).collect();
        assert_eq!(executable, [false, false, false, false, true, false]);
    }

    #[test]
    fn what_no_bundle_can_hold_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let error = |folder: &Path| {
            let error = collect(folder).unwrap_err();
            format!(
                "{error}{}",
                std::error::Error::source(&error).map_or(String::new(), |e| format!(": {e}"))
            )
        };
        assert!(error(folder.path()).ends_with("holds no file"), "{}", error(folder.path()));
        let path = folder.path().join("x");
        symlink("/etc/passwd", &path).unwrap();
        assert!(error(folder.path()).contains("x is a symbolic link: a bundle holds files only; put a copy"));
        std::fs::remove_file(&path).unwrap();
        let socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        assert!(error(folder.path()).contains("is a socket"));
        drop(socket);
        std::fs::remove_file(&path).unwrap();
        put(folder.path(), "a\\b", "");
        assert!(error(folder.path()).contains("backslash"));
        assert!(error(Path::new("/no/such/folder")).contains("cannot read /no/such/folder"));
    }

    #[test]
    fn what_is_too_much_is_refused_with_advice() {
        let folder = tempfile::tempdir().unwrap();
        let large = std::fs::File::create(folder.path().join("large")).unwrap();
        large.set_len(MAX_BUNDLE_BYTES).unwrap();
        assert_eq!(titles(folder.path()), ["large"]);
        put(folder.path(), "small", "x");
        let error = collect(folder.path()).unwrap_err().to_string();
        assert!(error.contains("the largest file is") && error.contains("/large with 536870912"), "{error}");
        std::fs::remove_file(folder.path().join("large")).unwrap();
        for number in 0..MAX_BUNDLE_FILES {
            put(folder.path(), &format!("many/{number}"), "");
        }
        assert!(collect(folder.path()).unwrap_err().to_string().contains("more than 1000 files"));
    }
}
