//! The files that the center needs to start: its folder, the lock on it, keys, token. It makes what can be made, and refuses what
//! others could read.

use std::fs::{DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use keros_protocol::SigningKey;
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::service::Keys;

/// Name of the file with the API's token in the data folder.
pub(crate) const TOKEN_FILE: &str = "api-token";

/// A secret file is one key, password or token.
const MAX_SECRET_BYTES: u64 = 16 * 1024;

/// The data folder while this process uses it: the lock goes with it.
#[derive(Debug)]
pub(crate) struct DataFolder {
    path: PathBuf,
    _lock: File,
}

impl DataFolder {
    /// Makes the folder when it is not there, and takes the lock: two centers must not share it.
    pub(crate) fn take(path: &Path) -> anyhow::Result<Self> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(path)
            .with_context(|| format!("cannot make the data folder {}", path.display()))?;
        let name = path.join("lock");
        let lock = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&name)
            .with_context(|| format!("cannot open {}", name.display()))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: lock }),
            Err(TryLockError::WouldBlock) => bail!(
                "another keros-center uses the data folder {}: stop it, or choose another folder",
                path.display()
            ),
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", name.display()))
            }
        }
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The API's token; made at the first start.
    pub(crate) fn api_token(&self) -> anyhow::Result<String> {
        self.secret_text(TOKEN_FILE, 32)
    }

    /// The name of this center at its broker; made at the first start, so that its session outlives a restart.
    pub(crate) fn mqtt_client_id(&self) -> anyhow::Result<String> {
        Ok(format!("keros-center-{}", self.secret_text("client-id", 8)?))
    }

    /// What gateways' tokens for the registry are made with; made at the first start. With another one, commands that are under way are
    /// signed with other tokens.
    pub(crate) fn registry_secret(&self) -> anyhow::Result<String> {
        self.secret_text("registry-secret", 32)
    }

    /// The name that a folder which several centers share has in itself; made by the first one.
    pub(crate) fn mark_of(&self, folder: &Path) -> anyhow::Result<String> {
        Self::text_in(&folder.join("mark"), 16)
    }

    fn secret_text(&self, name: &str, bytes: usize) -> anyhow::Result<String> {
        Self::text_in(&self.path.join(name), bytes)
    }

    fn text_in(path: &Path, bytes: usize) -> anyhow::Result<String> {
        if !path.exists() {
            let text = random_hex(bytes)?;
            create_secret(path, &text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        let text = read_secret(path)?.trim().to_owned();
        if text.len() < 2 * bytes {
            bail!("{} is too short: remove it, and the center makes a new one", path.display());
        }
        Ok(text)
    }
}

/// Reads both private keys.
pub(crate) fn read_keys(command: &Path, statement: &Path) -> anyhow::Result<Keys> {
    let keys = Keys { command: read_key(command)?, statement: read_key(statement)? };
    if keys.command.public() == keys.statement.public() {
        bail!(
            "{} and {} hold the same key: the key that is used every hour must not be able to order a job",
            command.display(),
            statement.display()
        );
    }
    Ok(keys)
}

fn read_key(path: &Path) -> anyhow::Result<SigningKey> {
    let pem = read_secret(path).with_context(|| {
        format!("cannot use the private key {}; `keros-center keys generate` makes keys", path.display())
    })?;
    SigningKey::from_pem(&pem).with_context(|| format!("cannot use the private key {}", path.display()))
}

/// Reads a file that only its owner may read.
pub(crate) fn read_secret(path: &Path) -> anyhow::Result<String> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mode =
        file.metadata().with_context(|| format!("cannot look at {}", path.display()))?.permissions().mode();
    if mode & 0o077 != 0 {
        bail!(
            "{} can be read by others (mode {:04o}): `chmod 600 {}`",
            path.display(),
            mode & 0o7777,
            path.display()
        );
    }
    let mut text = String::new();
    let read = file
        .take(MAX_SECRET_BYTES + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("cannot read {}", path.display()))?;
    if read as u64 > MAX_SECRET_BYTES {
        bail!("{} is longer than {MAX_SECRET_BYTES} bytes", path.display());
    }
    Ok(text)
}

/// Written beside it, synced, and then named: a cut leaves no half token.
fn create_secret(path: &Path, text: &str) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
    file.write_all(text.as_bytes())?;
    file.write_all(b"\n")?;
    file.sync_all()?;
    std::fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), |folder| File::open(folder)?.sync_all())
}

fn random_hex(bytes: usize) -> anyhow::Result<String> {
    let mut random = vec![0; bytes];
    SystemRandom::new()
        .fill(&mut random)
        .map_err(|_| anyhow::anyhow!("the system gives no random numbers"))?;
    Ok(random.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write_key(path: &Path, seed: u8, mode: u32) {
        std::fs::write(path, SigningKey::pem_from_seed(&[seed; 32])).unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_second_center_is_kept_out_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = DataFolder::take(folder.path()).unwrap();
        let error = DataFolder::take(folder.path()).unwrap_err();
        assert!(error.to_string().contains("another keros-center uses"), "{error}");
        drop(first);
        DataFolder::take(folder.path()).unwrap();
    }

    #[test]
    fn the_token_is_made_once_for_its_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let data = DataFolder::take(folder.path()).unwrap();
        let token = data.api_token().unwrap();
        assert_eq!(token.len(), 64);
        assert_eq!(data.api_token().unwrap(), token);
        let mode = std::fs::metadata(folder.path().join(TOKEN_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_key_that_others_can_read_is_refused_with_advice() {
        let folder = tempfile::tempdir().unwrap();
        let (command, statement) = (folder.path().join("c.pem"), folder.path().join("s.pem"));
        write_key(&command, 1, 0o640);
        write_key(&statement, 2, 0o600);
        let error = format!("{:#}", read_keys(&command, &statement).unwrap_err());
        assert!(error.contains("chmod 600") && error.contains("0640"), "{error}");
        write_key(&command, 1, 0o600);
        read_keys(&command, &statement).unwrap();
    }

    #[test]
    fn one_key_for_both_purposes_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key.pem");
        write_key(&path, 1, 0o600);
        assert!(read_keys(&path, &path).unwrap_err().to_string().contains("the same key"));
    }
}
