//! Packages: what is asked of the package managers, and that nothing but it is.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

mod scratch;

use std::fs;
use std::process::Command;

use keros_playbook::ShellPlace;
use scratch::{HOSTILE, Scratch};

const OPTIONS: &str = "[-y] [-qq] [-o] [Dpkg::Options::=--force-confdef] [-o] [Dpkg::Options::=--force-confold] [-o] [DPkg::Lock::Timeout=120]";

/// A machine whose package `tool` is installed in the version that `/state` says.
fn apt_machine() -> Scratch {
    let scratch = Scratch::new();
    scratch.stub(
        "dpkg-query",
        r#"read v < "$state"; [ "$5" = tool ] && [ -n "$v" ] && printf 'tool\t%s\tinstalled\n' "$v" && exit 0
           [ "$5" = left ] && printf 'left\t1\tconfig-files\n' && exit 0
           [ "$5" = half ] && printf 'half\t1\thalf-configured\n' && exit 0
           echo "dpkg-query: no packages found matching $5" >&2; exit 1"#,
    );
    scratch.stub(
        "apt-cache",
        r#"[ "$4" = tool ] && printf 'Package: tool\nVersion: 2.0\nDescription: x\n'; exit 0"#,
    );
    scratch.stub(
        "apt-get",
        r#"case "$DEBIAN_FRONTEND $*" in
             noninteractive*"remove -- tool") echo > "$state";;
             noninteractive*"-- tool=broken") echo 'E: no such version'; exit 100;;
             noninteractive*"-- tool=1.5") echo 1.5 > "$state";;
             noninteractive*"-- tool") echo 2.0 > "$state";;
             noninteractive*) ;;
             *) exit 7;;
           esac"#,
    );
    scratch.write("state", "\n");
    scratch
}

#[test]
fn apt_installs_pins_updates_and_removes_and_each_is_matched_the_second_time() {
    let mut machine = apt_machine();
    assert_eq!(machine.one("!apt { package: tool }"), "created | version: - -> 2.0");
    assert_eq!(machine.one("!apt { package: tool }"), "matched");
    assert_eq!(machine.one("!apt { package: tool, version: 1.5 }"), "modified | version: 2.0 -> 1.5");
    assert_eq!(machine.one("!apt { package: tool, version: 1.5 }"), "matched");
    assert_eq!(machine.one("!apt { package: tool, update: true }"), "modified | version: 1.5 -> 2.0");
    assert_eq!(machine.one("!apt { package: tool, update: true }"), "matched");
    assert_eq!(machine.one("!apt { package: tool, remove: true }"), "removed | version: 2.0 -> -");
    assert_eq!(machine.one("!apt { package: tool, remove: true }"), "matched");
    let orders: Vec<_> = machine.log().into_iter().filter(|line| line.starts_with("apt-get")).collect();
    let expected = [
        "[install] [--] [tool]",
        "[install] [--allow-downgrades] [--] [tool=1.5]",
        "[install] [--only-upgrade] [--] [tool]",
        "[remove] [--] [tool]",
    ];
    assert_eq!(orders, expected.map(|order| format!("apt-get {OPTIONS} {order}")));
}

#[test]
fn a_removed_package_whose_configuration_is_left_counts_as_absent_and_a_broken_one_as_not_installed() {
    let mut machine = apt_machine();
    assert_eq!(machine.one("!apt { package: left, remove: true }"), "matched");
    assert!(machine.one("!apt { package: left }").starts_with("created"));
    assert!(machine.one("!apt { package: half }").starts_with("created"));
    assert_eq!(machine.one("!apt { package: half, remove: true }"), "removed | version: 1 -> -");
}

#[test]
fn a_package_manager_that_fails_fails_the_task_with_its_words() {
    let mut machine = apt_machine();
    let told = machine.one("!apt { package: tool, version: broken }");
    assert!(told.contains("apt-get") && told.contains("exit code 100"), "{told}");
    let result = &machine.results[0];
    assert_eq!(result.exit_code, Some(100));
    assert_eq!(result.output.as_ref().unwrap().head, "E: no such version\n");
}

#[test]
fn apt_does_not_take_a_name_with_a_dot_that_it_does_not_know_for_a_pattern() {
    let mut machine = apt_machine();
    for name in ["t.ol", "tool+"] {
        let told = machine.one(&format!("!apt {{ package: {name} }}"));
        assert!(told.contains(&format!("apt knows no package {name}")), "{told}");
    }
    assert!(!machine.log().iter().any(|line| line.starts_with("apt-get")));
}

#[test]
fn a_dry_run_asks_but_orders_nothing_and_knows_what_earlier_tasks_would_have_done() {
    let mut machine = apt_machine();
    machine.dry_run = true;
    let tasks = [
        "!apt { package: tool, version: 1.5 }",
        "!apt { package: tool }",
        "!apt { package: tool, update: true }",
        "!apt { package: tool, remove: true }",
        "!apt { package: tool, remove: true }",
        "!apt { package: tool }",
    ];
    let expected = ["created", "matched", "modified", "removed", "matched", "created"];
    assert_eq!(machine.statuses(&tasks), expected);
    assert!(!machine.log().iter().any(|line| line.starts_with("apt-get")));
}

#[test]
fn hostile_names_and_versions_reach_no_tool() {
    for module in ["apt", "dnf", "yum", "opkg"] {
        let mut machine = apt_machine();
        for tool in ["dnf", "rpm", "opkg"] {
            machine.stub(tool, "");
        }
        for value in HOSTILE.iter().chain(&["*", "tool*", "tool=1", "tool/now", "~nx", "[a]"]) {
            for fields in ["package: '{{v}}'", "package: tool, version: '{{v}}'"] {
                if fields.ends_with("version: '{{v}}'") && *value == "~nx" {
                    continue;
                }
                let told = machine.with_value(&format!("!{module} {{ {fields} }}"), value);
                assert!(told.starts_with("failed: field ("), "{module} {value:?}: {told}");
            }
        }
        assert_eq!(machine.log(), [""; 0], "{module}");
        assert!(!machine.path("x").exists());
    }
}

#[test]
fn a_literal_name_that_is_none_is_found_by_the_check() {
    let refused = apt_machine().run(&["!apt { package: '-y' }"]).unwrap_err();
    assert!(refused.contains("s.yml:4") && refused.contains("field (package): \"-y\""), "{refused}");
}

#[test]
fn package_managers_that_no_gateway_has_are_refused_by_name() {
    for module in ["pacman", "zypper", "homebrew"] {
        let refused = Scratch::new().run(&[&format!("!{module} {{ package: x }}")]).unwrap_err();
        let words = format!("no gateway has the package manager of the module `{module}`");
        assert!(refused.contains(&words), "{refused}");
    }
}

#[test]
fn dnf_comes_before_yum_and_a_machine_with_neither_is_named() {
    let mut machine = Scratch::new();
    machine.stub("rpm", r#"read v < "$state"; [ -n "$v" ] && echo "(none):$v" && exit 0; echo "package $4 is not installed"; exit 1"#);
    machine.write("state", "\n");
    let told = machine.one("!dnf { package: tool }");
    assert!(told.contains("neither dnf nor yum"), "{told}");
    let body = r#"case "$*" in
        *check-update*) printf '\ntool.noarch  2.0-1  base\n'; exit 100;;
        *remove*) echo > "$state";;
        *tool-1.5) echo 1.5-1 > "$state";;
        *) echo 2.0-1 > "$state";;
      esac"#;
    machine.stub("yum", body);
    assert_eq!(machine.one("!dnf { package: tool, version: 1.5 }"), "created | version: - -> 1.5-1");
    assert_eq!(machine.one("!yum { package: tool, version: 1.5 }"), "matched");
    machine.log();
    machine.stub("dnf", body);
    assert_eq!(machine.one("!yum { package: tool, update: true }"), "modified | version: 1.5-1 -> 2.0-1");
    assert_eq!(machine.one("!yum { package: tool, remove: true }"), "removed | version: 2.0-1 -> -");
    let orders: Vec<_> = machine.log().into_iter().filter(|line| line.contains("[-y]")).collect();
    assert_eq!(orders, ["dnf [-y] [-q] [update] [tool]", "dnf [-y] [-q] [remove] [tool]"]);
}

fn opkg_machine() -> Scratch {
    let scratch = Scratch::new();
    scratch.stub(
        "opkg",
        r#"read v < "$state"
           case "$*" in
             "list-installed tool") [ -n "$v" ] && echo "tool - $v"; exit 0;;
             "list tool") echo "tool - 2.0-r0 - A tool";;
             list-upgradable) [ "$v" = 1.0-r0 ] && echo "tool - 1.0-r0 - 2.0-r0"; exit 0;;
             "remove tool") echo > "$state";;
             "install --force-downgrade "*_1.0-r0_*) echo 1.0-r0 > "$state";;
             "install tool"|"upgrade tool") echo 2.0-r0 > "$state";;
             *) exit 255;;
           esac"#,
    );
    scratch.write("state", "\n");
    scratch
}

#[test]
fn opkg_works_by_name_and_by_file() {
    let mut machine = opkg_machine();
    let script = tempfile::tempdir().unwrap();
    fs::create_dir(script.path().join("files")).unwrap();
    fs::write(script.path().join("files/tool_1.0-r0_arm.ipk"), "x").unwrap();
    machine.folder = Some(script.path().to_owned());
    assert_eq!(machine.one("!opkg { package: tool }"), "created | version: - -> 2.0-r0");
    assert_eq!(machine.one("!opkg { package: tool, version: 2.0-r0 }"), "matched");
    assert_eq!(machine.one("!opkg { src: tool_1.0-r0_arm.ipk }"), "modified | version: 2.0-r0 -> 1.0-r0");
    assert_eq!(machine.one("!opkg { src: tool_1.0-r0_arm.ipk }"), "matched");
    assert!(!machine.path("var/cache/keros-package").exists(), "the package does not stay behind");
    assert_eq!(machine.one("!opkg { package: tool, update: true }"), "modified | version: 1.0-r0 -> 2.0-r0");
    let told = machine.one("!opkg { package: tool, version: 1.0-r0 }");
    assert!(
        told.contains("opkg's feeds do not hold tool 1.0-r0 (2.0-r0): give the package by `src`"),
        "{told}"
    );
    assert_eq!(machine.one("!opkg { package: tool, remove: true }"), "removed | version: 2.0-r0 -> -");
    let told = machine.with_value("!opkg { src: '/{{v}}' }", "-x_1_a.ipk");
    assert!(told.contains("no such file") || told.contains("is no package"), "{told}");
}

/// A package can come from anywhere, and says of itself what it likes.
#[test]
fn a_package_whose_own_name_or_version_is_hostile_is_not_installed() {
    for (package, version) in
        [("-y", "1"), ("../x", "1"), ("a b", "1"), ("good", "$(touch x)"), ("good", "-1"), ("good", "")]
    {
        let mut machine = apt_machine();
        machine.stub("dpkg", "echo amd64");
        machine.stub(
            "dpkg-deb",
            &format!("printf 'Package: {package}\\nVersion: {version}\\nArchitecture: all\\n'"),
        );
        let header = format!("{:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", "control.tar", 0, 0, 0, 100_644, 2);
        machine.write("p.deb", &format!("!<arch>\n{header}xx"));
        let told = machine.one("!deb { src: /p.deb }");
        assert!(told.starts_with("failed: field ("), "{package} {version}: {told}");
        assert!(!machine.log().iter().any(|line| line.contains("[-i]")));
    }
}

#[test]
fn a_tool_that_is_not_there_is_named() {
    for (task, tool) in [("!apt { package: tool }", "dpkg-query"), ("!opkg { package: tool }", "opkg")] {
        let told = Scratch::new().one(task);
        assert!(told.contains(&format!("there is no `{tool}` here")), "{told}");
    }
}

/// Nothing is changed: only what the real tools answer is of interest.
#[test]
fn the_answers_of_the_real_dpkg_and_apt_are_understood() {
    if Command::new("dpkg-query").arg("--version").output().is_err() {
        keros_skip::skipped("there is no dpkg here");
        return;
    }
    let mut machine = Scratch::new();
    (machine.whole_machine, machine.dry_run) = (true, true);
    let tasks = [
        "!apt { package: dpkg }",
        "!apt { package: keros-nothing }",
        "!apt { package: keros-nothing, remove: true }",
    ];
    assert_eq!(machine.statuses(&tasks), ["matched", "created", "removed"]);
    let told = machine.one("!apt { package: dpkg, version: 0.1 }");
    assert!(told.starts_with("modified | version: 1.") && told.ends_with(" -> 0.1"), "{told}");
    let told = machine.one("!apt { package: keros.nothing }");
    assert!(told.contains("apt knows no package keros.nothing"), "{told}");
    let told = machine.one("!apt { package: dpkg, update: true }");
    assert!(told == "matched" || told.starts_with("modified | version: 1."), "{told}");
}

/// Builds a package with dpkg's own tool; `None` where there is none.
fn build(folder: &std::path::Path, version: &str, architecture: &str, compression: &str) -> Option<String> {
    let tree = folder.join(format!("tree-{version}-{architecture}"));
    fs::create_dir_all(tree.join("DEBIAN")).unwrap();
    fs::write(tree.join("greeting"), version).unwrap();
    let control = format!(
        "Package: keros-probe\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: x <x@example.net>\n\
         Description: x\n"
    );
    fs::write(tree.join("DEBIAN/control"), control).unwrap();
    let name = format!("probe-{version}-{architecture}.deb");
    let mut command = Command::new("dpkg-deb");
    command.args(["--build", "--root-owner-group", compression]).arg(&tree);
    command.arg(folder.join("files").join(&name)).output().ok()?.status.success().then_some(name)
}

/// A tree with dpkg itself in it.
fn dpkg_tree() -> Option<Scratch> {
    let mut machine = Scratch::new();
    if !nix::unistd::geteuid().is_root() {
        return None;
    }
    for program in ["dpkg", "dpkg-deb", "dpkg-query", "dpkg-split", "tar", "rm", "busybox"] {
        machine.borrow(&format!("/usr/bin/{program}")).then_some(())?;
    }
    fs::create_dir_all(machine.path("bin")).unwrap();
    std::os::unix::fs::symlink("/usr/bin/busybox", machine.path("bin/sh")).unwrap();
    for name in ["ldconfig", "start-stop-daemon", "diff"] {
        machine.program(&format!("/usr/bin/{name}"), "#!/bin/sh\nexit 0\n");
    }
    for file in ["status", "available", "info/format", "updates/x", "triggers/x"] {
        machine.write(&format!("var/lib/dpkg/{file}"), if file == "info/format" { "1\n" } else { "" });
    }
    fs::remove_file(machine.path("var/lib/dpkg/updates/x")).unwrap();
    fs::remove_file(machine.path("var/lib/dpkg/triggers/x")).unwrap();
    machine.write("tmp/there", "");
    machine.write("var/log/dpkg.log", "");
    (machine.search_path, machine.shell) = ("/usr/bin:/bin".to_owned(), ShellPlace::Root);
    Some(machine)
}

#[test]
fn a_package_from_a_file_is_installed_by_the_real_dpkg_in_the_tree() {
    let Some(mut machine) = dpkg_tree() else {
        keros_skip::skipped("dpkg, busybox or root is missing");
        return;
    };
    let script = tempfile::tempdir().unwrap();
    fs::create_dir(script.path().join("files")).unwrap();
    let mut packages = Vec::new();
    for (version, architecture, compression) in
        [("1:1.0", "all", "-Zgzip"), ("1.1~rc1", "all", "-Zxz"), ("2", "mips64", "-Zgzip")]
    {
        packages.push(build(script.path(), version, architecture, compression).unwrap());
    }
    machine.folder = Some(script.path().to_owned());
    let task = |index: usize| format!("!deb {{ src: '{}' }}", packages[index]);
    machine.dry_run = true;
    assert_eq!(machine.one(&task(0)), "created | version: - -> 1:1.0");
    machine.dry_run = false;
    assert!(!machine.path("greeting").exists());
    assert_eq!(machine.one(&task(0)), "created | version: - -> 1:1.0");
    assert_eq!(machine.read("greeting"), "1:1.0");
    assert_eq!(machine.one(&task(0)), "matched");
    assert_eq!(machine.one(&task(1)), "modified | version: 1:1.0 -> 1.1~rc1");
    assert_eq!(machine.read("greeting"), "1.1~rc1");
    let told = machine.one(&task(2));
    assert!(told.contains("keros-probe is for mips64, and this machine is "), "{told}");
    assert!(!machine.path("var/cache/keros-package").exists(), "the package does not stay behind");
    fs::copy(script.path().join("files").join(&packages[1]), machine.path("on-machine.deb")).unwrap();
    assert_eq!(machine.one("!deb { src: /on-machine.deb }"), "matched");
    machine.write("broken.deb", "!<arch>\n");
    let told = machine.one("!deb { src: /broken.deb }");
    assert!(told.contains("/broken.deb is no Debian package"), "{told}");
    let told = machine.one("!deb { src: /none.deb }");
    assert!(told.contains("no such file: /none.deb"), "{told}");
}
