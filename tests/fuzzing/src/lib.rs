//! Fuzzing on a stable compiler: seeds are changed at random for `KEROS_FUZZ_SECONDS` per target (5 if not set), in a process of
//! its own whose memory is limited. `KEROS_FUZZ_SEED`, a number, makes the changes the same each time. The same entries are fuzzed
//! with coverage by `cargo +nightly fuzz run`, see `fuzz/README.md`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "only tests call it, and a test ends by panicking")]

mod change;

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher as _;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, setrlimit};

use crate::change::{Random, change};

/// Address space of the process that takes the inputs, bytes: its program, its stacks, and 32 MiB windows are in it.
const MEMORY_BYTES: u64 = 768 * 1024 * 1024;
/// For one input, also on a machine that does other things; most take a thousandth.
const INPUT_TIME: Duration = Duration::from_secs(20);

/// Where the process notes its input before it takes it, so that a crash or hang tells which it was.
const NOTE: &str = "KEROS_FUZZ_NOTE";

/// The content of each file in a folder: seeds, and inputs that once did harm.
///
/// # Panics
/// When the folder cannot be read.
pub fn files_in(folder: &Path) -> Vec<Vec<u8>> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.iter().filter(|path| path.is_file()).map(|path| fs::read(path).unwrap()).collect()
}

fn seconds() -> u64 {
    std::env::var("KEROS_FUZZ_SECONDS").map_or(5, |seconds| seconds.parse().unwrap())
}

fn seed() -> u64 {
    std::env::var("KEROS_FUZZ_SEED")
        .map_or_else(|_| RandomState::new().hash_one(0), |seed| seed.parse().unwrap())
}

/// Runs this test again in a process that may use only so much memory, and has only so much time.
///
/// # Panics
/// When that process fails or hangs; the input is kept.
pub fn in_a_limited_process(test: &str, work: impl FnOnce()) {
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

/// Takes every seed as it is, then changed ones until the time is over. `words` are put in here and there.
///
/// # Panics
/// When an input takes too long.
pub fn fuzz(seeds: &[Vec<u8>], words: &[&str], take: &mut dyn FnMut(Vec<u8>)) {
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
    let seed = seed();
    println!("KEROS_FUZZ_SEED={seed}");
    let mut random = Random(seed);
    while Instant::now() < until {
        let mut input = random.pick(seeds).clone();
        for _ in 0..=random.below(6) {
            change(&mut input, seeds, words, &mut random);
        }
        take(input);
    }
    println!("{taken} inputs");
}
