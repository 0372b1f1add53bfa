//! Registries that are not what they should be, through everything: each ends as the refusal that names it, and nothing is run.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::{Context as _, Result, ensure};
use keros_protocol::magic_link::Digest;
use keros_tests::{Answer, Asked, Fleet, GatewayOptions, KEROS_6, StandIn};
use serde_json::{Value, json};

const EUI: &str = "7076FF0000000006";
const SITE: &str = "- name: p\n  groups: [all]\n  tasks: [!file { path: /ran }]\n";
const FILE: &str = "application/vnd.keros.magic-link.file.v1";
const TITLE: &str = "org.opencontainers.image.title";

/// Blobs by their digest, and what is answered instead of some.
#[derive(Default)]
struct Shelf {
    blobs: BTreeMap<String, Vec<u8>>,
    instead: BTreeMap<String, Answer>,
}

impl Shelf {
    fn put(&mut self, bytes: &[u8]) -> String {
        let digest = Digest::of(bytes).to_string();
        self.blobs.insert(digest.clone(), bytes.to_vec());
        digest
    }

    fn put_json(&mut self, value: &Value) -> String {
        self.put(value.to_string().as_bytes())
    }

    fn layer(&mut self, title: &str, bytes: &[u8]) -> Value {
        json!({ "mediaType": FILE, "digest": self.put(bytes), "size": bytes.len(), "annotations": { TITLE: title } })
    }

    fn config(&mut self, gateways: &[&str]) -> Value {
        let config = json!({ "name": "x", "gateways": gateways, "playbook": "site.yml" });
        let size = config.to_string().len();
        let media_type = "application/vnd.keros.magic-link.config.v1+json";
        json!({ "mediaType": media_type, "digest": self.put_json(&config), "size": size })
    }

    /// A good Magic Link, as a value that can be spoilt.
    fn manifest(&mut self) -> Value {
        json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": "application/vnd.keros.magic-link.v1",
            "config": self.config(&[EUI]),
            "layers": [self.layer("site.yml", SITE.as_bytes())],
        })
    }

    fn answer(&self, asked: &Asked) -> Answer {
        let digest = asked.path.rsplit('/').next().unwrap_or_default();
        match (self.instead.get(digest), self.blobs.get(digest)) {
            (Some(answer), _) => answer.clone(),
            (None, Some(bytes)) => Answer::Bytes(bytes.clone()),
            (None, None) => Answer::Status(404),
        }
    }
}

fn with_one_bit_changed(bytes: &[u8]) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[bytes.len() / 2] ^= 1;
    changed
}

/// Fills a shelf and says which hash is sent.
type Fill = fn(&mut Shelf) -> String;

const SHELVES: [(&str, Fill, &str); 11] = [
    ("nothing is there", |_| Digest::of(b"").to_string(), "not_found"),
    (
        "a manifest with one bit changed",
        |shelf| {
            let manifest = shelf.manifest();
            let hash = shelf.put_json(&manifest);
            let changed = with_one_bit_changed(manifest.to_string().as_bytes());
            shelf.instead.insert(hash.clone(), Answer::Bytes(changed));
            hash
        },
        "digest_mismatch",
    ),
    (
        "a manifest without an end",
        |shelf| {
            let hash = Digest::of(b"").to_string();
            shelf.instead.insert(hash.clone(), Answer::Endless);
            hash
        },
        "too_large",
    ),
    (
        "an index instead of a manifest",
        |shelf| {
            let media_type = "application/vnd.oci.image.index.v1+json";
            shelf.put_json(&json!({ "schemaVersion": 2, "mediaType": media_type, "manifests": [] }))
        },
        "unsupported",
    ),
    (
        "a packed layer",
        |shelf| {
            let mut manifest = shelf.manifest();
            manifest["layers"][0]["mediaType"] = json!("application/vnd.oci.image.layer.v1.tar+gzip");
            shelf.put_json(&manifest)
        },
        "unsupported",
    ),
    (
        "a title that leads out of the folder",
        |shelf| {
            let mut manifest = shelf.manifest();
            let layer = shelf.layer("../../etc/cron.d/x", b"* * * * * root reboot\n");
            manifest["layers"] = json!([manifest["layers"][0], layer]);
            shelf.put_json(&manifest)
        },
        "unparsable",
    ),
    (
        "a hundred thousand layers",
        |shelf| {
            let mut manifest = shelf.manifest();
            manifest["layers"] = json!(vec![json!({}); 100_000]);
            shelf.put_json(&manifest)
        },
        "too_large",
    ),
    (
        "a megabyte of annotations",
        |shelf| {
            let mut manifest = shelf.manifest();
            manifest["annotations"] = json!({ "a": "b".repeat(1_000_000) });
            shelf.put_json(&manifest)
        },
        "too_large",
    ),
    (
        "a config that declares nobody",
        |shelf| {
            let mut manifest = shelf.manifest();
            manifest["config"] = shelf.config(&[]);
            shelf.put_json(&manifest)
        },
        "not_declared",
    ),
    (
        "a layer with one bit changed",
        |shelf| {
            let manifest = shelf.manifest();
            let layer = Digest::of(SITE.as_bytes()).to_string();
            shelf.instead.insert(layer, Answer::Bytes(with_one_bit_changed(SITE.as_bytes())));
            shelf.put_json(&manifest)
        },
        "digest_mismatch",
    ),
    (
        "a layer that goes on and on",
        |shelf| {
            let manifest = shelf.manifest();
            shelf.instead.insert(Digest::of(SITE.as_bytes()).to_string(), Answer::Endless);
            shelf.put_json(&manifest)
        },
        "digest_mismatch",
    ),
];

/// What lies about that is no whole blob.
fn half_written(fleet: &Fleet) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(fleet.gateways[0].agent_state().join("bundles/partial"))?;
    entries.map(|entry| Ok(entry?.path())).collect()
}

#[test]
fn what_a_registry_does_wrong_is_a_refusal_by_name_and_nothing_is_run() -> Result<()> {
    let options =
        GatewayOptions { more: "magic_links: { allow_http: true }\n".to_owned(), ..Default::default() };
    let fleet = Fleet::start_with(&[(EUI, KEROS_6)], &options)?;
    for (number, (what, fill, reason)) in SHELVES.into_iter().enumerate() {
        let mut shelf = Shelf::default();
        let hash = fill(&mut shelf);
        let stand_in = StandIn::start(move |asked| shelf.answer(asked))?;
        let update = fleet.send_link(&format!("shelf-{number}"), &hash, Some(&stand_in.source("links/x")))?;
        let outcome = fleet.outcomes(&update)?.remove(EUI).context("the gateway is in the update")?;
        ensure!(outcome["status"] == "refused" && outcome["reason"] == reason, "{what}: {outcome:#}");
        ensure!(!fleet.gateways[0].root.join("ran").exists(), "{what}: something was run");
        let begun = half_written(&fleet)?;
        ensure!(begun.is_empty(), "{what}: {begun:?}");
        println!("{what}: {reason}: {}", outcome["detail"].as_str().unwrap_or_default());
    }
    Ok(())
}

/// Somebody else's server gets neither the bytes' request nor what opens the source.
#[test]
fn a_redirect_to_elsewhere_is_not_followed() -> Result<()> {
    let options =
        GatewayOptions { more: "magic_links: { allow_http: true }\n".to_owned(), ..Default::default() };
    let fleet = Fleet::start_with(&[(EUI, KEROS_6)], &options)?;
    let elsewhere = StandIn::start(|_| Answer::Bytes(SITE.as_bytes().to_vec()))?;
    let mut shelf = Shelf::default();
    let manifest = shelf.manifest();
    let hash = shelf.put_json(&manifest);
    let location = format!("http://localhost:{}/stolen", elsewhere.port);
    shelf.instead.insert(Digest::of(SITE.as_bytes()).to_string(), Answer::Redirect(location));
    let stand_in = StandIn::start(move |asked| shelf.answer(asked))?;
    let update = fleet.send_link_for("site", &hash, Some(&stand_in.source("links/x")), 5)?;
    let ends = fleet.ends(&update)?;
    ensure!(ends[EUI] == "refused: fetch_failed", "{ends:?}");
    ensure!(elsewhere.asked().is_empty(), "{:?}", elsewhere.asked());
    ensure!(!fleet.gateways[0].root.join("ran").exists());
    let begun = half_written(&fleet)?;
    ensure!(begun.is_empty(), "{begun:?}");
    Ok(())
}
