//! `magic-link show`.

use std::io::Write;

use super::place::Place;
use crate::api::LinkView;
use crate::bundle::Image;
use crate::cli::client::{Client, ClientError};
use crate::cli::text::{ago, printable, table, utc};
use crate::cli::{Ended, print_json};

/// Gateways shown in text; `--json` has all.
const SHOWN_GATEWAYS: usize = 20;

pub(super) fn run(
    connect: impl Fn() -> Result<Client, ClientError>,
    place: &Place,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    let view: LinkView = match place {
        Place::Center(hash) => connect()?.get(&format!("/magic-links/{}", hash.digits()))?,
        Place::Here(path) => {
            let bundle = Image::open(path)?.bundle(None)?;
            LinkView::new(bundle.digest, &bundle.link)
        }
    };
    if json { print_json(out, &view) } else { show(&view, out) }
}

fn show(view: &LinkView, out: &mut dyn Write) -> anyhow::Result<Ended> {
    writeln!(out, "{}: {}", printable(&view.name), view.digest)?;
    if !view.description.is_empty() {
        writeln!(out, "{}", printable(&view.description))?;
    }
    let keros = view.keros.as_ref().map_or_else(|| "any".to_owned(), ToString::to_string);
    let models = if view.models.is_empty() { "any".to_owned() } else { view.models.join(", ") };
    let expires = view
        .expires_at_unix_s
        .map_or_else(|| "never".to_owned(), |end| format!("{} ({})", utc(end), ago(Some(end))));
    writeln!(out, "KerOS: {keros}; models: {models}; expires: {expires}")?;
    writeln!(out, "Declared: {}", gateways(view))?;
    if let Some(created) = view.created_at_unix_s {
        writeln!(
            out,
            "Uploaded {} ({}); named by {} updates",
            utc(created),
            ago(Some(created)),
            view.updates.len()
        )?;
    }
    writeln!(out, "Runs {}; {} bytes in all\n", printable(view.playbook.as_str()), view.size_bytes)?;
    let rows: Vec<[String; 4]> = view
        .files
        .iter()
        .map(|file| {
            let program = if file.executable { "program" } else { "" };
            let digest = file.digest.hex()[..12].to_owned();
            [printable(file.title.as_str()), file.size_bytes.to_string(), program.to_owned(), digest]
        })
        .collect();
    write!(out, "{}", table(["FILE", "BYTES", "", "SHA-256"], &rows))?;
    Ok(Ended::Done)
}

fn gateways(view: &LinkView) -> String {
    let shown: Vec<String> = view.gateways.iter().take(SHOWN_GATEWAYS).map(ToString::to_string).collect();
    match view.gateways.len().checked_sub(SHOWN_GATEWAYS) {
        None | Some(0) => shown.join(", "),
        Some(more) => format!("{} and {more} more", shown.join(", ")),
    }
}
