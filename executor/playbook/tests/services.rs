//! Services where there is no systemd: monit, and the init scripts of System V.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

mod scratch;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use keros_playbook::ShellPlace;
use scratch::{HOSTILE, Scratch};

/// An init script with a header; its program runs while `/state` says so.
const SCRIPT: &str = r#"#!/bin/sh
### BEGIN INIT INFO
# Provides: fwd
# Default-Start: 3 5
# Default-Stop: 0 6
### END INIT INFO
root="$KEROS_ROOT"
printf 'fwd %s\n' "$*" >> "$root/log"
case "$1" in
  start|restart) echo runs > "$root/state";;
  stop) : > "$root/state";;
  status) [ -s "$root/state" ] && exit 0; exit 3;;
esac
"#;

fn sysv_machine() -> Scratch {
    let machine = Scratch::new();
    machine.program("etc/init.d/fwd", SCRIPT);
    for level in "0123456S".chars() {
        fs::create_dir(machine.path(&format!("etc/rc{level}.d"))).unwrap();
    }
    machine
}

/// The links of all levels, `LEVEL/NAME`.
fn links(machine: &Scratch) -> Vec<String> {
    let mut found = Vec::new();
    for level in "0123456S".chars() {
        let Ok(entries) = fs::read_dir(machine.path(&format!("etc/rc{level}.d"))) else { continue };
        for entry in entries {
            let entry = entry.unwrap();
            assert_eq!(fs::read_link(entry.path()).unwrap(), Path::new("../init.d/fwd"));
            found.push(format!("{level}/{}", entry.file_name().to_str().unwrap()));
        }
    }
    found.sort();
    found
}

#[test]
fn an_init_script_starts_and_stops_and_is_asked_for_its_state() {
    let mut machine = sysv_machine();
    let cases = [
        ("started: true", "modified | started: inactive -> active", "start"),
        ("restart: true", "modified | restarted: active -> active", "restart"),
        ("started: false", "modified | started: active -> inactive", "stop"),
        ("restart: true", "modified | started: inactive -> active", "start"),
    ];
    for (fields, told, order) in cases {
        assert_eq!(machine.one(&format!("!sd_service {{ service: fwd.service, {fields} }}")), told);
        assert_eq!(machine.log(), ["fwd status".to_owned(), format!("fwd {order}")]);
    }
    assert_eq!(machine.one("!sd_service { service: fwd, started: true }"), "matched");
}

#[test]
fn enabling_makes_links_in_the_levels_of_the_header_and_disabling_turns_them_round() {
    let mut machine = sysv_machine();
    let enable = "!sd_service { service: fwd, enabled: true }";
    let disable = "!sd_service { service: fwd, enabled: false }";
    assert_eq!(machine.one(disable), "matched");
    assert_eq!(machine.one(enable), "modified | enabled: disabled -> enabled");
    assert_eq!(links(&machine), ["0/K80fwd", "3/S20fwd", "5/S20fwd", "6/K80fwd"]);
    assert_eq!(machine.one(enable), "matched");
    assert_eq!(machine.one(disable), "modified | enabled: enabled -> disabled");
    assert_eq!(links(&machine), ["0/K80fwd", "3/K80fwd", "5/K80fwd", "6/K80fwd"]);
    assert_eq!(machine.one(disable), "matched");
    machine.one(enable);
    assert_eq!(links(&machine), ["0/K80fwd", "3/S20fwd", "5/S20fwd", "6/K80fwd"]);
    assert_eq!(machine.log(), [""; 0], "the script itself is not asked");
}

#[test]
fn a_link_keeps_its_turn_and_a_script_without_header_gets_the_usual_levels() {
    let mut machine = sysv_machine();
    symlink("../init.d/fwd", machine.path("etc/rc3.d/S92fwd")).unwrap();
    machine.one("!sd_service { service: fwd, enabled: false }");
    assert_eq!(links(&machine), ["3/K08fwd"]);
    machine.one("!sd_service { service: fwd, enabled: true }");
    assert_eq!(links(&machine), ["0/K80fwd", "3/S92fwd", "5/S20fwd", "6/K80fwd"]);
    let mut plain = sysv_machine();
    plain.program("etc/init.d/fwd", "#!/bin/sh\n");
    fs::remove_dir(plain.path("etc/rc4.d")).unwrap();
    plain.one("!sd_service { service: fwd, enabled: true }");
    assert_eq!(links(&plain), ["0/K80fwd", "1/K80fwd", "2/S20fwd", "3/S20fwd", "5/S20fwd", "6/K80fwd"]);
    let mut bare = Scratch::new();
    bare.program("etc/init.d/fwd", SCRIPT);
    let told = bare.one("!sd_service { service: fwd, enabled: true }");
    assert!(told.contains("there is no /etc/rc?.d here"), "{told}");
}

#[test]
fn a_script_that_does_not_know_its_state_is_told_all_the_same() {
    let mut machine = Scratch::new();
    let script = "#!/bin/sh\necho \"$1\" >> \"$KEROS_ROOT/log\"\ncase $1 in start|stop|restart) exit 0;; esac\n\
                  echo 'Usage: fwd {start|stop|restart}'; exit 1\n";
    machine.program("etc/init.d/fwd", script);
    for (fields, order) in
        [("started: true", "start"), ("started: false", "stop"), ("restart: true", "restart")]
    {
        let told = machine.one(&format!("!sd_service {{ service: fwd, {fields} }}"));
        assert!(told.starts_with("modified") && told.contains("unknown -> "), "{told}");
        assert_eq!(machine.log(), ["status", order]);
    }
}

#[test]
fn a_script_that_fails_fails_the_task() {
    let mut machine = Scratch::new();
    machine.program("etc/init.d/fwd", "#!/bin/sh\n[ \"$1\" = status ] && exit 3\necho no port; exit 4\n");
    let told = machine.one("!sd_service { service: fwd, started: true }");
    assert!(told.contains("/etc/init.d/fwd start failed with exit code 4"), "{told}");
    assert_eq!(machine.results[0].output.as_ref().unwrap().head, "no port\n");
}

#[test]
fn a_dry_run_starts_nothing_and_goes_on_from_what_it_would_have_started() {
    let mut machine = sysv_machine();
    machine.dry_run = true;
    let tasks = [
        "!sd_service { service: fwd, started: true }",
        "!sd_service { service: fwd, started: true }",
        "!sd_service { service: fwd, started: false }",
        "!sd_service { service: fwd, enabled: true }",
        "!sd_service { service: fwd, enabled: true }",
        "!sd_service { service: fwd, enabled: false }",
    ];
    let expected = ["modified", "matched", "modified", "modified", "matched", "modified"];
    assert_eq!(machine.statuses(&tasks), expected);
    assert_eq!(machine.log(), ["fwd status"]);
    assert_eq!(links(&machine), [""; 0]);
    machine.dry_run = false;
    assert_eq!(machine.statuses(&tasks), expected, "what it said is what happens");
}

#[test]
fn a_service_that_nobody_has_is_named_and_hostile_names_start_nothing() {
    let mut machine = sysv_machine();
    let told = machine.one("!sd_service { service: other, started: true }");
    assert!(told.contains("there is no service other: no systemctl is here"), "{told}");
    machine.program("evil", "#!/bin/sh\ntouch \"$KEROS_ROOT/x\"\n");
    for value in HOSTILE.iter().chain(&["../../evil", "/evil", "..", ".", "fwd/../fwd"]) {
        let told =
            machine.with_value("!sd_service { service: '{{v}}', started: true, enabled: true }", value);
        assert!(told.starts_with("failed"), "{value:?}: {told}");
    }
    assert_eq!(machine.log(), [""; 0]);
    assert!(!machine.path("x").exists());
}

/// The shell, the script and what it starts are those of the tree.
#[test]
fn an_init_script_of_a_busybox_tree_runs_in_it() {
    let mut machine = Scratch::new();
    if !nix::unistd::geteuid().is_root() || !machine.borrow("/usr/bin/busybox") {
        keros_skip::skipped("busybox or root is missing");
        return;
    }
    for tool in ["bin/sh", "bin/sleep", "bin/kill", "bin/rm", "bin/cat"] {
        fs::create_dir_all(machine.path("bin")).unwrap();
        symlink("/usr/bin/busybox", machine.path(tool)).unwrap();
    }
    machine.write("run/there", "");
    // What a shell starts in the background reads from here.
    machine.write("dev/null", "");
    let script = "#!/bin/sh\nis_there() { [ -e /run/fwd ] && kill -0 $(cat /run/fwd); }\ncase $1 in\n\
        start) sleep 600 & echo $! > /run/fwd;;\nstop) kill $(cat /run/fwd); rm /run/fwd;;\nstatus) is_there || exit 3;;\nesac\n";
    machine.program("etc/init.d/fwd", script);
    fs::create_dir(machine.path("etc/rcS.d")).unwrap();
    (machine.shell, machine.search_path) = (ShellPlace::Root, "/bin".to_owned());
    assert_eq!(
        machine.one("!sd_service { service: fwd, started: true }"),
        "modified | started: inactive -> active"
    );
    assert_eq!(machine.one("!sd_service { service: fwd, started: true }"), "matched");
    let pid = machine.read("run/fwd");
    assert!(Path::new(&format!("/proc/{}", pid.trim())).exists());
    assert_eq!(
        machine.one("!sd_service { service: fwd, started: false }"),
        "modified | started: active -> inactive"
    );
}

/// monit as it answers, with what it was told in `/log`.
fn monit_machine() -> Scratch {
    let machine = Scratch::new();
    machine.stub(
        "monit",
        r#"runs=no; monitored=no; pending=; [ -e "$state" ] && read runs monitored pending < "$state"
           case "$1" in
             status) [ "$2" = fwd ] || { echo "There is no service named \"$2\""; exit 1; }
               words="Not monitored"; monitoring="Not monitored"
               [ $monitored = yes ] && monitoring=Monitored && words="Does not exist" && [ $runs = yes ] && words=Running
               if [ -n "$pending" ]; then echo "$runs $monitored" > "$state"; words="$words - $pending pending"; fi
               printf "Process '%s'\n  status                   %s\n  monitoring status        %s\n" "$2" "$words" "$monitoring";;
             start|restart) echo "yes yes $1" > "$state";;
             stop) echo "no no stop" > "$state";;
             monitor) echo "$runs yes" > "$state";;
             unmonitor) echo "$runs no" > "$state";;
           esac"#,
    );
    machine.write("etc/monit.d/fwd", "check process fwd with pidfile /run/fwd.pid\n");
    machine.program("etc/init.d/fwd", SCRIPT);
    machine
}

#[test]
fn a_program_that_monit_is_told_of_is_started_by_monit_and_not_behind_its_back() {
    let mut machine = monit_machine();
    let cases = [
        ("started: true", "modified | started: inactive -> active", &["start"][..]),
        ("started: true, enabled: true", "matched", &[]),
        ("restart: true", "modified | restarted: active -> active", &["restart"]),
        ("enabled: false", "modified | enabled: enabled -> disabled", &["unmonitor"]),
        ("enabled: true", "modified | enabled: disabled -> enabled", &["monitor"]),
        ("started: false", "modified | started: active -> inactive", &["stop"]),
        ("started: false, enabled: false", "matched", &[]),
        ("started: true, enabled: false", "modified | started: inactive -> active", &["start", "unmonitor"]),
    ];
    for (fields, told, orders) in cases {
        assert_eq!(machine.one(&format!("!sd_service {{ service: fwd, {fields} }}")), told, "{fields}");
        let orders: Vec<String> = orders.iter().map(|verb| format!("monit [{verb}] [fwd]")).collect();
        let log: Vec<String> = machine.log().into_iter().filter(|line| !line.contains("[status]")).collect();
        assert_eq!(log, orders, "{fields}");
    }
    let told = machine.one("!sd_service { service: fwd, started: false, enabled: true }");
    assert!(told.contains("monit starts what it monitors"), "{told}");
    machine.write("etc/monit.d/fwd", "check process other\n");
    machine.one("!sd_service { service: fwd, started: true }");
    assert!(machine.log().iter().all(|line| line.starts_with("fwd ")), "the init script is what is left");
}

#[test]
fn a_dry_run_tells_monit_nothing() {
    let mut machine = monit_machine();
    machine.dry_run = true;
    let tasks = [
        "!sd_service { service: fwd, started: true, enabled: true }",
        "!sd_service { service: fwd, started: true, enabled: true }",
        "!sd_service { service: fwd, started: false }",
        "!sd_service { service: fwd, enabled: false }",
    ];
    assert_eq!(machine.statuses(&tasks), ["modified", "matched", "modified", "matched"]);
    assert!(machine.log().iter().all(|line| line == "monit [status] [fwd]"));
}

/// Ended with what the test ends with.
struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn the_real_monit_starts_and_stops_a_program() {
    if Command::new("monit").arg("-V").output().is_err() {
        keros_skip::skipped("there is no monit here");
        return;
    }
    let mut machine = Scratch::new();
    let root = machine.root().display().to_string();
    let config = format!(
        "set daemon 1\nset pidfile {root}/monit.pid\nset idfile {root}/id\nset statefile {root}/monit.state\n\
         set httpd unixsocket {root}/socket\n  allow localhost\n\
         check process fwd with pidfile {root}/fwd.pid\n  start program = \"{root}/fwd start\"\n  \
         stop program = \"{root}/fwd stop\"\n"
    );
    machine.write("etc/monitrc", &config);
    fs::set_permissions(machine.path("etc/monitrc"), fs::Permissions::from_mode(0o600)).unwrap();
    let script = format!(
        "#!/bin/sh\ncase $1 in\nstart) sleep 600 >/dev/null 2>&1 & echo $! > {root}/fwd.pid;;\n\
         stop) kill $(cat {root}/fwd.pid); rm {root}/fwd.pid;;\nesac\n"
    );
    machine.program("fwd", &script);
    machine.stub(
        "monit",
        &format!("PATH=/usr/local/bin:/usr/bin:/bin exec monit -c '{root}/etc/monitrc' \"$@\""),
    );
    let told = machine.one("!sd_service { service: fwd, started: true }");
    assert!(told.contains("monit status fwd failed"), "without its daemon monit knows nothing: {told}");
    let mut daemon = Command::new("monit");
    daemon.args(["-I", "-c"]).arg(machine.path("etc/monitrc")).stdout(Stdio::null()).stderr(Stdio::null());
    let _daemon = Daemon(daemon.spawn().unwrap());
    for _ in 0..100 {
        if machine.path("socket").exists() && machine.path("fwd.pid").exists() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    // monit has started it by itself.
    let stop = "!sd_service { service: fwd, started: false }";
    assert!(
        machine.one("!sd_service { service: fwd, started: true, enabled: true, and: { retry: 5 } }")
            == "matched"
    );
    let pid = machine.read("fwd.pid");
    assert_eq!(machine.one(stop), "modified | started: active -> inactive");
    assert!(!machine.path("fwd.pid").exists());
    assert_eq!(machine.one(stop), "matched");
    assert_eq!(
        machine.one("!sd_service { service: fwd, started: true }"),
        "modified | started: inactive -> active"
    );
    assert_ne!(machine.read("fwd.pid"), pid);
    assert_eq!(machine.one(stop), "modified | started: active -> inactive");
    let told = machine.one("!sd_service { service: other, started: true }");
    assert!(told.contains("there is no service other"), "{told}");
}

/// Nobody can know it before the package is there: that is said, and is no failure.
#[test]
fn a_dry_run_knows_services_that_earlier_tasks_make_and_doubts_those_that_they_may_bring() {
    let start = "!sd_service { service: new, started: true, enabled: true }";
    let unit = "!copy { content: '[Service]', dest: /etc/systemd/system/new.service }";
    let script = "!copy { content: '#!/bin/sh', dest: /etc/init.d/new, attributes: { mode: 0755 } }";
    let check = "!copy { content: 'check process new with pidfile /x', dest: /etc/monit.d/new }";
    for (tool, made) in [("systemctl", unit), ("none", script), ("monit", check)] {
        let mut machine = sysv_machine();
        machine.dry_run = true;
        for folder in ["systemd/system", "monit.d"] {
            fs::create_dir_all(machine.path("etc").join(folder)).unwrap();
        }
        machine.stub(tool, "[ \"$1\" = is-active ] && echo inactive || echo 'No such file'; exit 1");
        machine.stub("opkg", "exit 0");
        assert_eq!(machine.statuses(&[start]), ["failed"], "{tool}");
        assert_eq!(machine.statuses(&[made, start, start]), ["created", "modified", "matched"], "{tool}");
        for bringing in ["!opkg { package: new }", "!shell { cmd: install-it }"] {
            machine.run(&[bringing, start]).unwrap();
            let told = scratch::told(&machine.results[1]);
            assert!(
                told.starts_with("skipped: cannot be told in a dry run: there is no service new yet"),
                "{tool}: {told}"
            );
        }
        let told = {
            machine.run(&["!shell { cmd: install-it }", "!apt { package: new }"]).unwrap();
            scratch::told(&machine.results[1])
        };
        assert!(
            told.contains("there is no `dpkg-query` here yet, and an earlier task may bring it"),
            "{told}"
        );
    }
}
