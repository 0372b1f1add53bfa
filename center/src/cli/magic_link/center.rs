//! `magic-link list|remove|collect|sign`: what the center does.

use std::io::Write;

use anyhow::Context as _;

use super::arguments::SignArguments;
use super::place::Hash;
use crate::api::{CollectLinks, LinkView, RemovedLinks, SendOptions, SignLink, SignedLink};
use crate::cli::client::Client;
use crate::cli::text::{ago, printable, table};
use crate::cli::{Ended, print_json};
use crate::files::write_private;

pub(super) fn list(client: &Client, json: bool, out: &mut dyn Write) -> anyhow::Result<Ended> {
    let views: Vec<LinkView> = client.get("/magic-links")?;
    if json {
        return print_json(out, &views);
    }
    if views.is_empty() {
        writeln!(
            out,
            "The center has no Magic Link yet: `keros-center magic-link create DIR --gateways FILE` makes one."
        )?;
        return Ok(Ended::Done);
    }
    write!(out, "{}", links(&views))?;
    Ok(Ended::Done)
}

fn links(views: &[LinkView]) -> String {
    let rows: Vec<[String; 7]> = views
        .iter()
        .map(|view| {
            [
                view.digest.to_string(),
                printable(&view.name),
                ago(view.created_at_unix_s),
                view.file_count.to_string(),
                view.size_bytes.to_string(),
                view.gateway_count.to_string(),
                view.expires_at_unix_s.map_or_else(|| "never".to_owned(), |end| ago(Some(end))),
            ]
        })
        .collect();
    table(["MAGIC LINK", "NAME", "UPLOADED", "FILES", "BYTES", "DECLARED", "EXPIRES"], &rows)
}

pub(super) fn remove(client: &Client, hash: &Hash, json: bool, out: &mut dyn Write) -> anyhow::Result<Ended> {
    let removed: RemovedLinks = client.remove(&format!("/magic-links/{}", hash.digits()))?;
    tell_removed(&removed, json, out)
}

pub(super) fn collect(
    client: &Client,
    older_than_s: u32,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    let order = CollectLinks { older_than_s: older_than_s.into() };
    let removed: RemovedLinks = client.post("/magic-links/collect", &order)?;
    tell_removed(&removed, json, out)
}

fn tell_removed(removed: &RemovedLinks, json: bool, out: &mut dyn Write) -> anyhow::Result<Ended> {
    if json {
        return print_json(out, removed);
    }
    let RemovedLinks { links, blobs, bytes } = removed;
    writeln!(out, "Removed: {links} Magic Links, {blobs} blobs, {bytes} bytes.")?;
    Ok(Ended::Done)
}

pub(super) fn sign(
    client: &Client,
    arguments: &SignArguments,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    let order = SignLink {
        eui: arguments.gateway.to_string(),
        limits: keros_protocol::JobLimits::default(),
        options: SendOptions { dry_run: arguments.dry_run, confirm_window_s: arguments.confirm_window },
        expires_in_s: Some(arguments.expires.into()),
    };
    let signed: SignedLink =
        client.post(&format!("/magic-links/{}/sign", arguments.hash.digits()), &order)?;
    let envelope = serde_json::to_string(&signed.envelope)? + "\n";
    let update = signed.update.update_id;
    if let Some(path) = &arguments.output {
        write_private(path, envelope.as_bytes()).with_context(|| {
            format!("cannot write {}; the update {update} was made all the same: cancel it", path.display())
        })?;
    }
    if json {
        return print_json(out, &signed);
    }
    if arguments.output.is_none() {
        out.write_all(envelope.as_bytes())?;
    }
    writeln!(std::io::stderr(), "What becomes of it: keros-center update show {update}")?;
    Ok(Ended::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::magic_link::show::tests::view;

    #[test]
    fn links_are_told_in_a_line_each() {
        let mut view = view();
        view.created_at_unix_s = None;
        let expected = "\
MAGIC LINK                                                               NAME           UPLOADED  FILES  BYTES  DECLARED  EXPIRES
sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881  forwarder 4.2  never     2      1043   2         never
";
        assert_eq!(links(&[view]), expected);
    }

    #[test]
    fn what_was_removed_is_counted() {
        let mut out = Vec::new();
        tell_removed(&RemovedLinks { links: 2, blobs: 5, bytes: 1000 }, false, &mut out).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "Removed: 2 Magic Links, 5 blobs, 1000 bytes.\n");
    }
}
