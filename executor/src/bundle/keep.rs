//! What stays of bundles whose jobs have ended. Undoing needs none of them: a copy that is kept only saves making it again when the same
//! link comes with another command. The one that no job has used for longest goes first.

use std::collections::BTreeSet;

use keros_protocol::limits::MAX_MANIFEST_BYTES;
use keros_protocol::magic_link::{Digest, Manifest};

use super::Store;
use crate::exit::Failure;
use crate::state::State;

/// What the smallest file, and a folder, take of a disk.
const BLOCK_BYTES: u64 = 4096;

/// Keeps no more than so many bytes of them, and none that was never completed. Only for the holder of the run lock, when every job
/// has its end; `used` is about to be used again.
pub(crate) fn tidy(state: &State, most_bytes: u64, used: Option<Digest>) -> Result<(), Failure> {
    Store::of(state.disk(), state.folder()).remove_unborn()?;
    remove_while(state, used, |kept_bytes| kept_bytes > most_bytes)
}

/// Removes as many as it takes for so many bytes to be free; `false` when that was not enough.
pub(super) fn make_room(state: &State, wanted_bytes: u64, used: Digest) -> Result<bool, Failure> {
    let is_short = || state.host().free_bytes(state.folder()).is_some_and(|free| free < wanted_bytes);
    remove_while(state, Some(used), |_| is_short())?;
    Ok(!is_short())
}

fn remove_while(
    state: &State,
    used: Option<Digest>,
    is_too_much: impl Fn(u64) -> bool,
) -> Result<(), Failure> {
    let store = Store::of(state.disk(), state.folder());
    let mut kept = Vec::new();
    for digest in store.digests()?.into_iter().filter(|digest| Some(*digest) != used) {
        match size(&store, digest) {
            Some(bytes) => kept.push((digest, bytes)),
            None => store.remove(digest)?,
        }
    }
    let mut total = kept.iter().map(|(_, bytes)| bytes).sum();
    if kept.is_empty() || !is_too_much(total) {
        return Ok(());
    }
    let order = by_last_use(state)?;
    // Those that no job is known of first, then the ones used longest ago.
    let age = |digest| order.iter().position(|used| *used == digest).unwrap_or(usize::MAX);
    kept.sort_by_key(|(digest, _)| std::cmp::Reverse(age(*digest)));
    for (digest, bytes) in kept {
        if !is_too_much(total) {
            break;
        }
        store.remove(digest)?;
        total -= bytes;
    }
    Ok(())
}

/// Bytes that it takes; `None` when it cannot be read any more.
fn size(store: &Store<'_>, digest: Digest) -> Option<u64> {
    let path = store.of_link(digest).join("manifest.json");
    let manifest = store.disk.read(&path, MAX_MANIFEST_BYTES as u64).ok()?;
    Manifest::parse(&manifest).ok().map(|manifest| disk_bytes(&manifest))
}

/// What a copy of these files takes of the disk: many small files take far more than their bytes.
pub(super) fn disk_bytes(manifest: &Manifest) -> u64 {
    let folders: BTreeSet<&str> = manifest.files.iter().flat_map(|file| file.title.folders()).collect();
    let block = |bytes: u64| bytes.max(1).next_multiple_of(BLOCK_BYTES);
    let files: u64 = manifest.files.iter().map(|file| block(file.blob.size)).sum();
    files + folders.len() as u64 * BLOCK_BYTES
}

/// The links that jobs have run, the last one first.
fn by_last_use(state: &State) -> Result<Vec<Digest>, Failure> {
    let commands = state.jobs()?.into_iter().rev().filter_map(|job| job.command());
    Ok(commands.filter_map(|command| command.job.link()).collect())
}
