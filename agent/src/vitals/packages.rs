//! Which packages are installed, from the status files of dpkg (KerOS 6) and opkg (KerOS 4 and 5).
//!
//! A status file may have several MiB and is read line by line; the list is made only when a file has changed or when
//! the caller needs it. No package tool is ever run.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use keros_protocol::{KerosVersion, Package, limits};
use sha2::{Digest as _, Sha256};

/// dpkg's status file, and the two places of opkg's.
const STATUS_FILES: [&str; 3] = ["var/lib/dpkg/status", "usr/lib/opkg/status", "var/lib/opkg/status"];

/// Three quarters of a telemetry message: the rest has room beside the list.
const MAX_LIST_BYTES: usize = limits::MAX_TELEMETRY_BYTES / 4 * 3;

/// Longer lines are descriptions, never the fields read here.
const MAX_LINE_BYTES: usize = 1024;

/// Longest name or version that is kept.
const MAX_FIELD_BYTES: usize = 128;

/// Reads the list, and remembers its digest for as long as the files stay as they are.
#[derive(Debug)]
pub(super) struct PackageReader {
    files: Vec<PathBuf>,
    firmware: Option<Package>,
    last: Option<(Vec<FileState>, Option<String>)>,
}

/// What changes with a file's content: device, inode, size, change time in seconds and nanoseconds; `None` when absent.
type FileState = Option<(u64, u64, u64, i64, i64)>;

impl PackageReader {
    pub(super) fn new(root: &Path, keros_version: Option<&KerosVersion>) -> Self {
        let firmware = keros_version
            .map(|version| Package { name: "keros".to_owned(), version: version.as_str().to_owned() });
        Self { files: STATUS_FILES.iter().map(|file| root.join(file)).collect(), firmware, last: None }
    }

    /// The digest, and the list unless the digest is `known`. Both are absent when there is no list, or when it is too
    /// long for a telemetry message: a list with parts left out would be wrong.
    pub(super) fn read(&mut self, known: Option<&str>) -> (Option<String>, Option<Vec<Package>>) {
        let states: Vec<FileState> = self.files.iter().map(|file| file_state(file)).collect();
        match &self.last {
            Some((last, digest)) if *last == states && (digest.is_none() || digest.as_deref() == known) => {
                return (digest.clone(), None);
            }
            _ => {}
        }
        let list = self.list();
        let digest = list.as_deref().and_then(list_digest);
        self.last = Some((states, digest.clone()));
        let list = list.filter(|_| digest.is_some() && digest.as_deref() != known);
        (digest, list)
    }

    /// All packages, sorted; `None` without any, or when there are too many.
    fn list(&self) -> Option<Vec<Package>> {
        let mut list = List::default();
        for file in &self.files {
            if let Ok(file) = File::open(file) {
                read_status(BufReader::new(file), &mut list);
            }
        }
        if let Some(firmware) = &self.firmware
            && !list.packages.iter().any(|package| package.name == firmware.name)
        {
            list.push(firmware.clone());
        }
        if list.bytes > MAX_LIST_BYTES {
            tracing::warn!(
                bytes = list.bytes,
                limit = MAX_LIST_BYTES,
                "the list of installed packages is too long for telemetry and is left out"
            );
            return None;
        }
        list.packages.sort_unstable();
        // The same package may be installed for two architectures.
        list.packages.dedup();
        list.packages.shrink_to_fit();
        (!list.packages.is_empty()).then_some(list.packages)
    }
}

/// `sha256:` and hex over the list as compact JSON, exactly as it would be sent.
fn list_digest(list: &[Package]) -> Option<String> {
    use std::fmt::Write as _;
    let mut hash = Hashing(Sha256::new());
    serde_json::to_writer(&mut hash, list).ok()?;
    let mut text = String::from("sha256:");
    for byte in hash.0.finalize() {
        let _ = write!(text, "{byte:02x}");
    }
    Some(text)
}

/// Hashes what is written, so that the JSON text is never held.
struct Hashing(Sha256);

impl std::io::Write for Hashing {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Packages, and at least the bytes that they have as JSON.
#[derive(Debug, Default)]
struct List {
    packages: Vec<Package>,
    bytes: usize,
}

impl List {
    fn push(&mut self, package: Package) {
        // {"name":"…","version":"…"}, and a comma.
        self.bytes += package.name.len() + package.version.len() + 25;
        if self.bytes <= MAX_LIST_BYTES {
            self.packages.push(package);
        }
    }
}

/// One stanza as far as it was read.
#[derive(Debug, Default)]
struct Stanza {
    name: Option<String>,
    version: Option<String>,
    installed: bool,
}

impl Stanza {
    fn field(&mut self, line: &str) {
        let Some((field, value)) = line.split_once(':') else { return };
        let value = value.trim();
        let short = || Some(limits::shorten(value, MAX_FIELD_BYTES));
        match field {
            "Package" => self.name = short(),
            "Version" => self.version = short(),
            "Status" => self.installed = is_installed(value),
            _ => {}
        }
    }

    fn package(self) -> Option<Package> {
        Some(Package { name: self.name?, version: self.version? }).filter(|_| self.installed)
    }
}

/// A status is three words: what is wanted, a flag, and the state. A package on hold is installed all the same.
fn is_installed(status: &str) -> bool {
    let mut words = status.split_ascii_whitespace();
    let wanted = words.next();
    matches!(wanted, Some("install" | "hold")) && words.nth(1) == Some("installed")
}

/// Reads stanzas separated by empty lines; a file that cannot be read to its end gives what was read.
fn read_status(mut reader: impl BufRead, list: &mut List) {
    let mut line = Vec::with_capacity(MAX_LINE_BYTES);
    let mut stanza = Stanza::default();
    while read_line(&mut reader, &mut line) {
        match line.as_slice() {
            [] | [b'\r'] => {
                if let Some(package) = std::mem::take(&mut stanza).package() {
                    list.push(package);
                }
            }
            // The continuation of a field.
            [b' ' | b'\t', ..] => {}
            field => stanza.field(&String::from_utf8_lossy(field)),
        }
    }
    if let Some(package) = stanza.package() {
        list.push(package);
    }
}

/// Reads one line without its end into `line`, of a longer one only the beginning; `false` at the end or on an error.
fn read_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> bool {
    line.clear();
    let mut any = false;
    loop {
        let Ok(buffer) = reader.fill_buf() else { return false };
        if buffer.is_empty() {
            return any;
        }
        any = true;
        let end = buffer.iter().position(|byte| *byte == b'\n');
        let part = &buffer[..end.unwrap_or(buffer.len())];
        let room = MAX_LINE_BYTES.saturating_sub(line.len());
        line.extend_from_slice(&part[..part.len().min(room)]);
        let used = end.map_or(buffer.len(), |end| end + 1);
        reader.consume(used);
        if end.is_some() {
            return true;
        }
    }
}

fn file_state(path: &Path) -> FileState {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.dev(), metadata.ino(), metadata.size(), metadata.ctime(), metadata.ctime_nsec()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vitals::tests::root;

    const DPKG: &str = "\
Package: zlib1g
Status: install ok installed
Version: 1:1.2.13.dfsg-1
Description: compression library
 Version: not this one

Package: adduser
Status: install ok installed
Version: 3.134

Package: gone
Status: deinstall ok config-files
Version: 1.0

Package: half
Status: install ok half-configured
Version: 1.0

Package: held
Version: 2.0
Status: hold ok installed";

    fn package(name: &str, version: &str) -> Package {
        Package { name: name.to_owned(), version: version.to_owned() }
    }

    fn read(files: &[(&str, &str)], keros: Option<&str>) -> Option<Vec<Package>> {
        let keros = keros.map(|text| text.parse().unwrap());
        PackageReader::new(root(files).path(), keros.as_ref()).read(None).1
    }

    #[test]
    fn installed_packages_are_listed_by_name_with_the_firmware() {
        let expected = vec![
            package("adduser", "3.134"),
            package("held", "2.0"),
            package("keros", "6.3.1"),
            package("zlib1g", "1:1.2.13.dfsg-1"),
        ];
        assert_eq!(read(&[("var/lib/dpkg/status", DPKG)], Some("6.3.1")), Some(expected));
    }

    #[test]
    fn opkg_is_read_as_well() {
        let opkg = "Package: keros\nVersion: 5.10.1-0-gc7e2b007\nStatus: install user installed\n\n\
                    Package: busybox\nVersion: 1.31\nStatus: install ok installed\n\n";
        for path in ["usr/lib/opkg/status", "var/lib/opkg/status"] {
            let list = read(&[(path, opkg)], Some("5.10.1"));
            let expected = vec![package("busybox", "1.31"), package("keros", "5.10.1-0-gc7e2b007")];
            assert_eq!(list, Some(expected), "the package manager's own entry stays");
        }
    }

    #[test]
    fn without_a_package_manager_only_the_firmware_is_known() {
        assert_eq!(read(&[], Some("6.3.1")), Some(vec![package("keros", "6.3.1")]));
        assert_eq!(read(&[], None), None);
    }

    #[test]
    fn the_digest_is_that_of_the_compact_json() {
        // printf '[{"name":"keros","version":"6.3.1"}]' | sha256sum
        let expected = "sha256:a3db5e2ae5390be9cd9232168e4d05ad96f89bfe4bbeb8889f0f89b827967eb4";
        assert_eq!(list_digest(&[package("keros", "6.3.1")]).as_deref(), Some(expected));
    }

    #[test]
    fn the_list_comes_only_when_its_digest_is_not_known() {
        let root = root(&[("var/lib/dpkg/status", DPKG)]);
        let mut reader = PackageReader::new(root.path(), None);
        let (digest, list) = reader.read(None);
        assert_eq!(list.unwrap().len(), 3);
        assert_eq!(reader.read(digest.as_deref()), (digest.clone(), None));
        assert!(reader.read(None).1.is_some(), "asked again, it comes again");

        std::fs::write(root.path().join("var/lib/dpkg/status"), DPKG.replace("3.134", "3.135")).unwrap();
        let (changed, list) = reader.read(digest.as_deref());
        assert_ne!(changed, digest);
        assert_eq!(list.unwrap()[0].version, "3.135");
    }

    #[test]
    fn dpkg_itself_says_the_same() {
        let format = "${db:Status-Status}\t${Package}\t${Version}\n";
        let Ok(output) = std::process::Command::new("dpkg-query").args(["-W", "-f", format]).output() else {
            return keros_skip::skipped("only a system with dpkg-query can be compared with it");
        };
        let text = String::from_utf8(output.stdout).unwrap();
        let mut expected: Vec<Package> = text
            .lines()
            .filter_map(|line| line.strip_prefix("installed\t")?.split_once('\t'))
            .map(|(name, version)| package(name, version))
            .collect();
        expected.sort();
        expected.dedup();
        let list = PackageReader::new(Path::new("/"), None).read(None).1.unwrap_or_default();
        assert_eq!(list, expected);
    }

    #[test]
    fn long_lines_and_long_files_are_bounded() {
        let long = format!(
            "Package: a\nVersion: 1\nDescription: {}\nStatus: install ok installed\n",
            "x".repeat(1 << 20)
        );
        assert_eq!(read(&[("var/lib/dpkg/status", &long)], None), Some(vec![package("a", "1")]));
        let many: String = (0..20_000)
            .map(|n| format!("Package: package-{n}\nVersion: 1\nStatus: install ok installed\n\n"))
            .collect();
        assert_eq!(read(&[("var/lib/dpkg/status", &many)], None), None);
    }
}
