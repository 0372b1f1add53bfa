//! What `docs/magic-link.md` says one can do with standard tools alone: its own words are run, and what they make runs.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use keros_tests::{Fleet, KEROS_6, Registry, Skopeo, project_root};

const EUI: &str = "7076FF0000000006";

/// The first block of shell commands below a heading of the page.
fn block_of_the_page(heading: &str) -> Result<String> {
    let page = std::fs::read_to_string(project_root().join("docs/magic-link.md"))?;
    let (_, section) = page.split_once(heading).context("the page has the heading")?;
    let (_, block) = section.split_once("```sh\n").context("a block begins")?;
    let (block, _) = block.split_once("```").context("the block ends")?;
    Ok(block.to_owned())
}

#[test]
fn what_the_page_makes_by_hand_runs() -> Result<()> {
    let fleet = Fleet::start(&[(EUI, KEROS_6)])?;
    let registry = Registry::start(&fleet.path("registry"), &fleet.pki)?;
    let skopeo = Skopeo::new(&fleet.path("home"), &registry, &fleet.pki)?;
    let workshop = fleet.path("workshop");
    std::fs::create_dir(&workshop)?;
    let block = block_of_the_page("## By hand")?;
    let output = Command::new("/bin/sh")
        .args(["-euc", &block])
        .current_dir(&workshop)
        .env_clear()
        .envs([("PATH", "/usr/bin:/bin"), ("GATEWAY", EUI)])
        .env("REGISTRY", format!("127.0.0.1:{}", registry.port))
        .env("HOME", skopeo.home())
        .output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    let hash = said.trim();

    let update = fleet.send_link("site", hash, Some(&registry.source("links/forwarder")))?;
    let ends = fleet.ends(&update)?;
    ensure!(ends[EUI] == "succeeded", "{ends:?}\n{}", fleet.gateways[0].log());
    let made = fleet.gateways[0].root.join("etc/forwarder.toml");
    ensure!(std::fs::read_to_string(&made)? == "router = \"eu1.example.net\"\n");
    ensure!(std::fs::metadata(&made)?.permissions().mode() & 0o7777 == 0o640);

    // The center takes the same layout, and names it by the same hash.
    let layout = workshop.join("layout").display().to_string();
    let imported = fleet.center.command_line(&["magic-link", "import", &layout])?;
    ensure!(imported.contains(hash), "{imported}");
    Ok(())
}
