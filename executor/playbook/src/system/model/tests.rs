//! The model beside the machine itself: the same calls by chance, the same answers.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use super::*;
use crate::system::{HostSystem, ShellPlace};

const PATHS: [&str; 14] = [
    "/", "/a", "/a/b", "/a/b/c", "/f", "/a/f", "/l", "/l/f", "/m", "/a/m", "/a/m/x", "/a/..", "/a/../f",
    "/n/o",
];
const TARGETS: [&str; 7] = ["a", "/a/b", "../f", "l", "m", "/n", "f"];
const ACTORS: [Option<(u32, u32)>; 4] = [None, None, Some((4242, 4343)), Some((99, 99))];
/// The last one is not for an owner who is not root: what is in a folder that this process cannot read, no dry run knows.
const MODES: [u32; 8] = [0o755, 0o700, 0o644, 0o600, 0o2775, 0o1777, 0o4755, 0o070];

fn modes() -> &'static [u32] {
    if nix::unistd::geteuid().is_root() { &MODES } else { &MODES[..7] }
}

/// Sequences of calls that are tried.
const SEEDS: u64 = 100;

/// A small generator of numbers that a seed repeats.
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    fn attributes(&mut self) -> Attributes {
        let id = |chance: &mut Self| (chance.below(3) == 0).then(|| chance.pick(&[0, 4242, 4343, 99]));
        let (uid, gid) = (id(self), id(self));
        Attributes { uid, gid, mode: (self.below(2) == 0).then(|| self.pick(modes())) }
    }
}

/// One call.
#[derive(Debug, Clone)]
enum Call {
    Put(&'static str, &'static str, Attributes),
    Copy(&'static str, &'static str),
    MakeDirectory(&'static str, Attributes),
    SetAttributes(&'static str, Attributes),
    Link(&'static str, &'static str),
    RemoveFile(&'static str),
    RemoveDirectory(&'static str, bool),
    Act(Option<(u32, u32)>),
}

impl Call {
    fn by(chance: &mut Chance, is_root: bool) -> Self {
        let path = chance.pick(&PATHS);
        match chance.below(if is_root { 13 } else { 11 }) {
            0..3 => Self::Put(path, chance.pick(&["", "one", "two"]), chance.attributes()),
            3 => Self::Copy(path, chance.pick(&PATHS)),
            4..6 => Self::MakeDirectory(path, chance.attributes()),
            6..8 => Self::SetAttributes(path, chance.attributes()),
            8 => Self::Link(path, chance.pick(&TARGETS)),
            9 => Self::RemoveFile(path),
            10 => Self::RemoveDirectory(path, chance.below(2) == 0),
            _ => Self::Act(chance.pick(&ACTORS)),
        }
    }

    fn make(&self, system: &mut dyn System) -> Result<(), String> {
        match self {
            Self::Put(path, text, attributes) => {
                system.put_file(Path::new(path), &Content::Bytes(text.as_bytes()), *attributes, 0o640)
            }
            Self::Copy(path, source) => {
                let content = Content::Machine(Path::new(source));
                system.put_file(Path::new(path), &content, Attributes::default(), 0o644)
            }
            Self::MakeDirectory(path, attributes) => system.make_directory(Path::new(path), *attributes),
            Self::SetAttributes(path, attributes) => system.set_attributes(Path::new(path), *attributes),
            Self::Link(path, target) => system.make_link(Path::new(path), Path::new(target)),
            Self::RemoveFile(path) => system.remove_file(Path::new(path)),
            Self::RemoveDirectory(path, recurse) => system.remove_directory(Path::new(path), *recurse),
            Self::Act(actor) => system.act_as(actor.map(|(uid, gid)| Actor { uid, gid })),
        }
        .map_err(|error| error.to_string())
    }
}

/// All that can be asked about a path. How long a directory is depends on its file system.
fn answers(system: &mut dyn System, path: &'static str) -> Vec<String> {
    let path = Path::new(path);
    let shown = |is: Option<Metadata>| is.map(|is| (is.kind, format!("{:o}", is.mode), is.uid, is.gid));
    let mut tree = system.list_tree(path);
    tree.iter_mut().for_each(|tree| tree.sort());
    vec![
        format!("{:?}", system.metadata(path).map(shown)),
        format!("{:?}", system.link_metadata(path).map(shown)),
        format!("{:?}", system.read(path, 1000).map(String::from_utf8)),
        format!("{:?}", system.read(path, 2)),
        format!("{:?}", system.holds(path, &Content::Bytes(b"one"))),
        format!("{:?}", system.holds(path, &Content::Machine(Path::new("/f")))),
        format!("{:?}", system.read_link(path)),
        format!("{tree:?}"),
    ]
}

fn tree(chance: &mut Chance) -> Vec<(usize, &'static str, u32)> {
    (0..chance.below(6))
        .map(|_| (chance.below(3), chance.pick(&PATHS[1..10]), chance.pick(modes())))
        .collect()
}

fn scratch(tree: &[(usize, &'static str, u32)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (kind, path, mode) in tree {
        let path = folder.path().join(&path[1..]);
        if path.ancestors().take_while(|above| *above != folder.path()).any(Path::is_symlink) || path.exists()
        {
            continue;
        }
        fs::create_dir_all(path.parent().unwrap()).unwrap_or_default();
        let made = match kind {
            0 => fs::create_dir(&path),
            1 => fs::write(&path, "one"),
            _ => symlink(TARGETS[*mode as usize % TARGETS.len()], &path),
        };
        if made.is_ok() && !path.is_symlink() {
            fs::set_permissions(&path, fs::Permissions::from_mode(*mode)).unwrap();
        }
    }
    folder
}

/// The first difference.
fn compare(there: &[(usize, &'static str, u32)], calls: &[Call]) -> Result<(), String> {
    let (a, b) = (scratch(there), scratch(there));
    let mut below = HostSystem::new(a.path().to_owned(), ShellPlace::Host);
    let mut machine = HostSystem::new(b.path().to_owned(), ShellPlace::Host);
    let mut model = Model::new(&mut below);
    let mut first = Ok(());
    let mut actor = None;
    for call in calls {
        let told = call.make(&mut model);
        if let Call::Act(next) = call {
            actor = *next;
        }
        // Whom a thread acts as is the same for both systems, so it is set only while the machine itself is asked.
        let mut on_machine = |ask: &mut dyn FnMut(&mut HostSystem)| {
            Call::Act(actor).make(&mut machine).unwrap();
            ask(&mut machine);
            Call::Act(None).make(&mut machine).unwrap();
        };
        let mut is = Ok(());
        on_machine(&mut |machine| is = call.make(machine));
        if told != is {
            first = Err(format!("{call:?}: told {told:?}, is {is:?}"));
        }
        if first.is_err() {
            break;
        }
        for path in PATHS {
            let mut is = Vec::new();
            on_machine(&mut |machine| is = answers(machine, path));
            let told = answers(&mut model, path);
            if let Some((told, is)) = told.iter().zip(&is).find(|(told, is)| told != is) {
                return Err(format!("after {call:?}, {path}:\ntold {told}\n  is {is}"));
            }
        }
    }
    first
}

#[test]
fn the_model_answers_as_the_machine_does_after_the_same_calls() {
    let is_root = nix::unistd::geteuid().is_root();
    for seed in 0..SEEDS {
        let mut chance = Chance(seed);
        let there = tree(&mut chance);
        let mut calls: Vec<Call> =
            (0..1 + chance.below(16)).map(|_| Call::by(&mut chance, is_root)).collect();
        let Err(mut why) = compare(&there, &calls) else { continue };
        let mut index = 0;
        while index < calls.len() {
            let mut fewer = calls.clone();
            fewer.remove(index);
            match compare(&there, &fewer) {
                Err(still) => (calls, why) = (fewer, still),
                Ok(()) => index += 1,
            }
        }
        panic!("seed {seed}: {there:?}\n{calls:#?}\n{why}");
    }
}

#[test]
fn a_long_content_is_known_by_its_digest() {
    let folder = tempfile::tempdir().unwrap();
    let (long, mut other) = (vec![b'x'; 2 * 1024 * 1024], vec![b'x'; 2 * 1024 * 1024]);
    other[1_500_000] = b'y';
    fs::write(folder.path().join("same"), &long).unwrap();
    fs::write(folder.path().join("other"), &other).unwrap();
    let mut machine = HostSystem::new(folder.path().to_owned(), ShellPlace::Host);
    let mut model = Model::new(&mut machine);
    let path = Path::new("/long");
    model.put_file(path, &Content::Bytes(&long), Attributes::default(), 0o644).unwrap();
    let mut holds = |content: Content<'_>| model.holds(path, &content).unwrap();
    assert!(holds(Content::Bytes(&long)) && holds(Content::Machine(Path::new("/same"))));
    assert!(!holds(Content::Bytes(&other)) && !holds(Content::Machine(Path::new("/other"))));
    assert!(holds(Content::File(&folder.path().join("same"))));
    let message = model.read(path, u64::MAX).unwrap_err().to_string();
    assert!(message.contains("a dry run does not hold more than 1048576 bytes"), "{message}");
    assert!(model.read(path, 1000).unwrap_err().to_string().contains("longer than 1000 bytes"));
    assert_eq!(model.metadata(path).unwrap().unwrap().size_bytes, long.len() as u64);
}

#[test]
fn what_a_model_holds_has_a_bound_and_is_given_back() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = HostSystem::new(folder.path().to_owned(), ShellPlace::Host);
    let mut model = Model::new(&mut machine);
    let mebibyte = vec![0; 1024 * 1024];
    let mut put = |number: u32| {
        let path = PathBuf::from(format!("/{number}"));
        let put = model.put_file(&path, &Content::Bytes(&mebibyte), Attributes::default(), 0o644);
        put.map_err(|error| error.to_string()).inspect_err(|_| {
            model.remove_file(Path::new("/0")).unwrap();
            model.put_file(&path, &Content::Bytes(&mebibyte), Attributes::default(), 0o644).unwrap();
        })
    };
    let refused = (0..20).find_map(|number| put(number).err()).unwrap();
    assert!(refused.contains("a dry run can hold 16 MiB"), "{refused}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_model_runs_no_program() {
    let folder = tempfile::tempdir().unwrap();
    let mut machine = HostSystem::new(folder.path().to_owned(), ShellPlace::Host);
    let command = super::super::ProgramCommand::Shell("echo x > \"$KEROS_ROOT/f\"");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(10);
    let program = Program {
        command,
        input: b"",
        environment: &[],
        folder: None,
        within: None,
        deadline,
        output_bytes: 100,
    };
    let message = Model::new(&mut machine).run(&program).unwrap_err().to_string();
    assert!(message.contains("a dry run runs no program"), "{message}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_file_system_that_is_read_only_is_told_of() {
    let folder = tempfile::tempdir().unwrap();
    let mount = |words: &[&str]| {
        let status = std::process::Command::new(words[0]).args(&words[1..]).arg(folder.path()).status();
        status.is_ok_and(|status| status.success())
    };
    if !mount(&["mount", "-t", "tmpfs", "-o", "ro", "tmpfs"]) {
        keros_skip::skipped("only root can mount a file system");
        return;
    }
    let mut machine = HostSystem::new(PathBuf::from("/"), ShellPlace::Root);
    let path = folder.path().join("new");
    let refused =
        Model::new(&mut machine).put_file(&path, &Content::Bytes(b""), Attributes::default(), 0o644);
    assert!(mount(&["umount"]));
    let message = refused.unwrap_err().to_string();
    assert!(message.contains("the file system is read-only"), "{message}");
}
