//! Reads a backup: to check it, or to put it into a database that is empty.

use std::collections::BTreeMap;
use std::io::{Read, Seek as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use keros_protocol::magic_link::Digest;

use super::digest::{Running, Through};
use super::{End, FORMAT, Head, MAX_PART_BYTES};
use crate::files;
use crate::links::blob_path;
use crate::service::unix_now;
use crate::store::{Filling, Rows, Store, restored};

/// Where a backup goes.
pub(crate) struct Restore<'a> {
    /// The database, without tables.
    pub(crate) store: &'a Store,
    /// Its name for people.
    pub(crate) place: &'a str,
    /// The folder of Magic Links' files.
    pub(crate) blobs: PathBuf,
    /// No gateway has been served since the backup was made: everything goes on as it was.
    pub(crate) nothing_since: bool,
}

/// What was read so far.
#[derive(Default)]
struct Seen {
    rows: BTreeMap<String, u64>,
    blobs: u64,
}

/// Reads all of it, and says what is in it.
///
/// # Errors
/// When it is not whole.
pub(crate) async fn check(file: &Path) -> anyhow::Result<(Head, End)> {
    read(file, None).await
}

/// Puts a backup into an empty database. Nothing is in it when this fails, but for the tables.
///
/// # Errors
/// When the backup is not whole, of a newer center, or cannot be put there.
pub(crate) async fn restore(file: &Path, into: &Restore<'_>) -> anyhow::Result<(Head, End)> {
    if !into.store.is_empty().await? {
        bail!(
            "{} has tables already: a backup goes into an empty database, and never over another",
            into.place
        );
    }
    let found = read(file, Some(into)).await?;
    into.store.bring_up_to_date(into.place).await?;
    if !into.nothing_since {
        // The columns for it may be newer than the backup.
        let mut transaction = into.store.begin().await?;
        restored::settle(&mut transaction, found.0.made_at_unix_s, unix_now()).await?;
        transaction.commit().await.context("cannot finish")?;
    }
    Ok(found)
}

async fn read(path: &Path, into: Option<&Restore<'_>>) -> anyhow::Result<(Head, End)> {
    let mut file = std::fs::File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    file.rewind()?;
    let mut tar = tar::Archive::new(std::io::BufReader::new(file));
    let (mut digest, mut seen) = (Running::new(), Seen::default());
    let (mut head, mut filling): (Option<Head>, Option<Filling>) = (None, None);
    for entry in tar.entries()? {
        let mut entry = entry.with_context(|| cut(path))?;
        let name = entry.path()?.to_string_lossy().into_owned();
        let length = entry.size();
        if name == "end.json" {
            let end: End = serde_json::from_slice(&whole(&mut entry, length)?)?;
            let found = End { rows: seen.rows, blobs: seen.blobs, sha256: digest.finish() };
            if end != found {
                bail!("{} was altered or damaged: take another backup", path.display());
            }
            if let Some(mut filling) = filling {
                restored::forget_place(filling.connection()).await?;
                filling.commit().await?;
            }
            return Ok((head.with_context(|| cut(path))?, end));
        }
        digest.begin(&name, length);
        let mut content = Through { inner: &mut entry, digest: &mut digest };
        if name == "backup.json" {
            let found: Head = serde_json::from_slice(&whole(&mut content, length)?)?;
            if found.format != FORMAT {
                bail!(
                    "{} is of format {}, this center knows {FORMAT}: take a newer keros-center",
                    path.display(),
                    found.format
                );
            }
            if let Some(into) = into {
                filling = Some(into.store.make_tables(into.place, &found.migrations).await?);
            }
            head = Some(found);
        } else if name.starts_with("rows/") {
            let rows: Rows = serde_json::from_slice(&whole(&mut content, length)?)
                .with_context(|| format!("{name} of the backup cannot be read"))?;
            *seen.rows.entry(rows.table.clone()).or_default() += rows.rows.len() as u64;
            if let Some(filling) = &mut filling {
                filling.put(&rows).await?;
            }
        } else if let Some(hex) = name.strip_prefix("blobs/") {
            seen.blobs += 1;
            let blob = Digest::from_hex(hex).ok().with_context(|| format!("{name} is no name of a blob"))?;
            take_blob(&mut content, blob, into.map(|into| into.blobs.as_path()))?;
        } else {
            bail!(
                "{} has a file {name:?}, which this center does not know: take a newer keros-center",
                path.display()
            );
        }
    }
    bail!(cut(path))
}

fn cut(path: &Path) -> String {
    format!("{} is no backup, or its end is missing: take another one", path.display())
}

fn whole(content: &mut impl Read, length: u64) -> anyhow::Result<Vec<u8>> {
    if length > MAX_PART_BYTES {
        bail!("a part of the backup has {length} bytes, at most {MAX_PART_BYTES} are read");
    }
    let mut bytes = Vec::new();
    content.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// Keeps a blob, or only reads it; either way it is what its name says.
fn take_blob(content: &mut impl Read, digest: Digest, folder: Option<&Path>) -> anyhow::Result<()> {
    let mut running = ring::digest::Context::new(&ring::digest::SHA256);
    let target = folder.map(|folder| blob_path(folder, digest));
    let mut file = match target.as_deref().and_then(Path::parent) {
        Some(parent) => {
            files::create_private_folder(parent)?;
            Some(tempfile::NamedTempFile::new_in(parent)?)
        }
        None => None,
    };
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = content.read(&mut buffer)?;
        let bytes = buffer.get(..read).unwrap_or_default();
        if bytes.is_empty() {
            break;
        }
        running.update(bytes);
        if let Some(file) = &mut file {
            std::io::Write::write_all(file, bytes)?;
        }
    }
    let found: String = running.finish().as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    if found != digest.hex() {
        bail!("blob {} of the backup has other bytes", digest.hex());
    }
    if let (Some(file), Some(target)) = (file, target) {
        file.as_file().sync_all()?;
        file.persist(&target).with_context(|| format!("cannot keep {}", target.display()))?;
    }
    Ok(())
}
