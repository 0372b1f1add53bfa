//! Trusted public keys on disk: files `<purpose>-<anything>.pem` in one folder.

use std::path::{Path, PathBuf};

use keros_protocol::{KeyError, KeyPurpose, KeyRing, TrustedKey};

use crate::read_small;

/// Far more than one PEM block.
const MAX_BYTES: u64 = 4096;

/// Why the trusted keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyRingError {
    /// The folder cannot be listed.
    #[error("cannot list the folder of trusted keys {}", .0.display())]
    Folder(PathBuf, #[source] std::io::Error),
    /// A file is too long, or not text.
    #[error("the key file {} cannot be read, or is longer than {MAX_BYTES} bytes", .0.display())]
    File(PathBuf),
    /// A file has no key.
    #[error("the key file {} cannot be used", .0.display())]
    Key(PathBuf, #[source] KeyError),
}

/// Reads all keys of one purpose. An absent file is no error, so that keys can be removed. A file that cannot be used is no key, and the others
/// count all the same: a gateway must not be lost by one bad file.
///
/// # Errors
/// [`KeyRingError`] names a file that cannot be used where none can.
pub fn read_keyring(folder: &Path, purpose: KeyPurpose) -> Result<KeyRing, KeyRingError> {
    let error = |error| KeyRingError::Folder(folder.to_owned(), error);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(error)? {
        let path = entry.map_err(error)?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with(&format!("{}-", purpose.as_str())) && name.ends_with(".pem") {
            paths.push(path);
        }
    }
    paths.sort();
    let mut keys = Vec::new();
    let mut fault = None;
    for path in paths {
        let pem = read_small(&path, MAX_BYTES).ok_or_else(|| KeyRingError::File(path.clone()));
        let key =
            pem.and_then(|pem| TrustedKey::from_pem(&pem).map_err(|error| KeyRingError::Key(path, error)));
        match key {
            Ok(key) => keys.push(key),
            Err(error) => fault = fault.or(Some(error)),
        }
    }
    match fault {
        Some(error) if keys.is_empty() => Err(error),
        _ => Ok(KeyRing::new(keys)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keros_protocol::SigningKey;

    #[test]
    fn a_statement_key_is_not_asked_about_commands() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::from_pem(&SigningKey::pem_from_seed(&[1; 32])).unwrap().public();
        std::fs::write(folder.path().join("statement-a.pem"), key.to_pem()).unwrap();
        assert!(read_keyring(folder.path(), KeyPurpose::Command).unwrap().is_empty());
        assert_eq!(read_keyring(folder.path(), KeyPurpose::Statement).unwrap().ids(), [key.id()]);
    }

    #[test]
    fn a_damaged_key_file_is_named() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("command-a.pem"), "x").unwrap();
        let error = read_keyring(folder.path(), KeyPurpose::Command).unwrap_err();
        assert!(error.to_string().contains("command-a.pem"), "{error}");
        let key = SigningKey::from_pem(&SigningKey::pem_from_seed(&[1; 32])).unwrap().public();
        std::fs::write(folder.path().join("command-b.pem"), key.to_pem()).unwrap();
        assert_eq!(read_keyring(folder.path(), KeyPurpose::Command).unwrap().ids(), [key.id()]);
    }
}
