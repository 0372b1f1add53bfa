//! Our own copies: complete and durable before they have their name, verified again whenever one is opened.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use keros_platform::{Disk, Open};
use keros_protocol::RefusalReason;
use keros_protocol::eligibility::Refusal;
use keros_protocol::limits::{MAX_LINK_CONFIG_BYTES, MAX_MANIFEST_BYTES, MAX_SCRIPT_BYTES};
use keros_protocol::magic_link::{BundleFile, Descriptor, Digest, LinkConfig, MagicLink, Manifest, Title};

use super::content::{CopyError, copy};
use super::keep::{disk_bytes, make_room};
use super::{Offer, Trouble};
use crate::exit::Failure;
use crate::state::{KEPT_FREE_BYTES, State};

/// Copies whose name begins so were never completed.
const UNBORN: &str = ".new-";
const FOLDER_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o444;
const PROGRAM_MODE: u32 = 0o555;

/// A copy that was verified just now.
#[derive(Debug)]
pub(crate) struct Bundle {
    /// The folder of its files.
    pub(crate) files: PathBuf,
    /// What is run of them.
    pub(crate) playbook: Title,
    /// How long that is, bytes.
    pub(crate) playbook_bytes: u64,
}

impl Bundle {
    /// The playbook's text.
    ///
    /// # Errors
    /// `too_large`, `unparsable`: it is no text. `not_found` when the copy was damaged since it was verified.
    pub(crate) fn playbook_text(&self) -> Result<String, Refusal> {
        let title = &self.playbook;
        if self.playbook_bytes > MAX_SCRIPT_BYTES as u64 {
            let detail =
                format!("the playbook {title} has {} bytes, at most {MAX_SCRIPT_BYTES}", self.playbook_bytes);
            return Err(Refusal::new(RefusalReason::TooLarge, detail));
        }
        let text = std::fs::read(self.files.join(title.as_str()));
        let text = text.map_err(|error| unreadable(title.as_str(), &error))?;
        String::from_utf8(text).map_err(|_| {
            Refusal::new(RefusalReason::Unparsable, format!("the playbook {title} is not UTF-8 text"))
        })
    }
}

/// The folder of copies.
#[derive(Debug, Clone)]
pub(crate) struct Store<'a> {
    pub(super) disk: &'a dyn Disk,
    folder: PathBuf,
}

impl<'a> Store<'a> {
    /// In the executor's state folder.
    pub(crate) fn of(disk: &'a dyn Disk, state_folder: &Path) -> Self {
        Self { disk, folder: state_folder.join("bundles") }
    }

    /// The copy of what was offered: the one that is there, or a new one. Only for the holder of the run lock.
    ///
    /// # Errors
    /// `not_found` and `digest_mismatch` for files of the bundle, `no_space`.
    pub(crate) fn take(&self, state: &State, offer: &Offer) -> Result<Bundle, Trouble> {
        if let Ok(bundle) = self.open(offer.digest) {
            // Who made it may have been ended before its name was on the disk; a reboot of the job would lose it.
            self.disk.sync_folder(&self.folder).map_err(writing("the folder of bundles", offer))?;
            return Ok(bundle);
        }
        self.remove(offer.digest)?;
        self.import(state, offer)?;
        Ok(self.bundle(offer.digest, &offer.link))
    }

    /// The copy of this link, every byte of it verified again.
    ///
    /// # Errors
    /// `not_found`, `digest_mismatch`: it is not as it was made.
    pub(crate) fn open(&self, digest: Digest) -> Result<Bundle, Refusal> {
        let folder = self.of_link(digest);
        let look = |name: &str, wanted: Descriptor| {
            let mut content = Vec::new();
            self.check(&folder.join(name), name, wanted, &mut content).map(|()| content)
        };
        let size = self.length(&folder.join("manifest.json"), "manifest.json")?;
        let size = size.min(MAX_MANIFEST_BYTES as u64);
        let manifest = Manifest::parse(&look("manifest.json", Descriptor { digest, size })?)?;
        let config = LinkConfig::parse(&look("config.json", manifest.config)?)?;
        let link = MagicLink::new(manifest, config)?;
        let files = folder.join("files");
        for file in &link.manifest.files {
            let title = file.title.as_str();
            self.check(&files.join(title), title, file.blob, &mut io::sink())?;
        }
        let titles = link.manifest.files.iter().map(|file| &file.title);
        let known = titles.flat_map(|title| title.folders().chain([title.as_str()])).collect();
        self.check_for_more(&files, "", &known)?;
        Ok(self.bundle(digest, &link))
    }

    /// What the link calls itself, for people; `None` when there is no copy of it.
    pub(crate) fn name(&self, digest: Digest) -> Option<String> {
        let path = self.of_link(digest).join("config.json");
        let config = self.disk.read(&path, MAX_LINK_CONFIG_BYTES as u64).ok()?;
        LinkConfig::parse(&config).ok().map(|config| config.name)
    }

    /// Removes the copy of this link; it need not be there.
    pub(crate) fn remove(&self, digest: Digest) -> Result<(), Failure> {
        self.remove_folder(&self.of_link(digest))
    }

    fn bundle(&self, digest: Digest, link: &MagicLink) -> Bundle {
        let playbook = link.config.playbook.clone();
        let is_playbook = |file: &&BundleFile| file.title == playbook;
        let playbook_bytes = link.manifest.files.iter().find(is_playbook).map_or(0, |file| file.blob.size);
        let files = self.of_link(digest).join("files");
        // Programs are started in another folder than ours.
        let files = std::path::absolute(&files).unwrap_or(files);
        Bundle { files, playbook, playbook_bytes }
    }

    pub(super) fn of_link(&self, digest: Digest) -> PathBuf {
        self.folder.join(digest.hex())
    }

    fn length(&self, path: &Path, name: &str) -> Result<u64, Refusal> {
        let length = self.disk.open(path, Open::Read).and_then(|file| file.length());
        length.map_err(|error| unreadable(name, &error))
    }

    fn check(
        &self,
        path: &Path,
        name: &str,
        wanted: Descriptor,
        to: &mut dyn io::Write,
    ) -> Result<(), Refusal> {
        let mut file = self.disk.open(path, Open::Read).map_err(|error| unreadable(name, &error))?;
        copy(&mut file, wanted, to).map_err(|error| match error {
            CopyError::Read(error) | CopyError::Write(error) => unreadable(name, &error),
            CopyError::Differs(what) => {
                let detail = format!("the gateway's own copy of {name} has changed: {what}");
                Refusal::new(RefusalReason::DigestMismatch, detail)
            }
        })
    }

    /// A file that is no part of the bundle may still be found by its playbook.
    fn check_for_more(&self, folder: &Path, title: &str, known: &BTreeSet<&str>) -> Result<(), Refusal> {
        let names = self.disk.list(folder).map_err(|error| unreadable("the bundle's folder", &error))?;
        for name in names {
            let (path, title) = (folder.join(&name), format!("{title}{name}"));
            if !known.contains(title.as_str()) {
                let detail =
                    format!("the gateway's own copy has {title} besides, which is not of the bundle");
                return Err(Refusal::new(RefusalReason::DigestMismatch, detail));
            }
            if self.disk.look_at(&path).is_ok_and(|found| found.is_folder) {
                self.check_for_more(&path, &format!("{title}/"), known)?;
            }
        }
        Ok(())
    }

    fn import(&self, state: &State, offer: &Offer) -> Result<(), Trouble> {
        let making = || Failure::io("make the folder of bundles");
        self.disk.create_private_folder(&self.folder).map_err(making())?;
        let unborn = self.folder.join(format!("{UNBORN}{}", offer.digest.hex()));
        let made = check_room(state, offer).and_then(|()| self.fill(&unborn, offer)).and_then(|()| {
            let publish = || {
                self.disk.rename(&unborn, &self.of_link(offer.digest))?;
                self.disk.sync_folder(&self.folder)
            };
            publish().map_err(writing("its folder", offer))
        });
        if made.is_err() {
            let _ = self.remove_folder(&unborn);
        }
        made
    }

    /// Copies all of it. Nobody sees the folder yet: each file is synced by itself, and the folders' names at the end.
    fn fill(&self, unborn: &Path, offer: &Offer) -> Result<(), Trouble> {
        let files = unborn.join("files");
        let mut folders = BTreeSet::from([unborn.to_owned(), files.clone()]);
        let titles = offer.link.manifest.files.iter().flat_map(|file| file.title.folders());
        folders.extend(titles.map(|folder| files.join(folder)));
        for folder in &folders {
            let made = self.disk.create_folder(folder).and_then(|()| self.disk.set_mode(folder, FOLDER_MODE));
            made.map_err(writing("a folder", offer))?;
        }
        for (name, content) in [("manifest.json", &offer.manifest), ("config.json", &offer.config)] {
            let path = unborn.join(name);
            let failed = writing(name, offer);
            self.make(&path, FILE_MODE, content.len() as u64, &failed, |to| {
                to.write_all(content).map_err(&failed)
            })?;
        }
        for file in &offer.link.manifest.files {
            let title = file.title.as_str();
            let blob = offer.given.blob(file.blob.digest, title)?;
            let mode = if file.executable { PROGRAM_MODE } else { FILE_MODE };
            let failed = writing(title, offer);
            self.make(&files.join(title), mode, file.blob.size, &failed, |to| {
                blob.copy(file.blob, to, &failed)
            })?;
        }
        for folder in folders.iter().rev() {
            self.disk.sync_folder(folder).map_err(writing("a folder", offer))?;
        }
        Ok(())
    }

    /// Makes one durable file.
    fn make(
        &self,
        path: &Path,
        mode: u32,
        size: u64,
        failed: &dyn Fn(io::Error) -> Trouble,
        fill: impl FnOnce(&mut dyn io::Write) -> Result<(), Trouble>,
    ) -> Result<(), Trouble> {
        let mut file = self.disk.open(path, Open::New).map_err(failed)?;
        file.reserve(size).and_then(|()| self.disk.set_mode(path, mode)).map_err(failed)?;
        fill(&mut file)?;
        file.sync_all().map_err(failed)
    }

    /// The links that there are copies of.
    pub(super) fn digests(&self) -> Result<Vec<Digest>, Failure> {
        Ok(self.names()?.iter().filter_map(|name| Digest::from_hex(name).ok()).collect())
    }

    /// Removes copies that were never completed.
    pub(super) fn remove_unborn(&self) -> Result<(), Failure> {
        for name in self.names()?.iter().filter(|name| name.starts_with(UNBORN)) {
            self.remove_folder(&self.folder.join(name))?;
        }
        Ok(())
    }

    fn names(&self) -> Result<Vec<String>, Failure> {
        match self.disk.list(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
            names => names.map_err(Failure::io("list the bundles")),
        }
    }

    fn remove_folder(&self, folder: &Path) -> Result<(), Failure> {
        match self.disk.remove_folder(folder) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Failure::io("remove a bundle")(error)),
            _ => Ok(()),
        }
    }
}

/// Bytes on disk: the files, manifest and config.
fn size_of(offer: &Offer) -> u64 {
    disk_bytes(&offer.link.manifest) + (offer.manifest.len() + offer.config.len()) as u64
}

fn check_room(state: &State, offer: &Offer) -> Result<(), Trouble> {
    let wanted = size_of(offer);
    if make_room(state, wanted.saturating_add(KEPT_FREE_BYTES), offer.digest)? {
        return Ok(());
    }
    let free = state.host().free_bytes(state.folder()).unwrap_or_default();
    let detail = format!(
        "the bundle takes {wanted} bytes, and {KEPT_FREE_BYTES} more must stay free for the job; the disk of the executor's \
         state folder has {free} bytes free"
    );
    Err(Trouble::refused(RefusalReason::NoSpace, detail))
}

/// A full disk is a refusal by name, everything else a failure.
fn writing<'o>(name: &'o str, offer: &'o Offer) -> impl Fn(io::Error) -> Trouble + 'o {
    move |error| match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            let wanted = size_of(offer);
            let detail =
                format!("the bundle takes {wanted} bytes, and there was no room left for {name}: {error}");
            Trouble::refused(RefusalReason::NoSpace, detail)
        }
        _ => Failure::io(format!("copy {name} of the bundle"))(error).into(),
    }
}

fn unreadable(name: &str, error: &io::Error) -> Refusal {
    let detail = format!("the gateway's own copy of {name} cannot be read: {error}");
    Refusal::new(RefusalReason::NotFound, detail)
}
