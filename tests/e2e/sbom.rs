//! The bills of materials that lie beside the programs of `./run arm`: complete, by another count than their own, and in the
//! format's own form. `KEROS_EMULATED` names the targets.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use keros_tests::{project_root, run_ok};
use serde_json::Value;

#[test]
#[ignore = "./run full builds for ARM first, and runs it last"]
fn a_bill_of_materials_names_each_crate_with_its_origin_and_licence() -> Result<()> {
    let targets = std::env::var("KEROS_EMULATED");
    let targets = targets.as_deref().unwrap_or("armv7-unknown-linux-gnueabihf");
    for target in targets.split_whitespace() {
        for program in ["keros-agent", "keros-executor", "keros-center"] {
            check(target, program).with_context(|| format!("{program} for {target}"))?;
        }
    }
    Ok(())
}

fn check(target: &str, program: &str) -> Result<()> {
    let path = project_root().join(format!("target/gateway-{target}/{program}.cdx.json"));
    let text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let here = project_root().canonicalize()?.display().to_string();
    ensure!(!text.contains(&here), "it tells where it was made");
    let bill: Value = serde_json::from_str(&text)?;
    ensure!(bill["bomFormat"] == "CycloneDX" && bill["specVersion"] == "1.5");
    ensure!(bill.get("serialNumber").is_none(), "a random number would differ with each build");
    let listed = bill["components"].as_array().context("it has components")?;
    let mut named = BTreeSet::new();
    for component in listed {
        let [name, version, purl] = ["name", "version", "purl"].map(|key| component[key].as_str());
        let (name, version) = (name.context("a name")?, version.context("a version")?);
        ensure!(purl.is_some_and(|purl| purl.starts_with(&format!("pkg:cargo/{name}@"))), "{component:#}");
        ensure!(component["licenses"].as_array().is_some_and(|list| !list.is_empty()), "{component:#}");
        named.insert(format!("{name} v{version}"));
    }
    ensure!(named.len() == listed.len(), "a crate is listed twice");

    // What cargo says is compiled into it, itself not counted.
    let tree =
        ["tree", "--locked", "--edges", "normal,no-proc-macro", "--target", target, "--package", program];
    let cargo = std::env::var_os("CARGO").context("cargo runs the test")?;
    let tree = run_ok(Path::new(&cargo), [&tree[..], &["--prefix", "none", "--format", "{p}"]].concat())?;
    let words = tree.lines().map(|line| line.split_whitespace().take(2).collect::<Vec<_>>().join(" "));
    let used: BTreeSet<String> =
        words.filter(|crate_| !crate_.is_empty() && !crate_.starts_with(&format!("{program} "))).collect();
    ensure!(named == used, "{:?}", named.symmetric_difference(&used).collect::<Vec<_>>());
    Ok(())
}
