//! A Magic Link made without a playbook, on a booted Debian with dpkg and systemd.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};
use keros_skip::skipped;
use keros_tests::{Booted, keros_program, run, run_ok, system_program};
use serde_json::Value;

const SERVICE: &str = "[Unit]\nDescription=Demo\n[Service]\nExecStart=/bin/sleep infinity\n";

fn package(folder: &Path) -> Result<()> {
    let tree = folder.join("tree");
    let control = "Package: demo-forwarder\nVersion: 1.2-1\nArchitecture: all\nMaintainer: Demo <demo@example.net>\nDescription: demo\n";
    for (path, text) in [("DEBIAN/control", control), ("lib/systemd/system/demo-forwarder.service", SERVICE)]
    {
        let path = tree.join(path);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        fs::write(path, text)?;
    }
    fs::set_permissions(&tree, fs::Permissions::from_mode(0o755))?;
    let package = folder.join("demo-forwarder_1.2-1_all.deb");
    let arguments = ["--root-owner-group".as_ref(), "-b".as_ref(), tree.as_os_str(), package.as_os_str()];
    run_ok(&system_program("dpkg-deb")?, arguments).map(drop)
}

/// Makes the link in `folder`, and lays its files out as the executor does: only for reading.
fn make(folder: &Path, to: &Path) -> Result<()> {
    package(folder)?;
    fs::write(folder.join("conf"), "router = \"eu1\"\n")?;
    let center = keros_program("keros-center")?;
    let in_folder = |name: &str| folder.join(name).to_string_lossy().into_owned();
    let file = in_folder("conf") + ":/etc/demo/forwarder.toml:0640";
    let (deb, layout) = (in_folder("demo-forwarder_1.2-1_all.deb"), in_folder("layout"));
    let create = ["magic-link", "create", "--gateway", "7076FF*", "--deb", &deb, "--file", &file];
    run_ok(&center, [&create[..], &["--restart", "demo-forwarder", "--output", &layout]].concat())?;
    let view: Value = serde_json::from_str(&run_ok(&center, ["magic-link", "show", &layout, "--json"])?)?;
    for file in view["files"].as_array().context("files")? {
        let text = |key: &str| file[key].as_str().context("a text");
        let path = to.join(text("title")?);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        let hex = text("digest")?.trim_start_matches("sha256:");
        fs::copy(folder.join("layout/blobs/sha256").join(hex), &path)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444))?;
    }
    Ok(())
}

fn play(debian: &Booted) -> Result<Vec<String>> {
    let output = debian.run(&["/opt/keros-executor", "playbook", "/opt/bundle/site.yml", "--json"])?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let events: Vec<Value> = text.lines().map(serde_json::from_str).collect::<Result<_, _>>()?;
    ensure!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let ended = events.iter().filter(|event| event["event"] == "task_ended");
    let line = |event: &Value| {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        format!("{}: {}", text(&event["name"]), text(&event["result"]["status"]))
    };
    Ok(ended.map(line).collect())
}

#[test]
fn a_package_a_file_and_a_restart_need_no_playbook() -> Result<()> {
    if !nix::unistd::geteuid().is_root() {
        skipped("only root can boot a container");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    let debian = Booted::start(|root| {
        fs::copy(keros_program("keros-executor")?, root.join("opt/keros-executor"))?;
        make(folder.path(), &root.join("opt/bundle"))
    })?;

    let expected = [
        "install demo-forwarder_1.2-1_all.deb: created",
        "folder /etc/demo: created",
        "file /etc/demo/forwarder.toml: created",
        "restart demo-forwarder: modified",
    ];
    assert_eq!(play(&debian)?, expected);
    assert_eq!(debian.run_ok(&["systemctl", "is-active", "demo-forwarder"])?.trim(), "active");
    assert_eq!(debian.run_ok(&["stat", "-c", "%U %a", "/etc/demo/forwarder.toml"])?, "root 640\n");

    let second = [
        "install demo-forwarder_1.2-1_all.deb: matched",
        "folder /etc/demo: matched",
        "file /etc/demo/forwarder.toml: matched",
        "restart demo-forwarder: skipped",
    ];
    assert_eq!(play(&debian)?, second);
    Ok(())
}

#[test]
fn what_the_command_line_refuses_is_named_and_nothing_is_written() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let center = keros_program("keros-center")?;
    let (input, output) = (folder.path().join("in"), folder.path().join("out"));
    fs::create_dir(&input)?;
    fs::write(
        input.join("site.yml"),
        "- name: x\n  groups:\n    - all\n  tasks:\n    - !coppy\n      src: y\n",
    )?;
    let (input, output) = (input.to_string_lossy(), output.to_string_lossy());
    for (arguments, code, words) in [
        (vec![&*input, "--gateway", "7076FF*"], 3, "site.yml:5:7: there is no module `coppy`"),
        (vec![&*input], 2, "--gateways"),
        (vec![&*input, "--gateway", "*"], 2, "2 to 15 of several and a `*`"),
        (vec!["--gateway", "7076FF*"], 2, "DIR"),
        (vec![&*input, "--gateway", "7076FF*", "--restart", "x"], 2, "cannot be used with"),
        (vec!["--file", "/no/such:/x", "--gateway", "7076FF*"], 5, "cannot read /no/such"),
        (vec![&*input, "--gateway", "7076FF*", "--expires", "2020-01-01"], 2, "over already"),
    ] {
        let command = [&["magic-link", "create", "--output", &*output], &arguments[..]].concat();
        let ended = run(&center, command)?;
        let told = String::from_utf8_lossy(&ended.stderr).into_owned();
        assert_eq!(ended.status.code(), Some(code), "{arguments:?}: {told}");
        assert!(told.contains(words) && ended.stdout.is_empty(), "{arguments:?}: {told}");
    }
    assert_eq!(fs::read_dir(folder.path())?.count(), 1, "nothing is written");
    Ok(())
}
