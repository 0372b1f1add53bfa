//! The keys that may order jobs, and those that may speak for the center, from files that nobody but root (or this very user)
//! could have written.

mod guard;
mod kept;

pub(crate) use guard::lost;
pub(crate) use kept::Kept;

use std::path::Path;

use keros_protocol::eligibility::Refusal;
use keros_protocol::{KeyPurpose, KeyRing, RefusalReason, TrustedKey};
use nix::unistd::geteuid;

use kept::{Access, KeyFile};

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

/// The keys of one purpose in files that can be relied on. A file that cannot is no key; the others count all the same, since a gateway
/// must not be lost by one bad file.
fn keys(folder: &Path, purpose: KeyPurpose, what_for: &str) -> Result<KeyRing, String> {
    let this_user = geteuid().as_raw();
    let kept = Kept::read(folder)
        .map_err(|error| format!("the trusted keys in {} cannot be read: {error}", folder.display()))?;
    if let Some(fault) = fault(folder, kept.folder, this_user) {
        return Err(fault);
    }
    let mut keys = Vec::new();
    let mut faults = Vec::new();
    for file in files_of(&kept, purpose) {
        match key(folder, file, this_user) {
            Ok(key) => keys.push(key),
            Err(fault) => faults.push(fault),
        }
    }
    if keys.is_empty() {
        let (word, place) = (purpose.as_str(), folder.display());
        return Err(faults.into_iter().next().unwrap_or_else(|| {
            format!("no key may {what_for} here: there is no {word}-*.pem in {place}; put the center's public {word} key there")
        }));
    }
    Ok(KeyRing::new(keys))
}

/// The keys of one purpose that both executor and agent can use. The agent is another user than root: it must be able to read them.
fn usable(kept: &Kept, purpose: KeyPurpose, this_user: u32) -> KeyRing {
    let is_readable = |access: Access| this_user != 0 || access.mode & 0o004 != 0;
    let is_open = kept.folder.mode & 0o001 != 0 || this_user != 0;
    if !is_open || fault(Path::new(""), kept.folder, this_user).is_some() {
        return KeyRing::default();
    }
    let files = files_of(kept, purpose).filter(|file| is_readable(file.access));
    KeyRing::new(files.filter_map(|file| key(Path::new(""), file, this_user).ok()).collect())
}

fn files_of(kept: &Kept, purpose: KeyPurpose) -> impl Iterator<Item = &KeyFile> {
    let beginning = format!("{}-", purpose.as_str());
    kept.files.iter().filter(move |file| file.name.starts_with(&beginning))
}

fn key(folder: &Path, file: &KeyFile, this_user: u32) -> Result<TrustedKey, String> {
    let path = folder.join(&file.name);
    if let Some(fault) = fault(&path, file.access, this_user) {
        return Err(fault);
    }
    let text = file
        .text
        .as_ref()
        .ok_or_else(|| format!("the key file {} cannot be read, is too long, or no text", path.display()))?;
    TrustedKey::from_pem(text)
        .map_err(|error| format!("the key file {} cannot be used: {error}", path.display()))
}

/// Why what is there cannot be relied on.
fn fault(path: &Path, access: Access, this_user: u32) -> Option<String> {
    if access.user != 0 && access.user != this_user {
        let user = access.user;
        return Some(format!(
            "{} belongs to user {user}, so it is not trusted: `chown root` it",
            path.display()
        ));
    }
    (access.mode & 0o022 != 0).then(|| {
        format!(
            "{} can be written by others than its owner (mode {:o}), so it is not trusted: `chmod go-w` it",
            path.display(),
            access.mode
        )
    })
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
    fn one_bad_file_does_not_take_the_others_with_it() {
        let folder = folder_with_key();
        std::fs::write(folder.path().join("command-b.pem"), "no key").unwrap();
        assert_eq!(command_keys(folder.path()).unwrap().ids().len(), 1);
        std::fs::remove_file(folder.path().join("command-a.pem")).unwrap();
        assert!(command_keys(folder.path()).unwrap_err().detail.contains("command-b.pem cannot be used"));
    }

    #[test]
    fn no_keys_is_said_plainly() {
        let folder = tempfile::tempdir().unwrap();
        assert!(command_keys(folder.path()).unwrap_err().detail.contains("no key may order jobs"));
        assert!(command_keys(&folder.path().join("absent")).is_err());
    }
}
