//! The programs that `./run arm` has built, run by an emulator: what only another processor can show (the widths of its
//! types, its atomics, its C library). `KEROS_EMULATED` names the targets.

use anyhow::{Context as _, Result, ensure};
use keros_tests::{Emulated, Fleet, GatewayOptions, KEROS_6, run, run_ok};

const EUI: &str = "7076FF00000000A7";

const SCRIPT: &str = r#"
- name: forwarder
  groups: [all]
  vars: { region: EU868 }
  tasks:
    - !directory { path: /etc/forwarder, attributes: { mode: "0o750" } }
    - !template { name: settings, dest: /etc/forwarder/settings.toml, content: "region = \"{{region}}\"\n" }
    - !shell { name: count, cmd: 'echo run >> "$KEROS_ROOT/count"' }
"#;

/// For each target its programs, in a folder of their own.
fn each_target(check: impl Fn(&str, &Emulated) -> Result<()>) -> Result<()> {
    let targets = std::env::var("KEROS_EMULATED");
    let targets = targets.as_deref().unwrap_or("armv7-unknown-linux-gnueabihf");
    let folder = tempfile::tempdir()?;
    for target in targets.split_whitespace() {
        let programs = Emulated::new(&folder.path().join(target), target)?;
        check(target, &programs).with_context(|| target.to_owned())?;
        println!("{target}: passed");
    }
    Ok(())
}

#[test]
#[ignore = "./run full builds for ARM first, and runs it last"]
fn they_say_their_version_check_a_configuration_and_run_a_playbook() -> Result<()> {
    each_target(|_, programs| {
        let version = run_ok(&programs.agent, ["--version"])?;
        ensure!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("config.yaml");
        std::fs::write(&config, "broker: { host: center.example }\n")?;
        run_ok(&programs.agent, ["config", "--check", "--config", &config.display().to_string()])?;

        let [script, root] = ["site.yml", "root"].map(|name| folder.path().join(name));
        std::fs::create_dir(&root)?;
        std::fs::write(&script, SCRIPT)?;
        let [script, tree] = [&script, &root].map(|path| path.display().to_string());
        run_ok(&programs.executor, ["check", &script])?;
        run_ok(&programs.executor, ["playbook", &script, "--root", &tree, "--host-shell"])?;
        ensure!(std::fs::read_to_string(root.join("etc/forwarder/settings.toml"))? == "region = \"EU868\"\n");
        ensure!(std::fs::read_to_string(root.join("count"))? == "run\n");

        std::fs::write(&script, SCRIPT.replace("!template", "!tmplate"))?;
        let refused = run(&programs.executor, ["check", &script])?;
        ensure!(!refused.status.success(), "a mistake must be found");
        Ok(())
    })
}

#[test]
#[ignore = "./run full builds for ARM first, and runs it last"]
fn a_script_goes_the_whole_way_to_an_emulated_gateway() -> Result<()> {
    each_target(|_, programs| {
        let options = GatewayOptions {
            agent: Some(programs.agent.clone()),
            executor: Some(programs.executor.clone()),
            ..GatewayOptions::default()
        };
        // Over TLS, with the telemetry seen at the center.
        let fleet = Fleet::start_with(&[(EUI, KEROS_6)], &options)?;
        let gateway = fleet.gateways.first().context("one gateway")?;
        let update = fleet.center.send("site", &[EUI], SCRIPT)?;
        let ends = fleet.ends(&update)?;
        ensure!(ends.get(EUI).map(String::as_str) == Some("succeeded"), "{ends:?}\n{}", gateway.log());
        ensure!(std::fs::read_to_string(gateway.root.join("count"))? == "run\n");
        let (code, jobs) = gateway.technician(&["jobs"])?;
        ensure!(code == 0 && jobs.contains("succeeded"), "{code}: {jobs}");
        Ok(())
    })
}
