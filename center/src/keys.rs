//! The center's two key pairs as files: one orders jobs, the other makes the hourly statements. It never overwrites one.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use keros_protocol::{KeyId, KeyPurpose, SigningKey};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::files;

/// Far more than one PEM block.
const MAX_KEY_FILE_BYTES: u64 = 4096;

/// One key pair as it lies in a folder.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct KeyFiles {
    /// What it signs.
    pub(crate) purpose: KeyPurpose,
    /// Its name.
    pub(crate) id: KeyId,
    /// The private key: stays here.
    pub(crate) private: PathBuf,
    /// The public key: goes to every gateway.
    pub(crate) public: PathBuf,
    /// It was made just now, not found.
    pub(crate) new: bool,
}

/// Where the private key for a purpose is.
pub(crate) fn private_path(folder: &Path, purpose: KeyPurpose) -> PathBuf {
    folder.join(format!("{}.key.pem", purpose.as_str()))
}

/// Reads the private key for a purpose.
///
/// # Errors
/// When there is none, or it cannot be used; the message says how to make one.
pub(crate) fn read_private(folder: &Path, purpose: KeyPurpose) -> anyhow::Result<SigningKey> {
    let path = private_path(folder, purpose);
    if !path.exists() {
        anyhow::bail!(
            "there is no {} key in {}: make both with `keros-center keys generate --folder {}`",
            purpose.as_str(),
            folder.display(),
            folder.display()
        );
    }
    let length = std::fs::metadata(&path).map(|metadata| metadata.len()).unwrap_or_default();
    if length > MAX_KEY_FILE_BYTES {
        anyhow::bail!("{} has {length} bytes: that is no key file", path.display());
    }
    let pem = std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    SigningKey::from_pem(&pem).with_context(|| format!("{} cannot be used", path.display()))
}

/// Makes the key pairs that are missing in a folder, and the copies of public keys that are missing below `trust/`.
///
/// # Errors
/// When nothing is missing, or a file cannot be read or made.
pub(crate) fn generate(folder: &Path) -> anyhow::Result<Vec<KeyFiles>> {
    let trust = folder.join("trust");
    files::create_private_folder(&trust).with_context(|| format!("cannot make {}", trust.display()))?;
    let pairs = KeyPurpose::ALL
        .into_iter()
        .map(|purpose| find_or_make(folder, purpose))
        .collect::<anyhow::Result<Vec<_>>>()?;
    if pairs.iter().all(|pair| !pair.new) {
        anyhow::bail!(
            "both keys are in {} already, and are never overwritten: `keys show` prints them; for new ones name another \
             folder, bring its trust/ files to all gateways, and only then start the center with it",
            folder.display()
        );
    }
    Ok(pairs)
}

/// The key pairs in a folder.
///
/// # Errors
/// When one is missing or cannot be used.
pub(crate) fn show(folder: &Path) -> anyhow::Result<Vec<KeyFiles>> {
    KeyPurpose::ALL
        .into_iter()
        .map(|purpose| Ok(describe(folder, purpose, &read_private(folder, purpose)?, false)))
        .collect()
}

fn find_or_make(folder: &Path, purpose: KeyPurpose) -> anyhow::Result<KeyFiles> {
    let path = private_path(folder, purpose);
    let new = !path.exists();
    if new {
        let mut seed = [0; 32];
        SystemRandom::new()
            .fill(&mut seed)
            .map_err(|_| anyhow::anyhow!("the system has no random numbers"))?;
        files::create_new(&path, SigningKey::pem_from_seed(&seed).as_bytes(), 0o600)
            .with_context(|| format!("cannot make {}", path.display()))?;
    }
    let key = read_private(folder, purpose)?;
    let pair = describe(folder, purpose, &key, new);
    match files::create_new(&pair.public, key.public().to_pem().as_bytes(), 0o644) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            Err(error).with_context(|| format!("cannot make {}", pair.public.display()))
        }
        _ => Ok(pair),
    }
}

fn describe(folder: &Path, purpose: KeyPurpose, key: &SigningKey, new: bool) -> KeyFiles {
    let id = key.public().id();
    let public = folder.join("trust").join(format!("{}-{id}.pem", purpose.as_str()));
    KeyFiles { purpose, id, private: private_path(folder, purpose), public, new }
}

/// What a person should do with the keys.
pub(crate) struct Instructions<'a>(pub(crate) &'a [KeyFiles]);

impl fmt::Display for Instructions<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for pair in self.0 {
            let task = match pair.purpose {
                KeyPurpose::Command => "orders jobs",
                KeyPurpose::Statement => "states time and acknowledgements, every hour",
            };
            let new = if pair.new { "" } else { " (was there already)" };
            writeln!(f, "{} key {}: {task}{new}", pair.purpose.as_str(), pair.id)?;
            writeln!(f, "  private  {}", pair.private.display())?;
            writeln!(f, "  public   {}", pair.public.display())?;
        }
        writeln!(f)?;
        writeln!(
            f,
            "Keep the private files on this machine, with a copy in a safe place: who has the command key can run"
        )?;
        writeln!(f, "anything on every gateway, and without it no gateway can be reached with a job.")?;
        writeln!(f, "Copy the public files to /etc/keros-agent/trust/ on every gateway.")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use keros_protocol::TrustedKey;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    #[test]
    fn keys_are_made_once_and_never_overwritten() {
        let folder = tempfile::tempdir().unwrap();
        let made = generate(folder.path()).unwrap();
        assert!(made.iter().all(|pair| pair.new));
        for pair in &made {
            assert_eq!(std::fs::metadata(&pair.private).unwrap().permissions().mode() & 0o777, 0o600);
            let public = TrustedKey::from_pem(&std::fs::read_to_string(&pair.public).unwrap()).unwrap();
            assert_eq!(public.id(), pair.id);
        }
        assert_ne!(made[0].id, made[1].id);
        let before = std::fs::read(&made[0].private).unwrap();
        let error = generate(folder.path()).unwrap_err().to_string();
        assert!(error.contains("never overwritten"), "{error}");
        assert_eq!(std::fs::read(&made[0].private).unwrap(), before);
        assert_eq!(show(folder.path()).unwrap().len(), 2);
    }

    #[test]
    fn what_a_broken_run_left_out_is_made_up() {
        let folder = tempfile::tempdir().unwrap();
        let made = generate(folder.path()).unwrap();
        std::fs::remove_file(&made[1].private).unwrap();
        std::fs::remove_file(&made[0].public).unwrap();
        let again = generate(folder.path()).unwrap();
        assert_eq!((again[0].new, again[1].new), (false, true));
        assert_eq!(again[0].id, made[0].id);
        assert!(made[0].public.exists());
    }

    #[test]
    fn a_missing_key_names_the_command_that_makes_it() {
        let folder = tempfile::tempdir().unwrap();
        let error = read_private(folder.path(), KeyPurpose::Command).unwrap_err().to_string();
        assert!(error.contains("keys generate --folder"), "{error}");
    }

    #[test]
    fn openssl_reads_both_halves() {
        let folder = tempfile::tempdir().unwrap();
        for pair in generate(folder.path()).unwrap() {
            let output =
                match Command::new("openssl").args(["pkey", "-pubout", "-in"]).arg(&pair.private).output() {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                        return keros_skip::skipped("openssl is not installed");
                    }
                    output => output.unwrap(),
                };
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert_eq!(
                String::from_utf8(output.stdout).unwrap(),
                std::fs::read_to_string(&pair.public).unwrap()
            );
        }
    }
}
