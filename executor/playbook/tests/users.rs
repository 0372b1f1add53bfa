//! Users and groups: the same files as Debian's tools write, and nothing that breaks them.

#![allow(clippy::unwrap_used, reason = "a test ends by panicking")]

mod scratch;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use scratch::{HOSTILE, Scratch};

const LOGIN_DEFS: &str = "# Debian's\nUID_MIN\t\t\t 1000\nUID_MAX 60000\nGID_MIN 1000\nGID_MAX 60000\nUMASK 022\n\
    PASS_MAX_DAYS 99999\nPASS_MIN_DAYS 0\nPASS_WARN_AGE 7\nUSERGROUPS_ENAB yes\n";
const FILES: [&str; 4] = ["etc/passwd", "etc/group", "etc/shadow", "etc/gshadow"];

fn tree() -> Scratch {
    let scratch = Scratch::new();
    scratch.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1::/usr/sbin:/usr/sbin/nologin\n");
    scratch.write("etc/group", "root:x:0:\ndaemon:x:1:\nusers:x:100:\n");
    scratch.write("etc/shadow", "root:*:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n");
    scratch.write("etc/gshadow", "root:*::\ndaemon:*::\nusers:*::\n");
    for (file, mode) in FILES.iter().zip([0o644, 0o644, 0o640, 0o640]) {
        fs::set_permissions(scratch.path(file), fs::Permissions::from_mode(mode)).unwrap();
    }
    scratch.write("etc/login.defs", LOGIN_DEFS);
    scratch.write("etc/default/useradd", "SHELL=/bin/sh\n");
    scratch.write("etc/skel/.profile", "umask 022\n");
    symlink(".profile", scratch.path("etc/skel/link")).unwrap();
    fs::create_dir(scratch.path("home")).unwrap();
    scratch
}

fn is_root() -> bool {
    let is_root = nix::unistd::geteuid().is_root();
    if !is_root {
        keros_skip::skipped("only root may give homes away");
    }
    is_root
}

/// Name, kind, mode, owner and group of all that is in a folder.
fn listing(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut lines = Vec::new();
    for entry in entries {
        let path = entry.unwrap().path();
        let is = fs::symlink_metadata(&path).unwrap();
        if is.is_symlink() {
            lines.push(format!(
                "{} -> {}",
                path.file_name().unwrap().display(),
                fs::read_link(&path).unwrap().display()
            ));
            continue;
        }
        lines.push(format!(
            "{} {:o} {} {}",
            path.file_name().unwrap().display(),
            is.mode(),
            is.uid(),
            is.gid()
        ));
        lines.extend(listing(&path));
    }
    lines.sort();
    lines
}

/// The same work by our modules in one tree and by Debian's tools in another gives the same files, line by line.
#[test]
fn files_are_written_as_debians_own_tools_write_them() {
    if !is_root() {
        return;
    }
    if Command::new("useradd").arg("--help").output().is_err() {
        keros_skip::skipped("there is no useradd here");
        return;
    }
    let (mut ours, theirs) = (tree(), tree());
    let steps: [(&str, &[&str]); 19] = [
        ("!user { user: ann }", &["useradd", "-R", "{R}", "-m", "-U", "ann"]),
        ("!group { group: radio }", &["groupadd", "-R", "{R}", "radio"]),
        ("!group { group: tty1, system: true }", &["groupadd", "-R", "{R}", "-r", "tty1"]),
        ("!group { group: fixed, gid: 1700 }", &["groupadd", "-R", "{R}", "-g", "1700", "fixed"]),
        (
            "!user { user: srv, system: true, create_home: false }",
            &["useradd", "-R", "{R}", "-r", "-M", "-U", "srv"],
        ),
        (
            "!user { user: srv2, system: true, create_home: false }",
            &["useradd", "-R", "{R}", "-r", "-M", "-U", "srv2"],
        ),
        (
            "!user { user: bob, uid: 1500, gid: radio, groups: [tty1, users], gecos: Bob B, shell: /bin/ash }",
            &[
                "useradd",
                "-R",
                "{R}",
                "-m",
                "-u",
                "1500",
                "-g",
                "radio",
                "-G",
                "tty1,users",
                "-c",
                "Bob B",
                "-s",
                "/bin/ash",
                "bob",
            ],
        ),
        ("!user { user: far, uid: 70000 }", &["useradd", "-R", "{R}", "-m", "-U", "-u", "70000", "far"]),
        (
            "!user { user: plain, create_user_group: false }",
            &["useradd", "-R", "{R}", "-m", "-N", "-g", "100", "plain"],
        ),
        ("!user { user: next }", &["useradd", "-R", "{R}", "-m", "-U", "next"]),
        (
            "!user { user: bob, groups: [fixed], append: true }",
            &["usermod", "-R", "{R}", "-a", "-G", "fixed", "bob"],
        ),
        ("!user { user: bob, groups: [tty1] }", &["usermod", "-R", "{R}", "-G", "tty1", "bob"]),
        (
            "!user { user: bob, gecos: R. Bob, shell: /bin/sh, gid: users }",
            &["usermod", "-R", "{R}", "-c", "R. Bob", "-s", "/bin/sh", "-g", "users", "bob"],
        ),
        ("!user { user: srv, uid: 450 }", &["usermod", "-R", "{R}", "-u", "450", "srv"]),
        ("!group { group: radio, users: [ann, bob] }", &["gpasswd", "-Q", "{R}", "-M", "ann,bob", "radio"]),
        ("!group { group: ann, gid: 1800 }", &["groupmod", "-R", "{R}", "-g", "1800", "ann"]),
        ("!user { user: next, remove: true, cleanup: true }", &["userdel", "-R", "{R}", "-r", "next"]),
        ("!user { user: ann, remove: true }", &["userdel", "-R", "{R}", "ann"]),
        ("!group { group: fixed, remove: true }", &["groupdel", "-R", "{R}", "fixed"]),
    ];
    let mut home_is_given_on = false;
    for (task, command) in steps {
        let told = ours.one(task);
        assert!(!told.starts_with("failed") && told != "matched", "{task}: {told}");
        let again = ours.one(task);
        assert_eq!(again, "matched", "{task} a second time");
        let arguments = command[1..].iter().map(|word| word.replace("{R}", theirs.root().to_str().unwrap()));
        let output = Command::new(command[0]).args(arguments).output().unwrap();
        assert!(output.status.success(), "{command:?}: {output:?}");
        for file in FILES {
            assert_eq!(ours.read(file), theirs.read(file), "{file} after {task}");
            let mode = |scratch: &Scratch| fs::metadata(scratch.path(file)).unwrap().mode();
            assert_eq!(mode(&ours), mode(&theirs), "{file} after {task}");
        }
        // usermod gives the home to the new numbers too; ours changes the files of accounts only.
        home_is_given_on |= task.contains("gid: users");
        if !home_is_given_on {
            assert_eq!(listing(&ours.path("home")), listing(&theirs.path("home")), "homes after {task}");
        }
        assert_eq!(ours.path("home/next").exists(), theirs.path("home/next").exists(), "after {task}");
    }
}

#[test]
fn without_shadows_and_settings_passwords_are_locked_in_the_open_file() {
    if !is_root() {
        return;
    }
    let mut busybox = Scratch::new();
    busybox.write("etc/passwd", "root::0:0:root:/root:/bin/sh\n");
    busybox.write("etc/group", "root:x:0:\n");
    assert_eq!(
        busybox.one("!user { user: lora }"),
        "created | uid: - -> 1000 | gid: - -> lora | shell: - -> /bin/sh"
    );
    assert_eq!(
        busybox.read("etc/passwd"),
        "root::0:0:root:/root:/bin/sh\nlora:!:1000:1000::/home/lora:/bin/sh\n"
    );
    assert_eq!(busybox.read("etc/group"), "root:x:0:\nlora:x:1000:\n");
    assert!(!busybox.path("etc/shadow").exists() && !busybox.path("etc/gshadow").exists());
    let home = fs::metadata(busybox.path("home/lora")).unwrap();
    assert_eq!((home.mode() & 0o7777, home.uid(), home.gid()), (0o700, 1000, 1000));
}

/// In a chroot without Debian's libraries its useradd leaves folders empty, so that this one has no peer.
#[test]
fn a_new_home_holds_all_of_the_skeleton_with_its_modes_and_one_that_is_there_is_left() {
    if !is_root() {
        return;
    }
    let mut tree = tree();
    tree.program("etc/skel/bin/run", "#!/bin/sh\n");
    fs::create_dir(tree.path("home/bob")).unwrap();
    tree.one("!user { user: ann }");
    tree.one("!user { user: bob }");
    let run = fs::metadata(tree.path("home/ann/bin/run")).unwrap();
    assert_eq!((run.mode() & 0o7777, run.uid(), run.gid()), (0o755, 1000, 1000));
    assert_eq!(fs::read_link(tree.path("home/ann/link")).unwrap(), Path::new(".profile"));
    assert_eq!(listing(&tree.path("home/bob")), [""; 0]);
    assert_eq!(fs::metadata(tree.path("home/bob")).unwrap().uid(), 0, "it may be somebody else's");
}

#[test]
fn each_change_is_told_with_before_and_after() {
    if !is_root() {
        return;
    }
    let mut tree = tree();
    tree.one("!user { user: ann, gecos: Ann, groups: [users] }");
    let told =
        tree.one("!user { user: ann, uid: 1234, gid: 100, gecos: A. Nn, shell: /bin/ash, groups: [daemon] }");
    let expected = "modified | uid: 1000 -> 1234 | gid: ann -> users | gecos: Ann -> A. Nn | shell: /bin/sh -> /bin/ash \
                    | groups: users -> users,daemon";
    // The own group is now `users`, in which the user also is by name; that is left.
    assert_eq!(told, expected.replace("users,daemon", "daemon,users"));
    let told = tree.one("!group { group: ann, gid: 77, users: [ann] }");
    assert_eq!(told, "modified | gid: 1000 -> 77 | users:  -> ann");
    assert_eq!(
        tree.one("!group { group: ann, users: [daemon], append: true }"),
        "modified | users: ann -> ann,daemon"
    );
    assert_eq!(tree.one("!group { group: ann, users: [] }"), "modified | users: ann,daemon -> ");
    assert_eq!(tree.one("!group { group: ann, remove: true }"), "removed");
    assert_eq!(tree.one("!group { group: ann, remove: true }"), "matched");
}

#[test]
fn lines_that_are_no_accounts_stay_where_they_are() {
    if !is_root() {
        return;
    }
    let mut tree = tree();
    tree.write("etc/passwd", "# ours\nroot:x:0:0::/root:/bin/sh\n\nbroken\n+@staff::::::\n");
    tree.one("!user { user: ann, create_home: false }");
    let expected =
        "# ours\nroot:x:0:0::/root:/bin/sh\n\nbroken\nann:x:1000:1000::/home/ann:/bin/sh\n+@staff::::::\n";
    assert_eq!(tree.read("etc/passwd"), expected);
}

#[test]
fn what_cannot_be_is_refused_by_name_and_nothing_is_written() {
    if !is_root() {
        return;
    }
    let mut tree = tree();
    tree.one("!user { user: ann }");
    let before = FILES.map(|file| tree.read(file));
    let cases = [
        ("!user { user: bob, uid: 1 }", "uid 1 belongs to the user daemon"),
        ("!user { user: ann, uid: 1 }", "uid 1 belongs to the user daemon"),
        ("!user { user: bob, gid: nobodys }", "there is no group nobodys"),
        ("!user { user: bob, gid: 4711 }", "there is no group 4711"),
        ("!user { user: bob, groups: [nobodys] }", "field (groups): there is no group nobodys"),
        ("!user { user: root, remove: true }", "is root, and never removed"),
        ("!user { user: root, uid: 5 }", "is root, and never given another number"),
        ("!group { group: new, gid: 1 }", "gid 1 belongs to the group daemon"),
        ("!group { group: users, gid: 1 }", "gid 1 belongs to the group daemon"),
        ("!group { group: users, users: [nobody] }", "there is no user nobody"),
        ("!group { group: ann, remove: true }", "is the own group of the user ann"),
    ];
    for (task, words) in cases {
        let told = tree.one(task);
        assert!(told.starts_with("failed") && told.contains(words), "{task}: {told}");
    }
    assert_eq!(FILES.map(|file| tree.read(file)), before);
}

#[test]
fn a_home_is_removed_only_when_it_is_plainly_the_users_own_alone() {
    if !is_root() {
        return;
    }
    for (home, words) in [
        ("/", "no plain path"),
        ("", "no plain path"),
        ("home/bob", "no plain path"),
        ("/home/../home/bob", "no plain path"),
        ("/home/", "no plain path"),
        ("/home", "the home of ann is there too"),
        ("/home/ann", "the home of ann is there too"),
        ("/shared", "belongs to another user"),
        ("/file", "no directory"),
        ("/link", "no directory"),
    ] {
        let mut tree = tree();
        tree.one("!user { user: ann }");
        tree.write("shared/kept", "x");
        tree.write("file", "x");
        symlink("shared", tree.path("link")).unwrap();
        chown(tree.path("file"), Some(1500), None).unwrap();
        let line = format!("bob:x:1500:1500::{home}:/bin/sh\n");
        tree.write("etc/passwd", &(tree.read("etc/passwd") + &line));
        let told = tree.one("!user { user: bob, remove: true, cleanup: true }");
        assert!(told.contains(words), "{home:?}: {told}");
        assert!(tree.read("etc/passwd").ends_with(&line), "{home:?}");
        assert!(tree.path("shared/kept").exists() && tree.path("home/ann/.profile").exists(), "{home:?}");
        assert_eq!(tree.one("!user { user: bob, remove: true }"), "removed", "{home:?}");
    }
}

/// A value that would end a field or a line.
fn refuses(task: &str, key: &str, more: &[&str]) {
    let mut tree = tree();
    let before = FILES.map(|file| tree.read(file));
    for value in HOSTILE.iter().chain(&["a:b", "a\n:0:0:"]).chain(more) {
        let told = tree.with_value(task, value);
        assert!(told.starts_with(&format!("failed: field ({key})")), "{value:?}: {told}");
    }
    assert_eq!(FILES.map(|file| tree.read(file)), before);
    assert!(!tree.path("x").exists());
}

#[test]
fn no_users_name_breaks_the_files() {
    refuses("!user { user: '{{v}}' }", "user", &["1000", "a/b", "a,b", "+", "é"]);
}

#[test]
fn no_groups_name_breaks_the_files() {
    refuses("!group { group: '{{v}}' }", "group", &["1000", "a/b", "a,b", "+"]);
}

#[test]
fn no_own_group_breaks_the_files() {
    refuses("!user { user: bob, gid: '{{v}}' }", "gid", &["1 0", "+1"]);
}

#[test]
fn no_list_of_groups_breaks_the_files() {
    refuses("!user { user: bob, groups: ['{{v}}'] }", "groups", &["users,root"]);
}

#[test]
fn no_list_of_users_breaks_the_files() {
    refuses("!group { group: radio, users: ['{{v}}'] }", "users", &["daemon,root"]);
}

#[test]
fn no_shell_breaks_the_files() {
    refuses("!user { user: bob, shell: '{{v}}' }", "shell", &["bin/sh", "/bin/a b"]);
}

#[test]
fn no_number_breaks_the_files() {
    refuses("!user { user: bob, uid: '{{v}}' }", "uid", &["-1", "4294967295", "4294967296", "1:0"]);
    refuses("!group { group: bob, gid: '{{v}}' }", "gid", &["-1", "4294967295", "1:0"]);
}

#[test]
fn a_comment_is_one_line_without_a_colon_and_may_hold_all_else() {
    if !is_root() {
        return;
    }
    let mut tree = tree();
    for value in ["a:b", "a\nroot::0:0:::", "a\0b", "a\tb"] {
        let told = tree.with_value("!user { user: bob, gecos: '{{v}}' }", value);
        assert!(told.starts_with("failed: field (gecos)"), "{value:?}: {told}");
    }
    for value in ["$(touch x)", "O'Neil \"é\" `id`; -x", "-x"] {
        tree.with_value("!user { user: bob, gecos: '{{v}}' }", value);
        assert!(
            tree.read("etc/passwd").contains(&format!("bob:x:1000:1000:{value}:/home/bob:/bin/sh\n")),
            "{value}"
        );
    }
    assert!(!tree.path("x").exists());
}

fn with_getent() -> Scratch {
    let tree = tree();
    tree.stub(
        "getent",
        r#"case "$*" in
             "passwd net") echo "net:*:5000:5001:Net User:/home/net:/bin/bash";;
             "group team") echo "team:*:5001:net,other";;
             *) exit 2;;
           esac"#,
    );
    tree
}

#[test]
fn accounts_of_a_network_directory_are_matched_and_never_changed() {
    let mut tree = with_getent();
    let before = FILES.map(|file| tree.read(file));
    for task in [
        "!user { user: net }",
        "!user { user: net, uid: 5000, gid: team, gecos: Net User, shell: /bin/bash }",
        "!group { group: team }",
        "!group { group: team, gid: 5001, users: [net, other] }",
        "!group { group: team, users: [net], append: true }",
    ] {
        assert_eq!(tree.one(task), "matched", "{task}");
    }
    for task in [
        "!user { user: net, uid: 5002 }",
        "!user { user: net, gid: root }",
        "!user { user: net, gecos: x }",
        "!user { user: net, shell: /bin/sh }",
        "!user { user: net, groups: [root] }",
        "!user { user: net, remove: true }",
        "!group { group: team, gid: 1 }",
        "!group { group: team, users: [net] }",
        "!group { group: team, remove: true }",
    ] {
        let told = tree.one(task);
        assert!(told.contains("from a directory elsewhere"), "{task}: {told}");
    }
    assert_eq!(FILES.map(|file| tree.read(file)), before);
}

#[test]
fn a_matched_task_writes_nothing_and_takes_no_lock() {
    let mut tree = tree();
    assert_eq!(tree.one("!user { user: daemon, shell: /usr/sbin/nologin, uid: 1, gid: daemon }"), "matched");
    assert_eq!(tree.one("!group { group: users, users: [] }"), "matched");
    assert_eq!(tree.one("!group { group: none, remove: true }"), "matched");
    assert!(!tree.path("etc/.pwd.lock").exists());
}

/// Python's `lockf` is the lock of `lckpwdf`.
#[test]
fn a_change_waits_for_other_programs_that_change_users() {
    let mut tree = tree();
    let text = "import fcntl,sys,time\nf=open(sys.argv[1],'w')\nfcntl.lockf(f,fcntl.LOCK_EX)\nprint('held',flush=True)\ntime.sleep(1)\n";
    let holder = Command::new("python3")
        .arg("-c")
        .arg(text)
        .arg(tree.path("etc/.pwd.lock"))
        .stdout(Stdio::piped())
        .spawn();
    let Ok(mut holder) = holder else {
        keros_skip::skipped("there is no python3 here");
        return;
    };
    let mut line = String::new();
    BufReader::new(holder.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "held\n");
    let began = Instant::now();
    assert!(tree.one("!group { group: radio }").starts_with("created"));
    assert!(began.elapsed() >= Duration::from_millis(800), "it waited");
    holder.wait().unwrap();
    assert_eq!(fs::metadata(tree.path("etc/.pwd.lock")).unwrap().mode() & 0o777, 0o644, "made by the other");
}

#[test]
fn a_tree_without_users_is_named() {
    let told = Scratch::new().one("!user { user: bob }");
    assert!(told.contains("there is no /etc/passwd here"), "{told}");
}

/// `getent` sees only the real files.
#[test]
fn a_dry_run_goes_on_from_what_earlier_tasks_would_have_made() {
    let mut tree = tree();
    tree.stub("getent", r#"[ "$*" = "passwd daemon" ] && echo "daemon:x:1:1::/:/bin/sh" && exit 0; exit 2"#);
    let before = FILES.map(|file| tree.read(file));
    let tasks = [
        "!group { group: radio }",
        "!user { user: bob, groups: [radio] }",
        "!user { user: bob, groups: [radio] }",
        "!user { user: bob, remove: true, cleanup: true }",
        "!user { user: bob, remove: true }",
        "!user { user: daemon, remove: true }",
        "!user { user: daemon, remove: true }",
        "!group { group: radio, remove: true }",
        "!group { group: radio, remove: true }",
    ];
    let expected =
        ["created", "created", "matched", "removed", "matched", "removed", "matched", "removed", "matched"];
    tree.dry_run = true;
    assert_eq!(tree.statuses(&tasks), expected);
    assert_eq!(FILES.map(|file| tree.read(file)), before);
    assert!(!tree.path("home/bob").exists() && !tree.path("etc/.pwd.lock").exists());
    if is_root() {
        // What the dry run said is what happens, but that this getent goes on answering for the user who is gone.
        tree.dry_run = false;
        tree.stub("getent", "exit 2");
        assert_eq!(tree.statuses(&tasks), expected);
    }
}
