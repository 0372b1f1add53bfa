//! `backup` and `restore`: on the files and the database themselves, whether the center serves or not.

use std::io::Write;

use anyhow::{Context as _, bail};

use super::Ended;
use super::arguments::storage::{BackupArguments, RestoreArguments, StorageArguments};
use super::database;
use crate::backup::{self, Restore};
use crate::store::{Store, sqlite_file};

const KEYS_ADVICE: &str = "Not in it: the signing keys, the authority and the passwords of the data folder. Without the keys no gateway obeys a \
                           restored center: keep a copy of them in a safe place.";

fn block_on<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(work)
}

fn blobs(storage: &StorageArguments) -> std::path::PathBuf {
    storage.links_folder.clone().unwrap_or_else(|| storage.data_folder.join("blobs"))
}

/// `backup`.
pub(super) fn backup(arguments: &BackupArguments, out: &mut dyn Write) -> anyhow::Result<Ended> {
    let storage = &arguments.storage;
    let url = database::url(&storage.database)?;
    let end = block_on(async {
        let (store, _) = Store::open_as_it_is(&storage.data_folder, url.as_deref(), false).await?;
        let end = backup::write(&store, &blobs(storage), &arguments.file).await;
        store.close().await;
        end
    })?;
    writeln!(out, "{}: {}", arguments.file.display(), end.text())?;
    writeln!(out, "{KEYS_ADVICE}")?;
    Ok(Ended::Done)
}

/// `restore`.
pub(super) fn restore(arguments: &RestoreArguments, out: &mut dyn Write) -> anyhow::Result<Ended> {
    if arguments.check {
        let (_, end) = block_on(backup::check(&arguments.file))?;
        writeln!(out, "{} is whole: {}", arguments.file.display(), end.text())?;
        return Ok(Ended::Done);
    }
    let storage = &arguments.storage;
    let url = database::url(&storage.database)?;
    crate::files::create_private_folder(&storage.data_folder)?;
    let (_, end) = match url {
        Some(url) => block_on(into(arguments, Some(&url)))?,
        None => into_file(arguments)?,
    };
    writeln!(out, "restored: {}", end.text())?;
    if !arguments.nothing_since {
        writeln!(
            out,
            "Commands that had no end are asked after, and those that had not been received are cancelled: docs/backup.md says why."
        )?;
    }
    Ok(Ended::Done)
}

async fn into(
    arguments: &RestoreArguments,
    url: Option<&str>,
) -> anyhow::Result<(backup::Head, backup::End)> {
    let storage = &arguments.storage;
    let (store, place) = Store::open_as_it_is(&storage.data_folder, url, true).await?;
    let into = Restore {
        store: &store,
        place: &place,
        blobs: blobs(storage),
        nothing_since: arguments.nothing_since,
    };
    let found = backup::restore(&arguments.file, &into).await;
    store.close().await;
    found
}

/// Beside the file's own name, which it gets when all is in it: what broke off is never taken for the database.
fn into_file(arguments: &RestoreArguments) -> anyhow::Result<(backup::Head, backup::End)> {
    let target = sqlite_file(&arguments.storage.data_folder);
    if target.exists() {
        bail!(
            "{} is there already: a backup goes into an empty data folder, and never over another",
            target.display()
        );
    }
    let folder = tempfile::tempdir_in(&arguments.storage.data_folder)?;
    let storage = StorageArguments {
        links_folder: Some(blobs(&arguments.storage)),
        data_folder: folder.path().to_owned(),
        ..arguments.storage.clone()
    };
    let found = block_on(into(&RestoreArguments { storage, ..arguments.clone() }, None))?;
    std::fs::File::open(sqlite_file(folder.path()))?.sync_all()?;
    std::fs::rename(sqlite_file(folder.path()), &target)
        .with_context(|| format!("cannot name {}", target.display()))?;
    std::fs::File::open(&arguments.storage.data_folder)?.sync_all()?;
    Ok(found)
}
