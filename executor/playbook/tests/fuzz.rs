//! Fuzzing on a stable compiler: seeds are changed at random for `KEROS_FUZZ_SECONDS` per target (5 if not set), in a process of
//! its own whose memory is limited. No input may panic, take long, need much memory, or change the tree of a dry run. The same
//! entries are fuzzed with coverage by `cargo +nightly fuzz run`, see `fuzz/README.md`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

mod archives;

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use keros_playbook::fuzzing;
use nix::sys::resource::{Resource, setrlimit};

/// Address space of the process that takes the inputs, bytes: its program, its stacks, and 32 MiB windows are in it.
const MEMORY_BYTES: u64 = 768 * 1024 * 1024;
/// For one input, also on a machine that does other things; most take a thousandth.
const INPUT_TIME: Duration = Duration::from_secs(20);

/// Where the process notes its input before it takes it, so that a crash or hang tells which it was.
const NOTE: &str = "KEROS_FUZZ_NOTE";

#[test]
fn no_script_panics_hangs_eats_memory_or_changes_the_tree_of_a_dry_run() {
    in_a_limited_process("no_script_panics_hangs_eats_memory_or_changes_the_tree_of_a_dry_run", || {
        let tree = tempfile::tempdir().unwrap();
        let mut seeds = corpus("script");
        seeds.extend(files_in(Path::new("../../tests/playbooks")));
        let cases: serde_json::Value =
            serde_json::from_slice(&fs::read("tests/conformance/cases.json").unwrap()).unwrap();
        let playbooks = cases.as_array().unwrap().iter().filter_map(|case| case["playbook"].as_str());
        seeds.extend(playbooks.map(|playbook| playbook.as_bytes().to_vec()));
        fuzz(&seeds, SCRIPT_WORDS, &mut |input| {
            fuzzing::script(&String::from_utf8_lossy(&input), tree.path());
            assert_eq!(fs::read_dir(tree.path()).unwrap().count(), 0, "a dry run changed something");
        });
    });
}

#[test]
fn no_template_panics_hangs_or_eats_memory() {
    in_a_limited_process("no_template_panics_hangs_or_eats_memory", || {
        fuzz(&corpus("template"), TEMPLATE_WORDS, &mut |input| {
            fuzzing::template(&String::from_utf8_lossy(&input));
        });
    });
}

#[test]
fn no_record_of_a_backup_panics_hangs_or_touches_what_is_outside_of_the_tree() {
    in_a_limited_process("no_record_of_a_backup_panics_hangs_or_touches_what_is_outside_of_the_tree", || {
        let all = tempfile::tempdir().unwrap();
        let (folder, tree, outside) =
            (all.path().join("backup"), all.path().join("tree"), all.path().join("o"));
        fs::create_dir_all(folder.join("blobs")).unwrap();
        fs::create_dir(&tree).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "mine").unwrap();
        std::os::unix::fs::symlink(&outside, tree.join("way-out")).unwrap();
        fuzz(&corpus("backup"), BACKUP_WORDS, &mut |input| {
            fuzzing::backup(&fuzzing::with_sums(&input), &folder, &tree);
            assert_eq!(fs::read_dir(&outside).unwrap().count(), 1, "something was put outside of the tree");
            assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "mine");
        });
    });
}

#[test]
fn no_archive_panics_hangs_or_eats_memory() {
    in_a_limited_process("no_archive_panics_hangs_or_eats_memory", || {
        let mut number = 0;
        fuzz(&corpus("archive"), ARCHIVE_WORDS, &mut |input| {
            number += 1;
            let input = fuzzing::with_checksums(input);
            if number % 4 == 0 { fuzzing::archive(&archives::gz(&input)) } else { fuzzing::archive(&input) }
        });
    });
}

const SCRIPT_WORDS: &[&str] = &[
    "- ",
    "  ",
    "\n",
    "\n    - !",
    ": ",
    "{",
    "}",
    "[",
    "]",
    "&a ",
    "*a",
    "|\n",
    ">-\n",
    "'",
    "\"",
    "#",
    "!!str ",
    "~",
    "---\n",
    "tasks:",
    "with: { items: [a, b] }",
    "with: { condition: (eq a 1) }",
    "and: { retry: 9, delay: 0 }",
    "{{a}}",
    "!shell",
    "!command { argv: [a] }",
    "!external { use: x, params: {} }",
    "!download",
    "!unpack { src: /a, dest: /b }",
    "!set",
    "0x7fffffffffffffff",
    "99999999999999999999",
    "1e999",
    "é",
    "\0",
    "\t",
    "\r\n",
    "? ",
    "<<: *a",
    "%YAML 1.2\n",
    "\u{feff}",
];

const TEMPLATE_WORDS: &[&str] = &[
    "{{",
    "}}",
    "{{{",
    "}}}",
    "{{#if ",
    "{{/if}}",
    "{{else if ",
    "{{else}}",
    "{{#each l}}",
    "{{/each}}",
    "{{#with m}}",
    "{{/with}}",
    "{{> p}}",
    "{{#*inline \"p\"}}",
    "{{/inline}}",
    "{{#> p}}",
    "{{/p}}",
    "@partial-block",
    "{{!--",
    "--}}",
    "~",
    "(",
    ")",
    "[",
    "]",
    "eq n 5",
    "and n s",
    "lookup l 1",
    "isdefined x",
    "../",
    "@root",
    "@index",
    "as |a b|",
    "{{{{raw}}}}",
    "{{{{/raw}}}}",
    "\\{{",
    "'",
    "\"",
    "é",
    "\n",
    "l.[0]",
    "m.deep.l",
    "18446744073709551616",
    "-1",
    "a=1",
    "{{&n}}",
    "{{^}}",
    "{{#unless z}}",
    "{{/unless}}",
];

const BACKUP_WORDS: &[&str] = &[
    "/way-out/file",
    "/way-out",
    "..",
    "/",
    "null",
    "\"was\":null",
    "{\"kind\":\"directory\"",
    "link",
    "special",
    "tree",
    "packages",
    "undone",
    "service",
    "18446744073709551615",
    "-1",
    "[255,47]",
    "\n",
];

const ARCHIVE_WORDS: &[&str] = &[
    "../",
    "/",
    "\0",
    "././@LongLink",
    "77777777777",
    "00000000000",
    "ustar\0",
    "ustar  ",
    "PK\u{1}\u{2}",
    "PK\u{3}\u{4}",
    "PK\u{5}\u{6}",
    "12 path=../a\n",
    "99999999999 path=a\n",
    "size=9999999\n",
    "GNU.sparse.name=a\n",
    "\u{7f}\u{7f}\u{7f}\u{7f}",
];

/// Seeds and inputs that once did harm.
fn corpus(target: &str) -> Vec<Vec<u8>> {
    files_in(&Path::new("tests/corpus").join(target))
}

fn files_in(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().filter(|path| path.is_file()).map(|path| fs::read(path).unwrap()).collect()
}

fn seconds() -> u64 {
    std::env::var("KEROS_FUZZ_SECONDS").map_or(5, |seconds| seconds.parse().unwrap())
}

/// Runs this test again in a process that may use only so much memory, and has only so much time.
fn in_a_limited_process(test: &str, work: impl FnOnce()) {
    if std::env::var_os(NOTE).is_some() {
        setrlimit(Resource::RLIMIT_AS, MEMORY_BYTES, MEMORY_BYTES).unwrap();
        work();
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (note, log) = (folder.path().join("input"), folder.path().join("log"));
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(NOTE, &note)
        // Each further heap would reserve 64 MiB of addresses.
        .env("MALLOC_ARENA_MAX", "1")
        .stdout(fs::File::create(&log).unwrap())
        .stderr(fs::File::options().append(true).open(&log).unwrap())
        .spawn()
        .unwrap();
    let until = Instant::now() + Duration::from_secs(seconds()) + 6 * INPUT_TIME;
    let status = loop {
        match child.try_wait().unwrap() {
            Some(status) => break Some(status),
            None if Instant::now() > until => {
                child.kill().unwrap();
                child.wait().unwrap();
                break None;
            }
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    if status.is_none_or(|status| !status.success()) {
        let kept = std::env::temp_dir().join(format!("keros-fuzz-{}", std::process::id()));
        let _ = fs::copy(&note, &kept);
        let log = String::from_utf8_lossy(&fs::read(&log).unwrap()).into_owned();
        panic!(
            "{} (none: it hung), input kept in {}:\n{log}",
            status.map_or("none".to_owned(), |s| s.to_string()),
            kept.display()
        );
    }
}

/// Takes every seed as it is, then changed ones until the time is over.
fn fuzz(seeds: &[Vec<u8>], words: &[&str], take: &mut dyn FnMut(Vec<u8>)) {
    assert!(!seeds.is_empty());
    let note = std::env::var_os(NOTE).unwrap();
    let mut taken = 0_u64;
    let mut take = |input: Vec<u8>| {
        fs::write(&note, &input).unwrap();
        let began = Instant::now();
        take(input);
        assert!(began.elapsed() < INPUT_TIME, "took {:?}", began.elapsed());
        taken += 1;
    };
    let until = Instant::now() + Duration::from_secs(seconds());
    seeds.iter().cloned().for_each(&mut take);
    let mut random = Random(RandomState::new().hash_one(0));
    while Instant::now() < until {
        let mut input = random.pick(seeds).clone();
        for _ in 0..=random.below(6) {
            change(&mut input, seeds, words, &mut random);
        }
        take(input);
    }
    println!("{taken} inputs");
}

/// Numbers that need not be good, only many.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound.max(1)
    }

    fn pick<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }

    fn range(&mut self, length: usize, most: usize) -> std::ops::Range<usize> {
        let begin = self.below(length + 1);
        begin..(begin + self.below(most + 1)).min(length)
    }
}

fn change(input: &mut Vec<u8>, seeds: &[Vec<u8>], words: &[&str], random: &mut Random) {
    let length = input.len();
    match random.below(8) {
        0 | 1 => {
            let place = random.range(length, 8);
            input.splice(place, random.pick(words).bytes());
        }
        2 => {
            input.drain(random.range(length, 64));
        }
        3 => {
            let part = input[random.range(length, 512)].to_vec();
            let at = random.below(length + 1);
            for _ in 0..=random.below(4) {
                input.splice(at..at, part.iter().copied());
            }
        }
        4 => {
            let other = random.pick(seeds);
            let part = other[random.range(other.len(), 1024)].to_vec();
            let place = random.range(length, 64);
            input.splice(place, part);
        }
        5 => input.truncate(random.below(length + 1)),
        6 => {
            // A word many times: deep nesting and long lists.
            let (word, at) = (random.pick(words), random.below(length + 1));
            let times = 1 << random.below(12);
            input.splice(at..at, word.repeat(times).into_bytes());
        }
        _ => {
            for _ in 0..=random.below(4) {
                if let Some(byte) = input.get_mut(random.below(length)) {
                    *byte = *random.pick(&[0, 1, 0x7f, 0x80, 0xff, b'0', b'7', *byte ^ 1, *byte ^ 0x80]);
                }
            }
        }
    }
    // Beyond the greatest script there is nothing more to find.
    input.truncate(400_000);
}
