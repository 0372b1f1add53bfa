//! The keys that may order jobs, and those that may speak for the center, from files that nobody but root (or this very user)
//! could have written.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use keros_platform::read_keyring;
use keros_protocol::eligibility::Refusal;
use keros_protocol::{KeyPurpose, KeyRing, RefusalReason};

/// Reads the trusted command keys.
///
/// # Errors
/// A refusal `bad_signature`: without keys that can be relied on no signature can be good.
pub(crate) fn command_keys(folder: &Path) -> Result<KeyRing, Refusal> {
    let keys = keys(folder, KeyPurpose::Command, "order jobs");
    keys.map_err(|detail| Refusal::new(RefusalReason::BadSignature, detail))
}

/// Reads the trusted statement keys.
///
/// # Errors
/// Why there are none that can be relied on.
pub(crate) fn statement_keys(folder: &Path) -> Result<KeyRing, String> {
    keys(folder, KeyPurpose::Statement, "speak for the center")
}

fn keys(folder: &Path, purpose: KeyPurpose, what_for: &str) -> Result<KeyRing, String> {
    check_folder(folder)?;
    let keys = read_keyring(folder, purpose).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        format!("{error}{cause}")
    })?;
    if keys.is_empty() {
        let (word, folder) = (purpose.as_str(), folder.display());
        return Err(format!(
            "no key may {what_for} here: there is no {word}-*.pem in {folder}; put the center's public {word} key there"
        ));
    }
    Ok(keys)
}

/// The folder itself, and each file in it that is read as a key.
fn check_folder(folder: &Path) -> Result<(), String> {
    let look = |path: &Path| {
        path.metadata().map_err(|error| format!("the trusted keys in {}: {error}", path.display()))
    };
    check_owner(folder, &look(folder)?)?;
    let entries = folder.read_dir().map_err(|error| format!("cannot list {}: {error}", folder.display()))?;
    for entry in entries {
        let path = entry.map_err(|error| format!("cannot list {}: {error}", folder.display()))?.path();
        if path.extension().is_some_and(|extension| extension == "pem") {
            check_owner(&path, &look(&path)?)?;
        }
    }
    Ok(())
}

fn check_owner(path: &Path, metadata: &Metadata) -> Result<(), String> {
    let this_user = nix::unistd::geteuid().as_raw();
    if metadata.uid() != 0 && metadata.uid() != this_user {
        return Err(format!(
            "{} belongs to user {}, so it is not trusted: `chown root` it",
            path.display(),
            metadata.uid()
        ));
    }
    if metadata.mode() & 0o022 != 0 {
        return Err(format!(
            "{} can be written by others than its owner (mode {:o}), so it is not trusted: `chmod go-w` it",
            path.display(),
            metadata.mode() & 0o7777
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use keros_protocol::SigningKey;
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;

    fn folder_with_key() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::from_pem(&SigningKey::pem_from_seed(&[1; 32])).unwrap().public();
        std::fs::write(folder.path().join("command-a.pem"), key.to_pem()).unwrap();
        std::fs::set_permissions(folder.path().join("command-a.pem"), Permissions::from_mode(0o644)).unwrap();
        folder
    }

    #[test]
    fn keys_of_root_or_this_user_are_trusted() {
        assert_eq!(command_keys(folder_with_key().path()).unwrap().ids().len(), 1);
    }

    #[test]
    fn what_others_can_write_is_not_trusted() {
        let folder = folder_with_key();
        std::fs::set_permissions(folder.path().join("command-a.pem"), Permissions::from_mode(0o664)).unwrap();
        let refusal = command_keys(folder.path()).unwrap_err();
        assert_eq!(refusal.reason, RefusalReason::BadSignature);
        assert!(refusal.detail.contains("chmod go-w"), "{refusal}");

        let folder = folder_with_key();
        std::fs::set_permissions(folder.path(), Permissions::from_mode(0o777)).unwrap();
        assert!(command_keys(folder.path()).unwrap_err().detail.contains("chmod go-w"));
    }

    #[test]
    fn a_key_of_another_user_is_not_trusted() {
        let folder = folder_with_key();
        let key = folder.path().join("command-a.pem");
        // Only root can give a file away; for anybody else this test has nothing to show.
        if std::os::unix::fs::chown(&key, Some(12345), None).is_ok() {
            assert!(command_keys(folder.path()).unwrap_err().detail.contains("belongs to user 12345"));
        }
    }

    #[test]
    fn no_keys_is_said_plainly() {
        let folder = tempfile::tempdir().unwrap();
        assert!(command_keys(folder.path()).unwrap_err().detail.contains("no key may order jobs"));
        assert!(command_keys(&folder.path().join("absent")).is_err());
    }
}
