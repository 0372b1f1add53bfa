//! Writes a backup while the center may be serving: rows as they are at one moment, then the files that they name.

use std::io::{self, Read, Write as _};
use std::path::Path;

use anyhow::{Context as _, bail};

use super::digest::{Running, Through};
use super::{End, FORMAT, Head, PART_SIZE};
use crate::links::blob_path;
use crate::service::unix_now;
use crate::store::{Rows, Snapshot, Store, StoreError};

struct File {
    tar: tar::Builder<io::BufWriter<tempfile::NamedTempFile>>,
    digest: Running,
}

impl File {
    fn add(&mut self, name: &str, length: u64, content: impl Read) -> anyhow::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_size(length);
        header.set_mode(0o600);
        self.digest.begin(name, length);
        let content = Through { inner: content.take(length), digest: &mut self.digest };
        self.tar
            .append_data(&mut header, name, content)
            .with_context(|| format!("cannot write {name} into the backup"))
    }

    fn add_json(&mut self, name: &str, value: &impl serde::Serialize) -> anyhow::Result<()> {
        let bytes = serde_json::to_vec(value)?;
        self.add(name, bytes.len() as u64, bytes.as_slice())
    }
}

/// Writes the backup of an open database to `target`, which must not be there. All of it is on the disk when it returns.
///
/// # Errors
/// When something cannot be read or written: then there is no file.
pub(crate) async fn write(store: &Store, blobs: &Path, target: &Path) -> anyhow::Result<End> {
    if target.exists() {
        bail!("{} is there already: name another file, a backup is never written over", target.display());
    }
    let folder =
        target.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    let file = tempfile::NamedTempFile::new_in(folder)
        .with_context(|| format!("cannot write in {}", folder.display()))?;
    let mut file = File { tar: tar::Builder::new(io::BufWriter::new(file)), digest: Running::new() };
    let mut snapshot = store.snapshot().await?;
    let migrations = snapshot.versions().await?;
    let head = Head {
        format: FORMAT,
        center_version: env!("CARGO_PKG_VERSION").to_owned(),
        made_at_unix_s: unix_now(),
        migrations,
    };
    file.add_json("backup.json", &head)?;
    let mut end = End { rows: std::collections::BTreeMap::new(), blobs: 0, sha256: String::new() };
    for table in snapshot.tables().await? {
        let count = rows(&mut file, &mut snapshot, &table).await?;
        if count > 0 {
            end.rows.insert(table, count);
        }
    }
    for digest in snapshot.blobs().await? {
        let path = blob_path(blobs, digest);
        let content = match std::fs::File::open(&path) {
            Ok(content) => content,
            Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
                "{} is missing, which a Magic Link names: was the link removed just now? Then try again; else put the link into the center once more",
                path.display()
            ),
            Err(error) => return Err(error).with_context(|| format!("cannot open {}", path.display())),
        };
        let length = content.metadata()?.len();
        file.add(&format!("blobs/{}", digest.hex()), length, content)?;
        end.blobs += 1;
    }
    let File { mut tar, digest } = file;
    end.sha256 = digest.finish();
    let bytes = serde_json::to_vec(&end)?;
    let mut header = tar::Header::new_ustar();
    header.set_size(bytes.len() as u64);
    header.set_mode(0o600);
    tar.append_data(&mut header, "end.json", bytes.as_slice())
        .context("cannot write the end of the backup")?;
    let mut buffered = tar.into_inner().context("cannot write the end of the backup")?;
    buffered.flush().context("cannot write the backup")?;
    let file = buffered.into_inner().map_err(io::IntoInnerError::into_error)?;
    file.as_file().sync_all().context("cannot write the backup")?;
    file.persist_noclobber(target).with_context(|| format!("cannot name the backup {}", target.display()))?;
    std::fs::File::open(folder)?.sync_all()?;
    Ok(end)
}

async fn rows(file: &mut File, snapshot: &mut Snapshot, table: &str) -> anyhow::Result<u64> {
    let (mut count, mut part) = (0, 0_u64);
    let take = |rows: &Rows| -> Result<(), Failed> {
        count += rows.rows.len() as u64;
        part += 1;
        file.add_json(&format!("rows/{table}/{part:08}.json"), rows).map_err(Failed)
    };
    snapshot.rows(table, PART_SIZE, take).await.map_err(|failed| failed.0)?;
    Ok(count)
}

struct Failed(anyhow::Error);

impl From<StoreError> for Failed {
    fn from(error: StoreError) -> Self {
        Self(error.into())
    }
}
