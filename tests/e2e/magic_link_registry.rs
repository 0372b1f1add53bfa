//! A Magic Link comes from Debian's docker-registry, to which skopeo copied it, and goes back by the same way: its hash stays.

use anyhow::{Context as _, Result, ensure};
use keros_protocol::magic_link::Digest;
use keros_tests::{Bundle, Fleet, KEROS_5, KEROS_6, Registry, Skopeo};

const SIX: &str = "7076FF0000000006";
const FIVE: &str = "7076FF0000000005";
const STRANGER: &str = "7276FF0000000006";

const SITE: &str = "\
- name: forwarder
  groups: [all]
  roles: [{ role: base }]
  tasks:
    - !copy { src: forwarder.bin, dest: /etc/forwarder.bin }
    - !template { src: settings.toml, dest: /etc/settings.toml }
    - !external { use: measure, params: { what: roof }, save: measured }
    - !shell { cmd: 'echo {{ measured.height }} >> \"$KEROS_ROOT/etc/heights\"' }
  vars: { region: EU868 }
";
const ROLE: &str = "name: base\ntasks: [main.yml]\n";
const TASKS: &str = "- !directory { path: /etc/base }\n";
const PROGRAM: &str = "#!/bin/sh\necho '{\"height\": 17}'\n";

fn files(binary: &[u8]) -> Vec<(&str, &[u8])> {
    vec![
        ("site.yml", SITE.as_bytes()),
        ("files/forwarder.bin", binary),
        ("templates/settings.toml", b"region = \"{{ region }}\"\n"),
        ("roles/base/role.yml", ROLE.as_bytes()),
        ("roles/base/tasks/main.yml", TASKS.as_bytes()),
        ("modules/measure", PROGRAM.as_bytes()),
    ]
}

#[test]
fn a_group_fetches_from_a_registry_that_nobody_here_wrote() -> Result<()> {
    let fleet = Fleet::start(&[(SIX, KEROS_6), (FIVE, KEROS_5), (STRANGER, KEROS_6)])?;
    let registry = Registry::start(&fleet.path("registry"), &fleet.pki)?;
    let skopeo = Skopeo::new(&fleet.path("home"), &registry, &fleet.pki)?;
    let binary: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let bundle = Bundle::write(&fleet.path("layout"), &["7076FF*"], &files(&binary))?;
    let repository = registry.repository("links/forwarder");
    skopeo.copy(&bundle.oci(), &format!("{repository}:1"))?;
    let hash = bundle.digest.to_string();
    ensure!(Digest::of(&skopeo.manifest(&format!("{repository}@{hash}"))?) == bundle.digest);
    let before = registry.gets("/links/forwarder/blobs/");

    let update = fleet.send_link("site", &hash, Some(&registry.source("links/forwarder")))?;
    let ends = fleet.ends(&update)?;
    ensure!(ends[SIX] == "succeeded" && ends[FIVE] == "succeeded", "{ends:#?}");
    ensure!(ends[STRANGER] == "refused: not_declared", "{ends:#?}");
    for gateway in &fleet.gateways {
        let etc = gateway.root.join("etc");
        if gateway.eui == STRANGER {
            ensure!(!etc.join("settings.toml").exists() && !etc.join("base").exists());
            continue;
        }
        ensure!(std::fs::read(etc.join("forwarder.bin"))? == binary);
        ensure!(std::fs::read_to_string(etc.join("settings.toml"))? == "region = \"EU868\"\n");
        ensure!(std::fs::read_to_string(etc.join("heights"))? == "17\n", "the tasks ran once");
        ensure!(etc.join("base").is_dir());
    }
    // The stranger has had the config; each of the others that and the layers.
    let layers = bundle.manifest.files.len();
    ensure!(registry.gets("/links/forwarder/blobs/") - before == 3 + 2 * layers);
    Ok(())
}

/// Our command line writes a layout, skopeo copies it to the registry and back, our command line reads it: one hash all the way.
#[test]
fn what_the_center_exports_comes_back_through_the_registry_with_its_hash() -> Result<()> {
    let fleet = Fleet::start(&[(SIX, KEROS_6)])?;
    let registry = Registry::start(&fleet.path("registry"), &fleet.pki)?;
    let skopeo = Skopeo::new(&fleet.path("home"), &registry, &fleet.pki)?;
    let workshop = fleet.path("workshop");
    for (title, bytes) in files(b"some binary") {
        let path = workshop.join(title);
        std::fs::create_dir_all(path.parent().context("a file is in a folder")?)?;
        std::fs::write(path, bytes)?;
    }
    let at = |name: &str| fleet.path(name).display().to_string();
    let center = |arguments: &[&str]| fleet.center.command_line(&[&["magic-link"], arguments].concat());
    let hash = center(&["create", &at("workshop"), "--gateway", SIX])?.trim().to_owned();
    center(&["export", &hash, &at("exported")])?;
    let repository = registry.repository("links/forwarder");
    skopeo.copy(&format!("oci:{}", at("exported")), &format!("{repository}:1"))?;
    skopeo.copy(&format!("{repository}@{hash}"), &format!("oci:{}", at("back")))?;
    center(&["remove", &hash])?;
    center(&["collect", "--older-than", "0s"])?;
    ensure!(center(&["show", &hash]).is_err(), "it is gone");
    ensure!(center(&["import", &at("back")])?.contains(&hash));
    let update = fleet.send_link("site", &hash, None)?;
    let ends = fleet.ends(&update)?;
    ensure!(ends[SIX] == "succeeded", "{ends:?}");
    Ok(())
}
