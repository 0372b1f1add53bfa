//! `magic-link export|import|push|pull`: from one place to another, never through a copy in between.

use std::io::Write;
use std::path::Path;
use std::rc::Rc;

use anyhow::Context as _;
use keros_protocol::magic_link::Digest;

use super::arguments::RegistryArguments;
use super::place::Hash;
use super::progress::Progress;
use super::upload;
use crate::api::LinkView;
use crate::bundle::distribution::{Login, Reference, Repository, Trust, Version};
use crate::bundle::{self, Blobs, Bundle, Image};
use crate::cli::client::Client;
use crate::cli::{Ended, print_json};
use crate::settings::read_secret;

pub(super) fn export(
    client: &Client,
    hash: &Hash,
    output: &Path,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    let bundle = of_center(client, hash)?;
    bundle::write(&bundle, output)?;
    let view = LinkView::new(bundle.digest, &bundle.link);
    tell(&view, &format!("Written to {}.", output.display()), json, out)
}

pub(super) fn import(
    client: &Client,
    input: &Path,
    hash: Option<&Hash>,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    let bundle = Image::open(input)?.bundle(hash.map(Hash::digits))?;
    tell(&upload::run(client, &bundle)?, "The center has it.", json, out)
}

pub(super) fn push(
    client: &Client,
    hash: &Hash,
    to: &Reference,
    registry: &RegistryArguments,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    let bundle = of_center(client, hash)?;
    let version = to.version.clone().unwrap_or(Version::Digest(bundle.digest));
    if let Version::Digest(digest) = version
        && digest != bundle.digest
    {
        anyhow::bail!("it is {}: name a tag, or no version at all", bundle.digest);
    }
    let repository = repository(to, registry)?;
    let mut missing = Vec::new();
    for blob in bundle.link.manifest.blobs() {
        if !repository.has(blob.digest)? {
            missing.push(blob);
        }
    }
    let mut progress = Progress::new("pushing", missing.iter().map(|blob| blob.size).sum());
    for blob in missing {
        repository.put_blob(blob, &mut progress.watch(bundle.blob(blob)?))?;
    }
    progress.end();
    repository.put_manifest(&version, &bundle.manifest)?;
    let view = LinkView::new(bundle.digest, &bundle.link);
    let next = format!("Gateways get it from there by --source {}", to.source(registry.plain_http));
    tell(&view, &next, json, out)
}

pub(super) fn pull(
    client: &Client,
    from: &Reference,
    registry: &RegistryArguments,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    let repository = repository(from, registry)?;
    let digest = match &from.version {
        None => anyhow::bail!("name a version: {0}/{1}:TAG or {0}/{1}@sha256:HASH", from.registry, from.name),
        Some(Version::Digest(digest)) => *digest,
        Some(tag) => Digest::of(&repository.manifest_of(tag)?),
    };
    let bundle = Bundle::open(digest, Blobs::Remote(Rc::new(repository)))?;
    tell(&upload::run(client, &bundle)?, "The center has it.", json, out)
}

/// The hash alone on standard output, for scripts.
fn tell(view: &LinkView, next: &str, json: bool, out: &mut dyn Write) -> anyhow::Result<Ended> {
    if json {
        return print_json(out, view);
    }
    writeln!(out, "{}", view.digest)?;
    writeln!(std::io::stderr(), "{next}")?;
    Ok(Ended::Done)
}

fn of_center(client: &Client, hash: &Hash) -> anyhow::Result<Bundle> {
    let view: LinkView = client.get(&format!("/magic-links/{}", hash.digits()))?;
    Ok(Bundle::open(view.digest, Blobs::Remote(Rc::new(client.clone())))?)
}

fn repository(reference: &Reference, arguments: &RegistryArguments) -> anyhow::Result<Repository> {
    let login = match arguments.username.clone().zip(arguments.password_file.as_ref()) {
        None => None,
        Some((user, file)) => {
            let text = read_secret(file)?;
            let password = text.lines().next().map(str::to_owned);
            let password = password.filter(|password| !password.is_empty());
            Some(Login {
                user,
                password: password.with_context(|| format!("no password in {}", file.display()))?,
            })
        }
    };
    let trust = Trust { ca_file: arguments.ca.clone(), plain_http: arguments.plain_http };
    Ok(Repository::new(reference, trust, login)?)
}
