//! `magic-link show`.

use std::io::{self, Read as _, Write};
use std::rc::Rc;

use keros_protocol::Eui;
use keros_protocol::limits::MAX_SCRIPT_BYTES;

use super::place::Place;
use crate::api::LinkView;
use crate::bundle::{Blobs, Bundle, Image};
use crate::cli::client::{Client, ClientError, path_part};
use crate::cli::text::{ago, printable, printable_lines, table, utc};
use crate::cli::{Ended, print_json};

/// Gateways shown in text; `--json` has all.
const SHOWN_GATEWAYS: usize = 20;

pub(super) fn run(
    connect: impl Fn() -> Result<Client, ClientError>,
    place: &Place,
    group: Option<&str>,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    let view: LinkView = match (place, group) {
        (Place::Center(hash), None) => connect()?.get(&format!("/magic-links/{}", hash.digits()))?,
        (Place::Center(hash), Some(group)) => {
            connect()?.get(&format!("/magic-links/{}?group={}", hash.digits(), path_part(group)))?
        }
        (Place::Here(path), None) => {
            let bundle = Image::open(path)?.bundle(None)?;
            LinkView::new(bundle.digest, &bundle.link)
        }
        (Place::Here(_), Some(_)) => {
            anyhow::bail!(
                "only the center knows the gateways of a group: import the Magic Link, then show it by its hash"
            )
        }
    };
    if json {
        return print_json(out, &view);
    }
    show(&view, out)?;
    Ok(Ended::Done)
}

/// Prints the playbook instead.
pub(super) fn playbook(
    connect: impl Fn() -> Result<Client, ClientError>,
    place: &Place,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    let bundle = match place {
        Place::Here(path) => Image::open(path)?.bundle(None)?,
        Place::Center(hash) => {
            let client = connect()?;
            let view: LinkView = client.get(&format!("/magic-links/{}", hash.digits()))?;
            Bundle::open(view.digest, Blobs::Remote(Rc::new(client)))?
        }
    };
    let playbook = &bundle.link.config.playbook;
    if let Some(file) = bundle.link.manifest.files.iter().find(|file| file.title == *playbook) {
        let mut text = String::new();
        bundle.blob(file.blob)?.take(MAX_SCRIPT_BYTES as u64).read_to_string(&mut text)?;
        for line in printable_lines(&text) {
            writeln!(out, "{line}")?;
        }
    }
    Ok(Ended::Done)
}

fn show(view: &LinkView, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "{}: {}", printable(&view.name), view.digest)?;
    if !view.description.is_empty() {
        writeln!(out, "{}", printable(&view.description))?;
    }
    let keros = view.keros.as_ref().map_or_else(|| "any".to_owned(), ToString::to_string);
    let models = if view.models.is_empty() { "any".to_owned() } else { view.models.join(", ") };
    let expires = view
        .expires_at_unix_s
        .map_or_else(|| "never".to_owned(), |end| format!("{} ({})", utc(end), ago(Some(end))));
    writeln!(out, "KerOS: {}; models: {}; expires: {expires}", printable(&keros), printable(&models))?;
    writeln!(out, "Declared: {}", some(&view.gateways))?;
    if let Some(created) = view.created_at_unix_s {
        writeln!(out, "Uploaded {} ({})", utc(created), ago(Some(created)))?;
    }
    for id in &view.updates {
        writeln!(out, "Sent by update {id}")?;
    }
    if let (Some(not_declared), Some(not_compatible)) = (&view.not_declared, &view.not_compatible) {
        writeln!(out, "{}", refusing(not_declared, not_compatible))?;
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
    write!(out, "{}", table(["FILE", "BYTES", "", "SHA-256"], &rows))
}

/// Which gateways of a group would refuse a link.
pub(crate) fn refusing(not_declared: &[Eui], not_compatible: &[Eui]) -> String {
    let mut parts = Vec::new();
    for (what, gateways) in [("not declared", not_declared), ("not compatible", not_compatible)] {
        if !gateways.is_empty() {
            parts.push(format!("{what}: {}", some(gateways)));
        }
    }
    if parts.is_empty() {
        return "No gateway of the group would refuse it, by what they last told.".to_owned();
    }
    format!("Gateways of the group that would refuse it, by what they last told: {}", parts.join("; "))
}

fn some(list: &[impl ToString]) -> String {
    let shown: Vec<String> = list.iter().take(SHOWN_GATEWAYS).map(ToString::to_string).collect();
    match list.len().checked_sub(SHOWN_GATEWAYS) {
        None | Some(0) => shown.join(", "),
        Some(more) => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in crate::cli::magic_link) fn view() -> LinkView {
        let digest = "sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881";
        serde_json::from_value(serde_json::json!({
            "digest": digest,
            "name": "forwarder 4.2",
            "description": "Packet forwarder\u{1b}[2J for the north",
            "gateways": ["7076FF*", "7276FF0056070124"],
            "gateway_count": 2,
            "keros": ">=6.2, <7",
            "models": ["wiis", "fevo"],
            "playbook": "site.yml",
            "size_bytes": 1043,
            "files": [
                {"title": "files/start.sh", "size_bytes": 43, "digest": digest, "executable": true},
                {"title": "site.yml", "size_bytes": 1000, "digest": digest},
            ],
            "file_count": 2,
        }))
        .unwrap()
    }

    fn text(view: &LinkView) -> String {
        let mut out = Vec::new();
        show(view, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_link_is_told_with_its_conditions_and_files() {
        let expected = "\
forwarder 4.2: sha256:2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881
Packet forwarder\\u{1b}[2J for the north
KerOS: >=6.2, <7; models: wiis, fevo; expires: never
Declared: 7076FF*, 7276FF0056070124
Runs site.yml; 1043 bytes in all

FILE            BYTES           SHA-256
files/start.sh  43     program  2d711642b726
site.yml        1000            2d711642b726
";
        assert_eq!(text(&view()), expected);
    }

    #[test]
    fn a_link_of_the_center_tells_more() {
        let mut view = view();
        view.expires_at_unix_s = Some(4_102_444_800);
        view.created_at_unix_s = Some(951_782_399);
        view.updates = vec!["01920000-0000-7000-8000-000000000002".parse().unwrap()];
        let eui = |number: u64| Eui::from_u64(0x7076_FF00_5607_0100 + number);
        view.not_declared = Some((0..23).map(eui).collect());
        view.not_compatible = Some(vec![eui(99)]);
        let text = text(&view);
        assert!(text.contains("expires: 2100-01-01T00:00:00Z (in "), "{text}");
        assert!(text.contains("Uploaded 2000-02-28T23:59:59Z ("), "{text}");
        assert!(text.contains("\nSent by update 01920000-0000-7000-8000-000000000002\n"), "{text}");
        assert!(
            text.contains("would refuse it, by what they last told: not declared: 7076FF0056070100,"),
            "{text}"
        );
        assert!(text.contains(" and 3 more; not compatible: 7076FF0056070163\n"), "{text}");
        assert!(refusing(&[], &[]).starts_with("No gateway of the group would refuse"));
    }
}
