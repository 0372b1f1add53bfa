//! The file of gateway passwords: lines `<EUI>:$hmac-sha256$<salt>$<tag>`, hex. It must never hold or print a password.
//!
//! Passwords are made here, with 160 random bits, never chosen by people: one HMAC is as good as any slow hash then, and a
//! whole fleet that reconnects costs nothing.
//!
//! A gateway that is enrolled anew has several lines: until it has confirmed that it uses the last one, the others stay good.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use anyhow::Context as _;
use keros_protocol::Eui;
use ring::hmac;
use ring::rand::{SecureRandom as _, SystemRandom};

/// 100,000 gateways with some 140 bytes each, and room.
const MAX_FILE_BYTES: u64 = 64 * 1024 * 1024;

/// Longer texts are no password of ours.
const MAX_PASSWORD_BYTES: usize = 256;

/// Passwords of one gateway: the first is in use, the others were given to one that has not confirmed. Beyond it the oldest goes.
const MAX_PASSWORDS: usize = 40;

/// The passwords as stored: no password can be found from it.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Passwords {
    by_eui: BTreeMap<Eui, Vec<Stored>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Stored {
    salt: Vec<u8>,
    tag: Vec<u8>,
}

/// A password file that is read again when it has changed.
#[derive(Debug)]
pub(crate) struct PasswordFile {
    path: PathBuf,
    read: Mutex<(Option<(SystemTime, u64)>, Passwords)>,
}

impl PasswordFile {
    /// Reads the file; one that does not exist yet has no passwords.
    ///
    /// # Errors
    /// When it cannot be read, or has a line that is none.
    pub(crate) fn open(path: &Path) -> anyhow::Result<Self> {
        let stamp = stamp(path);
        let passwords = Passwords::read(path)?;
        Ok(Self { path: path.to_owned(), read: Mutex::new((stamp, passwords)) })
    }

    /// Whether this is the gateway's password. When the file cannot be read any more, the last good content counts.
    pub(crate) fn is_password_of(&self, eui: Eui, password: &[u8]) -> bool {
        let Ok(mut read) = self.read.lock() else { return false };
        let stamp = stamp(&self.path);
        if stamp != read.0 {
            match Passwords::read(&self.path) {
                Ok(passwords) => *read = (stamp, passwords),
                Err(error) => tracing::error!("{error:#}; the passwords read before stay valid"),
            }
        }
        read.1.verify(eui, password)
    }
}

/// Makes a new password for a gateway and stores it: one that it had before is no longer valid. Returns the password.
///
/// # Errors
/// When the file cannot be read or written.
pub(crate) fn set_new_password(path: &Path, eui: Eui) -> anyhow::Result<String> {
    let password = add_password(path, eui)?;
    keep_newest(path, eui)?;
    Ok(password)
}

/// Makes one more password for a gateway and stores it: those that it has stay good. Returns the password.
///
/// # Errors
/// When the file cannot be read or written.
pub(crate) fn add_password(path: &Path, eui: Eui) -> anyhow::Result<String> {
    let mut passwords = Passwords::read(path)?;
    let password = random_text()?;
    passwords.add(eui, &password)?;
    passwords.write(path)?;
    Ok(password)
}

/// Removes all passwords of a gateway but the last.
///
/// # Errors
/// When the file cannot be read or written.
pub(crate) fn keep_newest(path: &Path, eui: Eui) -> anyhow::Result<()> {
    let mut passwords = Passwords::read(path)?;
    match passwords.by_eui.get_mut(&eui) {
        Some(stored) if stored.len() > 1 => {
            stored.drain(..stored.len() - 1);
            passwords.write(path)
        }
        _ => Ok(()),
    }
}

/// Removes a gateway's password; `false` when it had none.
///
/// # Errors
/// When the file cannot be read or written.
pub(crate) fn remove(path: &Path, eui: Eui) -> anyhow::Result<bool> {
    let mut passwords = Passwords::read(path)?;
    let removed = passwords.by_eui.remove(&eui).is_some();
    if removed {
        passwords.write(path)?;
    }
    Ok(removed)
}

/// The gateways that have a password.
///
/// # Errors
/// When the file cannot be read.
pub(crate) fn list(path: &Path) -> anyhow::Result<Vec<Eui>> {
    Ok(Passwords::read(path)?.by_eui.into_keys().collect())
}

/// A text of 160 random bits, hex.
///
/// # Errors
/// When the system has no random numbers.
pub(crate) fn random_text() -> anyhow::Result<String> {
    Ok(hex(&random::<20>()?))
}

impl Passwords {
    fn read(path: &Path) -> anyhow::Result<Self> {
        let file = path.display();
        match std::fs::metadata(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(error).with_context(|| format!("cannot read the password file {file}")),
            Ok(metadata) if metadata.len() > MAX_FILE_BYTES => {
                anyhow::bail!("the password file {file} is larger than {MAX_FILE_BYTES} bytes")
            }
            Ok(_) => {}
        }
        let text =
            std::fs::read_to_string(path).with_context(|| format!("cannot read the password file {file}"))?;
        Self::parse(&text).with_context(|| format!("the password file {file} cannot be used"))
    }

    fn parse(text: &str) -> anyhow::Result<Self> {
        let mut by_eui: BTreeMap<Eui, Vec<Stored>> = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let (eui, stored) = parse_line(line).with_context(|| {
                format!(
                    "line {} is not <EUI>:$hmac-sha256$<salt>$<tag>; make such lines with `keros-center broker-user add`",
                    number + 1
                )
            })?;
            by_eui.entry(eui).or_default().push(stored);
        }
        Ok(Self { by_eui })
    }

    fn add(&mut self, eui: Eui, password: &str) -> anyhow::Result<()> {
        let salt = random::<16>()?.to_vec();
        let tag = hmac::sign(&key(&salt), password.as_bytes()).as_ref().to_vec();
        let stored = self.by_eui.entry(eui).or_default();
        stored.push(Stored { salt, tag });
        stored.drain(..stored.len().saturating_sub(MAX_PASSWORDS));
        Ok(())
    }

    fn verify(&self, eui: Eui, password: &[u8]) -> bool {
        let is_it = |stored: &Stored| hmac::verify(&key(&stored.salt), password, &stored.tag).is_ok();
        password.len() <= MAX_PASSWORD_BYTES && self.by_eui.get(&eui).is_some_and(|all| all.iter().any(is_it))
    }

    fn to_text(&self) -> String {
        let mut text = String::from("# Passwords of gateways; made by `keros-center broker-user add EUI`.\n");
        let all = self.by_eui.iter().flat_map(|(eui, stored)| stored.iter().map(move |stored| (eui, stored)));
        for (eui, Stored { salt, tag }) in all {
            let _ = writeln!(text, "{eui}:$hmac-sha256${}${}", hex(salt), hex(tag));
        }
        text
    }

    fn write(&self, path: &Path) -> anyhow::Result<()> {
        crate::files::write_private(path, self.to_text().as_bytes())
            .with_context(|| format!("cannot write the password file {}", path.display()))
    }
}

fn parse_line(line: &str) -> Option<(Eui, Stored)> {
    let (eui, hash) = line.split_once(':')?;
    let (salt, tag) = hash.strip_prefix("$hmac-sha256$")?.split_once('$')?;
    Some((eui.parse().ok()?, Stored { salt: from_hex(salt)?, tag: from_hex(tag)? }))
}

fn stamp(path: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn key(salt: &[u8]) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, salt)
}

fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| anyhow::anyhow!("the system has no random numbers"))?;
    Ok(bytes)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Option<Vec<u8>> =
        text.chars().map(|c| c.to_digit(16).and_then(|digit| u8::try_from(digit).ok())).collect();
    let digits = digits.filter(|digits| !digits.is_empty() && digits.len() % 2 == 0)?;
    Some(digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);
    const OTHER: Eui = Eui::from_u64(0x7076_FF00_5607_0124);

    #[test]
    fn a_password_is_good_for_its_gateway_until_it_is_changed_or_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwords");
        let file = PasswordFile::open(&path).unwrap();
        let first = set_new_password(&path, EUI).unwrap();
        assert!(file.is_password_of(EUI, first.as_bytes()));
        assert!(!file.is_password_of(OTHER, first.as_bytes()));
        assert!(!file.is_password_of(EUI, b""));
        assert!(!std::fs::read_to_string(&path).unwrap().contains(&first));

        set_new_password(&path, OTHER).unwrap();
        let second = set_new_password(&path, EUI).unwrap();
        let file = PasswordFile::open(&path).unwrap();
        assert!(!file.is_password_of(EUI, first.as_bytes()));
        assert!(file.is_password_of(EUI, second.as_bytes()));
        assert!(remove(&path, EUI).unwrap());
        assert!(!file.is_password_of(EUI, second.as_bytes()));
        assert_eq!(list(&path).unwrap(), [OTHER]);
    }

    #[test]
    fn a_gateway_that_is_enrolled_anew_has_both_passwords_until_it_confirms() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwords");
        let old = set_new_password(&path, EUI).unwrap();
        let lost = add_password(&path, EUI).unwrap();
        let new = add_password(&path, EUI).unwrap();
        let is_good =
            |password: &str| PasswordFile::open(&path).unwrap().is_password_of(EUI, password.as_bytes());
        assert!([&old, &lost, &new].into_iter().all(|password| is_good(password)));
        keep_newest(&path, EUI).unwrap();
        assert!(is_good(&new) && !is_good(&old) && !is_good(&lost));
        for _ in 0..2 * MAX_PASSWORDS {
            add_password(&path, EUI).unwrap();
        }
        assert_eq!(Passwords::read(&path).unwrap().by_eui[&EUI].len(), MAX_PASSWORDS);
        assert_eq!(list(&path).unwrap(), [EUI]);
    }

    #[test]
    fn a_damaged_file_is_refused_with_its_line_and_never_locks_out_a_running_fleet() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwords");
        let password = set_new_password(&path, EUI).unwrap();
        let file = PasswordFile::open(&path).unwrap();
        std::fs::write(&path, "# one\n7076FF0056070123:plain\n").unwrap();
        let error = format!("{:#}", PasswordFile::open(&path).unwrap_err());
        assert!(error.contains("line 2"), "{error}");
        assert!(file.is_password_of(EUI, password.as_bytes()));
    }

    #[test]
    fn only_its_owner_can_read_the_file() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("passwords");
        set_new_password(&path, EUI).unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
