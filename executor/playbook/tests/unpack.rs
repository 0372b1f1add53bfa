//! `unpack`: honest archives of every kind come out as they went in, hostile ones do nothing at all.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod archives;
mod bench;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

use archives::*;
use bench::Bench;

/// A destination, and the archive as the script's file `a`.
fn bench(archive: &[u8]) -> Bench {
    let bench = Bench::new();
    fs::create_dir(bench.path("d")).unwrap();
    bench.bring("files/a", archive);
    bench
}

const TASK: &str = "!unpack { src: a, dest: /d }";

fn ordinary() -> Vec<u8> {
    tar(&[
        folder("./", 0o700),
        folder("app/", 0o750),
        file("app/conf", "a = 1\n"),
        tar_entry(b"app/bin/run", b'0', b"", 0o755, b"#!/bin/sh\n"),
        link("app/now", "bin/run"),
        hard_link("app/same", "app/conf"),
        link("app/bin/up", "../conf"),
    ])
}

#[track_caller]
fn check_ordinary(bench: &mut Bench, task: &str) {
    assert_eq!(bench.one(task), ("created", String::new()));
    assert_eq!(fs::read_to_string(bench.path("d/app/conf")).unwrap(), "a = 1\n");
    let mode = |path: &str| fs::metadata(bench.path(path)).unwrap().mode() & 0o7777;
    assert_eq!((mode("d/app/bin/run"), mode("d/app/conf")), (0o755, 0o644));
    assert_eq!(fs::read_link(bench.path("d/app/now")).unwrap().as_os_str(), "bin/run");
    assert_eq!(bench.one(task), ("matched", String::new()));
}

#[test]
fn every_format_comes_out_as_it_went_in_and_a_second_run_does_nothing() {
    let plain = ordinary();
    for archive in [plain.clone(), gz(&plain), zst(&plain), [gz(&plain[..700]), gz(&plain[700..])].concat()] {
        let mut bench = bench(&archive);
        check_ordinary(&mut bench, TASK);
        let mode = |path: &str| fs::metadata(bench.path(path)).unwrap().mode() & 0o7777;
        assert_eq!((mode("d/app"), mode("d/app/bin")), (0o750, 0o755));
        assert_eq!(fs::read_to_string(bench.path("d/app/same")).unwrap(), "a = 1\n");
        assert_ne!(mode("d"), 0o700, "the destination itself is left as it is");
    }
    let with = |name: &str, mode, content: &[u8]| Zipped { mode, ..Zipped::file(name, content) };
    let zipped = [
        with("app/", 0o040_750, b""),
        with("app/conf", 0o100_644, b"a = 1\n"),
        with("app/bin/run", 0o100_755, b"#!/bin/sh\n"),
        with("app/now", 0o120_777, b"bin/run"),
    ];
    check_ordinary(&mut bench(&zip(&zipped)), TASK);
    let Some(xz) = xz(&plain, &["-6"]) else {
        keros_skip::skipped("there is no xz to pack with");
        return;
    };
    check_ordinary(&mut bench(&xz), TASK);
}

#[test]
fn an_archive_of_the_machine_is_unpacked_into_a_new_directory() {
    let mut bench = Bench::new();
    fs::write(bench.path("a.bin"), gz(&ordinary())).unwrap();
    let (status, message) = bench.one("!unpack { src: /a.bin, dest: /d/e }");
    assert_eq!(status, "failed");
    assert!(message.contains("the directory /d/e is not there"), "{message}");
    assert_eq!(bench.one("!unpack { src: /a.bin, dest: /d/e, create: true, strip: 1 }").0, "created");
    assert_eq!(fs::read_to_string(bench.path("d/e/conf")).unwrap(), "a = 1\n");
    assert_eq!(bench.one("!unpack { src: /a.bin, dest: /d/e, strip: 1 }").0, "matched");
    let (_, message) = bench.one("!unpack { src: /a.bin, dest: /d/e, strip: 2 }");
    assert!(message.contains("`strip` leaves nothing"), "{message}");
    assert!(bench.one("!unpack { src: /none, dest: /d/e }").1.contains("no such file"));
}

#[test]
fn only_what_differs_is_written_and_counted() {
    let mut bench = bench(&gz(&ordinary()));
    bench.one(TASK);
    let run = bench.path("d/app/bin/run");
    let inode = fs::metadata(&run).unwrap().ino();
    fs::write(bench.path("d/app/conf"), "a = 2\n").unwrap();
    fs::remove_file(bench.path("d/app/now")).unwrap();
    fs::write(bench.path("d/other"), "stays").unwrap();
    bench.dry_run = true;
    for dry_run in [true, false] {
        bench.dry_run = dry_run;
        assert_eq!(bench.one(TASK).0, "modified");
        let counts: Vec<_> = bench.results[0]
            .changes
            .iter()
            .map(|c| (c.property.as_str(), c.after.as_deref().unwrap()))
            .collect();
        // The content that changes is that of its other name too.
        assert_eq!(counts, [("created", "1"), ("modified", "2")]);
    }
    assert_eq!(fs::read_to_string(bench.path("d/app/conf")).unwrap(), "a = 1\n");
    assert_eq!(fs::metadata(&run).unwrap().ino(), inode, "what is the same is not touched");
    assert_eq!(fs::read_to_string(bench.path("d/other")).unwrap(), "stays");
    fs::set_permissions(&run, fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(bench.one(TASK).0, "modified");
    assert_eq!(fs::metadata(&run).unwrap().mode() & 0o777, 0o755);
    assert_eq!(bench.one(TASK).0, "matched");
}

#[test]
fn a_dry_run_writes_nothing() {
    let mut bench = bench(&ordinary());
    bench.dry_run = true;
    assert_eq!(bench.one(TASK).0, "created");
    assert_eq!(bench.one("!unpack { src: a, dest: /new, create: true }").0, "created");
    bench.run(&[
        TASK,
        TASK,
        "!copy { src: /d/app/same, dest: /d/app/conf }",
        "!copy { content: 'a = 2', dest: /d/app/conf }",
        "!file { path: /d/app/now, remove: true }",
        TASK,
        "!copy { src: a, dest: /a }",
        "!unpack { src: /a, dest: /d }",
    ]);
    let statuses: Vec<_> = bench.results.iter().map(|result| result.status.as_str()).collect();
    // Later tasks see what earlier ones would have done.
    let expected = ["created", "matched", "matched", "modified", "removed", "modified", "created", "matched"];
    assert_eq!(statuses, expected);
    assert_eq!(fs::read_dir(bench.path("d")).unwrap().count(), 0);
    assert!(!bench.path("new").exists());
}

#[test]
fn owner_and_mode_are_those_that_are_asked_for() {
    let mut bench = bench(&ordinary());
    let mut task = "!unpack { src: a, dest: /d, attributes: { mode: 0600 } }";
    if nix::unistd::geteuid().is_root() {
        task = "!unpack { src: a, dest: /d, attributes: { owner: 1234, group: 4321, mode: 0600 } }";
    }
    assert_eq!(bench.one(task).0, "created");
    assert_eq!(bench.one(task).0, "matched");
    for path in ["d/app", "d/app/bin", "d/app/bin/run"] {
        let is = fs::metadata(bench.path(path)).unwrap();
        if nix::unistd::geteuid().is_root() {
            assert_eq!((is.uid(), is.gid()), (1234, 4321), "{path}");
        }
        assert_eq!(is.mode() & 0o777 == 0o600, is.is_file(), "{path}");
    }
}

#[test]
fn every_byte_that_linux_allows_works_in_a_name() {
    let odd: Vec<Vec<u8>> =
        (1..=255_u8).filter(|byte| *byte != b'/' && *byte != b'.').map(|byte| vec![byte]).collect();
    let long = [vec![b'x'; 250], vec![b'y'; 250], vec![0xff; 250]].join(&b'/');
    let names: Vec<Vec<u8>> = odd.into_iter().chain([b"..a".to_vec(), b"-rf".to_vec(), long]).collect();
    let entries: Vec<_> = names.iter().map(|name| tar_entry(name, b'0', b"", 0o644, name)).collect();
    let mut bench = bench(&tar(&entries));
    assert_eq!(bench.one(TASK), ("created", String::new()));
    for name in &names {
        assert_eq!(&fs::read(bench.path("d").join(OsStr::from_bytes(name))).unwrap(), name);
    }
    assert_eq!(bench.one(TASK).0, "matched");
}

#[test]
fn hostile_archives_are_refused_by_name_and_nothing_is_written() {
    let good = || file("good", "x");
    let dev = |kind| tar_entry(b"dev", kind, b"", 0o644, b"");
    let cases: Vec<(Vec<Vec<u8>>, &str)> = vec![
        (vec![file("/etc/passwd", "x")], "begins with /"),
        (vec![file("../x", "x")], "`..` in its name"),
        (vec![file("a/../../x", "x")], "`..` in its name"),
        (vec![pax("path", "a\0b"), good()], "NUL character"),
        (vec![pax("path", "../../x"), good()], "`..` in its name"),
        (vec![tar_entry(b"a/../../../b", b'5', b"", 0o755, b"")], "`..` in its name"),
        (vec![link("l", "/etc")], "out of the directory"),
        (vec![link("l", "../x")], "out of the directory"),
        (vec![link("a/l", "../../x")], "out of the directory"),
        (vec![link("a/b/s", "../.."), link("t", "a/b/s/..")], "out of the directory"),
        (vec![link("l", "")], "leads nowhere"),
        (vec![link("l", "a"), file("l/x", "x")], "below an entry that is no directory"),
        (vec![file("l/x", "x"), link("l", "a")], "twice"),
        (vec![file("f", "x"), file("f/x", "x")], "below an entry that is no directory"),
        (vec![file("f", "x"), file("./f", "y")], "twice"),
        (vec![file("f", "x"), folder("f/", 0o755)], "twice"),
        (vec![hard_link("h", "/etc/passwd")], "begins with /"),
        (vec![hard_link("h", "../x")], "`..`"),
        (vec![hard_link("h", "later"), file("later", "x")], "no earlier file"),
        (vec![link("l", "good"), hard_link("h", "l")], "no earlier file"),
        (vec![dev(b'3')], "a device"),
        (vec![dev(b'4')], "a device"),
        (vec![dev(b'6')], "a named pipe"),
        (vec![dev(b'S')], "a sparse file"),
        (vec![dev(b'Z')], "kind 'Z' is not known"),
        (vec![pax("GNU.sparse.size", "1"), file("s", "x")], "a sparse file"),
        (vec![pax("size", "1000000"), file("s", "x")], "different sizes"),
        (vec![pax("size", "x"), file("s", "x")], "no number"),
        (vec![tar_entry(b"s", b'0', b"", 0o4755, b"x")], "set-id bits"),
        (vec![tar_entry(b"s", b'0', b"", 0o2755, b"x")], "set-id bits"),
        (vec![folder("s/", 0o2755)], "set-id bits"),
        (vec![tar_entry(b"L", b'L', b"", 0o644, &[b'x'; 5000]), good()], "name is too long"),
        (vec![tar_entry(b"L", b'L', b"", 0o644, &[b'x'; 300]), good()], "part of its name is too long"),
        (vec![tar_entry(b"L", b'L', b"", 0o644, &vec![b'x'; 99_999]), good()], "a record of more than"),
        (vec![tar_entry_of_size(b"big", b'0', b"", 0o644, b"", 1 << 40)], "too much"),
        (vec![tar_entry_of_size(b"big", b'0', b"", 0o644, b"", 8 << 20)], "cannot be read"),
        (vec![vec![0xff; 512]], "cannot be read"),
    ];
    for (number, (mut entries, words)) in cases.into_iter().enumerate() {
        entries.insert(0, file("first", "x"));
        let archive = tar(&entries);
        for packed in [archive.clone(), gz(&archive)] {
            let mut bench = bench(&packed);
            let (status, message) = bench.one(TASK);
            assert_eq!(status, "failed", "case {number}");
            assert!(message.contains(words), "case {number}: {message}");
            assert_eq!(fs::read_dir(bench.path("d")).unwrap().count(), 0, "case {number}");
        }
    }
}

#[test]
fn hostile_zip_archives_are_refused_too() {
    let entry = |name: &str| Zipped::file(name, b"content");
    let cases = [
        (entry("../x"), "`..`"),
        (entry("/x"), "begins with /"),
        (entry("a\0b"), "NUL"),
        (entry("first"), "twice"),
        (Zipped { mode: 0o120_777, content: b"/etc".to_vec(), ..entry("l") }, "out of the directory"),
        (Zipped { mode: 0o060_644, ..entry("d") }, "device or pipe"),
        (Zipped { mode: 0o104_755, ..entry("s") }, "set-id"),
        (Zipped { flags: 1, ..entry("e") }, "encrypted"),
        (Zipped { size: Some(6), ..entry("e") }, "longer than the archive says"),
        (Zipped { size: Some(8), ..entry("e") }, "shorter than the archive says"),
        (Zipped { size: Some(u32::MAX), ..entry("e") }, "zip64"),
        (Zipped { size: Some(4_000_000_000), ..entry("e") }, "too much"),
        (Zipped { wrong_checksum: true, ..entry("e") }, "checksum is wrong"),
    ];
    for (hostile, words) in cases {
        let mut bench = bench(&zip(&[Zipped::file("first", b"x"), hostile]));
        let (status, message) = bench.one(TASK);
        assert_eq!(status, "failed", "{words}");
        assert!(message.contains(words), "{words}: {message}");
        assert_eq!(fs::read_dir(bench.path("d")).unwrap().count(), 0, "{words}");
    }
    for cut in [10, 60] {
        let whole = zip(&[entry("f")]);
        let (status, message) = bench(&whole[..whole.len() - cut]).one(TASK);
        assert_eq!(status, "failed");
        assert!(message.contains("the directory at its end is missing"), "{message}");
    }
}

#[test]
fn an_archive_that_was_cut_or_changed_is_found_out_before_anything_is_written() {
    let content: String = (0..20_000).map(|number| format!("{number:x} ")).collect();
    let plain = tar(&[file("first", "x"), file("second", &content), file("third", "y")]);
    let packed = [Some(gz(&plain)), Some(zst(&plain)), xz(&plain, &["-6"])];
    for whole in packed.into_iter().flatten() {
        for cut in [1, 5, 100, whole.len() / 2] {
            let mut bench = bench(&whole[..whole.len() - cut]);
            assert_eq!(bench.one(TASK).0, "failed", "{cut} of {} bytes less", whole.len());
            assert_eq!(fs::read_dir(bench.path("d")).unwrap().count(), 0);
        }
        for at in [whole.len() / 3, whole.len() / 2] {
            let mut changed = whole.clone();
            changed[at] ^= 0x10;
            let mut bench = bench(&changed);
            assert_eq!(bench.one(TASK).0, "failed", "byte {at} of {} changed", whole.len());
            assert_eq!(fs::read_dir(bench.path("d")).unwrap().count(), 0);
        }
    }
    let (_, message) = bench(&plain[..plain.len() - 1024 - 512]).one(TASK);
    assert!(message.contains("cannot be read"), "{message}");
    assert!(bench(b"no archive at all").one(TASK).1.contains("this is no tar"));
    assert!(bench(b"").one(TASK).1.contains("this is no tar"));
}

#[test]
fn bombs_are_refused_by_their_size_before_anything_is_written() {
    let zeros = vec![0; 30 << 20];
    let plain = tar(&[file("first", "x"), tar_entry(b"bomb", b'0', b"", 0o644, &zeros)]);
    let zipped = zip(&[Zipped::file("first", b"x"), Zipped::file("bomb", &zeros)]);
    for archive in [Some(gz(&plain)), xz(&plain, &["-6"]), Some(zipped)].into_iter().flatten() {
        assert!(archive.len() < 100_000);
        let mut bench = bench(&archive);
        let (status, message) = bench.one(TASK);
        assert_eq!(status, "failed");
        assert!(message.contains("too much for one of its size"), "{message}");
        assert_eq!(fs::read_dir(bench.path("d")).unwrap().count(), 0);
    }
    // A hard link would become a copy each time.
    let mut entries = vec![tar_entry(b"f", b'0', b"", 0o644, &vec![b'x'; 1 << 20])];
    entries.extend((0..300).map(|number| hard_link(&format!("h{number}"), "f")));
    assert!(bench(&gz(&tar(&entries))).one(TASK).1.contains("too much for one of its size"));
    let many: Vec<_> = (0..100_001).map(|number| folder(&format!("d{number}"), 0o755)).collect();
    assert!(bench(&tar(&many)).one(TASK).1.contains("more than 100000 entries"));
    let deep = "d/".repeat(2000);
    let long: Vec<_> = (0..5).map(|number| file(&format!("{number}/{deep}f"), "")).collect();
    assert!(bench(&tar(&long)).one(TASK).1.contains("bytes of names"));
}

#[test]
fn a_window_that_takes_too_much_memory_is_refused() {
    let plain = ordinary();
    // A frame of zstd whose header asks for a window of 1 GiB.
    let wide = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa0, 0x01, 0x00, 0x00];
    assert!(bench(&wide).one(TASK).1.contains("cannot be read"));
    let Some(wide) = xz(&plain, &["--lzma2=dict=64MiB"]) else {
        keros_skip::skipped("there is no xz to pack with");
        return;
    };
    let mut bench = bench(&wide);
    assert!(bench.one(TASK).1.contains("cannot be read"), "{}", bench.one(TASK).1);
    bench.bring("files/a", &xz(&plain, &["--lzma2=dict=32MiB"]).unwrap());
    assert_eq!(bench.one(TASK).0, "created");
}

#[test]
fn nothing_is_unpacked_through_a_link_that_is_there() {
    let mut bench = bench(&ordinary());
    fs::create_dir(bench.path("outside")).unwrap();
    symlink("../outside", bench.path("d/app")).unwrap();
    let (status, message) = bench.one(TASK);
    assert_eq!(status, "failed");
    assert!(message.contains("/d/app is in the way: it is no directory"), "{message}");
    bench.bring("files/a", &tar(&[file("app/conf", "x")]));
    assert!(bench.one(TASK).1.contains("nothing is unpacked through one"));
    assert_eq!(fs::read_dir(bench.path("outside")).unwrap().count(), 0);
    // A link at the very place of a file is replaced, not followed.
    fs::remove_file(bench.path("d/app")).unwrap();
    fs::create_dir(bench.path("d/app")).unwrap();
    symlink("../../outside/victim", bench.path("d/app/conf")).unwrap();
    assert_eq!(bench.one(TASK).0, "modified");
    assert!(bench.path("d/app/conf").is_file() && !bench.path("outside/victim").exists());
    bench.bring("files/a", &tar(&[file("app", "x")]));
    assert!(bench.one(TASK).1.contains("/d/app is in the way: it is a directory"));
}

#[test]
fn a_wrong_task_is_refused_before_anything_runs() {
    let bench = bench(&ordinary());
    assert!(bench.refused("!unpack { src: none, dest: /d }").contains("no such file: none"));
    assert!(bench.refused("!unpack { src: ../files/a, dest: /d }").contains("`..` is not allowed"));
    assert!(bench.refused("!unpack { src: a }").contains("needs the key `dest`"));
    assert!(bench.refused("!unpack { src: a, dest: /d, strip: x }").contains("not a whole number"));
}
