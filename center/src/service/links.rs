//! The store of Magic Links: what is put in, shown and removed. Blobs are files, links are rows; a row is only made while all its blobs
//! are there and none is being removed.

use std::sync::Arc;

use keros_protocol::magic_link::{Descriptor, Digest, LinkConfig, MagicLink, Manifest};
use keros_protocol::{Job, UnixSeconds};
use sqlx::AnyConnection;

use super::audit::{What, audit};
use super::center::{Center, in_thread};
use super::customers::customer_for;
use super::order::{OrderError, invalid, judge_findings};
use super::views;
use crate::access::{Action, Caller, CustomerId, Visible};
use crate::api::{LinkView, RemovedLinks};
use crate::bounds::{MAX_LINKS, UNNAMED_BLOB_AGE};
use crate::bundle;
use crate::links::{Blobs, Links, Removing, Upload};
use crate::store::{LinkRow, StoreError, links};

/// Missing blobs that a problem names.
const MAX_MISSING_NAMED: usize = 20;

/// Updates of a link that are shown.
const MAX_UPDATES_SHOWN: u32 = 100;

/// Fewest hex digits that name a link.
const MIN_DIGITS: usize = 8;

impl Center {
    /// What Magic Links are made of.
    pub(crate) fn links(&self) -> &Arc<Links> {
        &self.links
    }

    /// Puts a link into the store for a customer, after its blobs; whether it is new there.
    pub(crate) async fn put_link(
        &self,
        caller: &Caller,
        customer: Option<&str>,
        digest: Digest,
        manifest: Vec<u8>,
        now: UnixSeconds,
    ) -> Result<(LinkView, bool), OrderError> {
        let customer =
            customer_for(&mut *self.store.read().await?, caller, customer, Action::EditLinks).await?;
        let store = Arc::clone(&self.links);
        let (row, blobs) = in_thread(move || take(&store.blobs, digest, &manifest, now)).await?;
        let held = self.links.blobs.removing().await;
        // Since the check they may have been removed.
        require_blobs(&self.links.blobs, &blobs)?;
        let mut transaction = self.store.begin().await?;
        if !links::exists(&mut transaction, digest).await? {
            if links::total(&mut transaction).await? >= MAX_LINKS {
                return Err(OrderError::Conflict(format!(
                    "there are {MAX_LINKS} Magic Links: remove some with `keros-center magic-link collect`"
                )));
            }
            links::create(&mut transaction, &row, &blobs).await?;
        }
        let is_new = links::give(&mut transaction, digest, customer.id).await?;
        if is_new {
            audit(&mut transaction, caller, Action::EditLinks, what(&row, customer.id, "put in")).await?;
        }
        transaction.commit().await.map_err(StoreError::from)?;
        for blob in &blobs {
            self.links.blobs.settle(blob.digest, &held)?;
        }
        drop(held);
        tracing::info!(%digest, name = row.name, is_new, "a Magic Link is in the store");
        Ok((self.link(caller, &digest.to_string()).await?, is_new))
    }

    /// The links that the caller may see, newest first.
    pub(crate) async fn list_links(&self, caller: &Caller) -> Result<Vec<LinkView>, OrderError> {
        let visible = caller.where_may(Action::SeeLinks);
        let rows = links::list(&mut *self.store.read().await?, &visible).await?;
        Ok(rows.into_iter().map(views::link).collect())
    }

    /// One link by its digest, or by the first of its hex digits.
    pub(crate) async fn link(&self, caller: &Caller, name: &str) -> Result<LinkView, OrderError> {
        let row = self.find_link(caller, name, Action::SeeLinks).await?;
        let visible = caller.where_may(Action::SeeUpdates);
        let mut connection = self.store.read().await?;
        let updates = links::updates(&mut connection, row.digest, &visible, MAX_UPDATES_SHOWN).await?;
        drop(connection);
        let link = self.read_link(row.digest).await?;
        let created_at_unix_s = Some(row.created_at);
        Ok(LinkView { created_at_unix_s, updates, ..LinkView::new(row.digest, &link) })
    }

    /// The length of a blob, if this link is in the store and names it. A link names its own manifest too.
    pub(crate) async fn named_blob(&self, link: Digest, blob: Digest) -> Result<Option<u64>, StoreError> {
        links::named(&mut *self.store.read().await?, link, blob).await
    }

    /// Refuses a blob that only other customers' links name. One that no link names yet may be on its way to anybody's.
    pub(crate) async fn require_blob(&self, caller: &Caller, blob: Digest) -> Result<(), OrderError> {
        caller.require_somewhere(Action::SeeLinks)?;
        let visible = caller.where_may(Action::SeeLinks);
        let mut connection = self.store.read().await?;
        if links::is_named_for(&mut connection, blob, &visible).await?
            || !links::is_named(&mut connection, blob).await?
        {
            return Ok(());
        }
        Err(OrderError::NotFound(format!("there is no blob {blob}")))
    }

    /// The row of the one link of this name among those that the caller sees; he may do this to it.
    pub(super) async fn find_link(
        &self,
        caller: &Caller,
        name: &str,
        action: Action,
    ) -> Result<LinkRow, OrderError> {
        caller.require_somewhere(action)?;
        let hex = name.strip_prefix("sha256:").unwrap_or(name);
        let is_hex = hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        if !(MIN_DIGITS..=64).contains(&hex.len()) || !is_hex {
            return Err(invalid(format!(
                "a Magic Link is named by its hash, sha256: and 64 hex digits, or by {MIN_DIGITS} or more of the first of them"
            )));
        }
        let mut found = {
            let beginning = format!("sha256:{hex}");
            links::find(&mut *self.store.read().await?, &beginning, &caller.where_may(action)).await?
        };
        match (found.pop(), found.is_empty()) {
            (Some(row), true) => Ok(row),
            (Some(_), false) => {
                Err(OrderError::Conflict(format!("more than one Magic Link begins with {hex}")))
            }
            (None, _) => Err(no_link(name)),
        }
    }

    /// Manifest and config of a link that is in the store.
    pub(super) async fn read_link(&self, digest: Digest) -> Result<MagicLink, OrderError> {
        let store = Arc::clone(&self.links);
        in_thread(move || {
            let bytes = store.blobs.read(digest)?;
            let manifest = Manifest::parse(&bytes).map_err(|refusal| invalid(refusal.to_string()))?;
            read(&store.blobs, manifest)
        })
        .await
    }

    /// Removes a link that no update under way runs. For customers that the caller may not change it stays.
    pub(crate) async fn remove_link(&self, caller: &Caller, name: &str) -> Result<RemovedLinks, OrderError> {
        let row = self.find_link(caller, name, Action::EditLinks).await?;
        let digest = row.digest;
        let held = self.links.blobs.removing().await;
        let mut transaction = self.store.begin().await?;
        let (mut taken, mut left) = (Vec::new(), false);
        for customer in links::customers(&mut transaction, digest).await? {
            if caller.may(Action::EditLinks, &customer) { taken.push(customer) } else { left = true }
        }
        if let Some(update_id) =
            links::open_update(&mut transaction, digest, &Visible::Only(taken.clone())).await?
        {
            return Err(OrderError::Conflict(format!(
                "update {update_id} runs this Magic Link and has not ended: cancel it first"
            )));
        }
        for customer in taken {
            links::take(&mut transaction, digest, customer).await?;
            audit(&mut transaction, caller, Action::EditLinks, what(&row, customer, "removed")).await?;
        }
        let blobs = if left { Vec::new() } else { links::remove(&mut transaction, digest).await? };
        transaction.commit().await.map_err(StoreError::from)?;
        self.remove_blobs(1, blobs, held).await
    }

    /// Removes the links that were last put in and sent up to this time, and that no update under way runs.
    pub(crate) async fn collect_links(
        &self,
        caller: &Caller,
        until: UnixSeconds,
    ) -> Result<RemovedLinks, OrderError> {
        caller.require_everywhere(Action::EditLinks)?;
        let held = self.links.blobs.removing().await;
        let mut transaction = self.store.begin().await?;
        let (mut count, mut blobs) = (0, Vec::new());
        for digest in links::collectable(&mut transaction, until).await? {
            blobs.extend(links::remove(&mut transaction, digest).await?);
            count += 1;
        }
        if count > 0 {
            let what = What::of_center("Magic Links", format!("{count} that are no longer used removed"));
            audit(&mut transaction, caller, Action::EditLinks, what).await?;
        }
        transaction.commit().await.map_err(StoreError::from)?;
        self.remove_blobs(count, blobs, held).await
    }

    /// Removes blobs that no link names and that nobody who uploads has asked for lately.
    pub(crate) async fn sweep(&self) -> Result<RemovedLinks, OrderError> {
        let mut sum = RemovedLinks::default();
        let store = Arc::clone(&self.links);
        let shards = in_thread(move || Ok(store.blobs.shards()?)).await?;
        for shard in shards {
            // Not held for all of it: uploads go on between.
            let held = self.links.blobs.removing().await;
            let blobs = in_thread(move || Ok(Blobs::in_shard(&shard)?)).await?;
            let removed = self.remove_blobs(0, blobs, held).await?;
            sum.blobs += removed.blobs;
            sum.bytes += removed.bytes;
        }
        Ok(sum)
    }

    /// Removes those of the blobs that no link names.
    async fn remove_blobs(
        &self,
        links: u32,
        blobs: Vec<Digest>,
        held: Removing,
    ) -> Result<RemovedLinks, OrderError> {
        let mut unnamed = Vec::new();
        let mut connection = self.store.read().await?;
        for digest in blobs {
            if !links::is_named(&mut connection, digest).await? {
                unnamed.push(digest);
            }
        }
        let store = Arc::clone(&self.links);
        in_thread(move || {
            let mut removed = RemovedLinks { links, ..RemovedLinks::default() };
            for digest in unnamed {
                if let Some(bytes) = store.blobs.remove_unwanted(digest, UNNAMED_BLOB_AGE, &held)? {
                    removed.blobs += 1;
                    removed.bytes += bytes;
                }
            }
            Ok(removed)
        })
        .await
    }
}

/// A job that runs a link of the center's own store needs that link, as one of the customer.
pub(super) async fn require_link(
    connection: &mut AnyConnection,
    job: &Job,
    customer: CustomerId,
) -> Result<(), OrderError> {
    match job {
        Job::MagicLink { digest, source, .. } if source.is_empty() => {
            if links::is_of(connection, *digest, customer).await? {
                Ok(())
            } else {
                Err(no_link(&digest.to_string()))
            }
        }
        _ => Ok(()),
    }
}

fn what(row: &LinkRow, customer: CustomerId, detail: &str) -> What {
    What::of(customer, format!("Magic Link {} {:?}", row.digest, row.name), detail)
}

fn no_link(name: &str) -> OrderError {
    OrderError::NotFound(format!(
        "there is no Magic Link {name} in the center's store: `keros-center magic-link list` lists them"
    ))
}

/// Checks a manifest and all that it names, as a gateway will, and keeps it as a blob.
fn take(
    blobs: &Blobs,
    digest: Digest,
    bytes: &[u8],
    now: UnixSeconds,
) -> Result<(LinkRow, Vec<Descriptor>), OrderError> {
    let found = Digest::of(bytes);
    if found != digest {
        return Err(invalid(format!("the manifest has the digest {found}, not {digest}")));
    }
    let manifest = Manifest::parse(bytes).map_err(|refusal| invalid(refusal.to_string()))?;
    let mut named = manifest.blobs();
    require_blobs(blobs, &named)?;
    let link = read(blobs, manifest)?;
    bundle::check::check(&link, |digest| blobs.path(digest)).or_else(judge_findings)?;
    let mut upload = Upload::begin(blobs, digest, Some(bytes.len() as u64))?;
    upload.write(bytes)?;
    upload.finish()?;
    named.push(Descriptor { digest, size: bytes.len() as u64 });
    Ok((row(digest, &link, now), named))
}

fn require_blobs(blobs: &Blobs, named: &[Descriptor]) -> Result<(), OrderError> {
    let mut missing = Vec::new();
    for blob in named {
        match blobs.length(blob.digest)? {
            None => missing.push(blob.digest.to_string()),
            Some(length) if length != blob.size => {
                let (digest, size) = (blob.digest, blob.size);
                return Err(invalid(format!(
                    "the manifest says that {digest} has {size} bytes, it has {length}"
                )));
            }
            Some(_) => {}
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let count = missing.len();
    missing.truncate(MAX_MISSING_NAMED);
    Err(OrderError::Conflict(format!(
        "{count} of its blobs are not here yet, put them to /api/v1/blobs/ first: {}",
        missing.join(", ")
    )))
}

fn read(blobs: &Blobs, manifest: Manifest) -> Result<MagicLink, OrderError> {
    let config = LinkConfig::parse(&blobs.read(manifest.config.digest)?);
    config.and_then(|config| MagicLink::new(manifest, config)).map_err(|refusal| invalid(refusal.to_string()))
}

fn row(digest: Digest, link: &MagicLink, now: UnixSeconds) -> LinkRow {
    let view = LinkView::new(digest, link);
    LinkRow {
        digest,
        name: view.name,
        description: view.description,
        keros: view.keros,
        models: view.models,
        expires_at: view.expires_at_unix_s,
        playbook: view.playbook,
        size_bytes: view.size_bytes,
        file_count: view.file_count,
        gateway_count: view.gateway_count,
        created_at: now,
    }
}
