//! The folders in which a case is run: made, filled, and looked at afterwards.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::case::{Case, SearchPath};
use crate::seen::Tree;

/// Where the machine's own tools are.
pub(crate) const GNU_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The names that the stub tool answers for.
const STUBS: [&str; 6] = ["apt-cache", "apt-get", "dpkg", "dpkg-query", "getent", "systemctl"];

/// What cases are run on: made once, used by many.
pub(crate) struct Ground {
    /// Holds the tools, or the tree.
    folder: tempfile::TempDir,
    /// The tree that is worked on; `/` for the machine itself.
    pub(crate) root: PathBuf,
    search_path: String,
}

impl Ground {
    /// The machine itself, with its own tools.
    pub(crate) fn machine() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, root: "/".into(), search_path: GNU_PATH.to_owned() }
    }

    /// The machine itself, with the tools of BusyBox only.
    pub(crate) fn busybox() -> Self {
        let folder = tempfile::tempdir().unwrap();
        link_applets(&busybox(), folder.path());
        let search_path = folder.path().display().to_string();
        Self { folder, root: "/".into(), search_path }
    }

    /// A tree that holds BusyBox and nothing else.
    pub(crate) fn tree() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        for name in ["bin", "dev", "etc", "tmp"] {
            fs::create_dir(root.join(name)).unwrap();
        }
        // A shell opens it for programs in the background.
        fs::write(root.join("dev/null"), "").unwrap();
        fs::copy(busybox(), root.join("bin/busybox")).unwrap();
        link_applets(Path::new("/bin/busybox"), &root.join("bin"));
        for name in ["passwd", "group", "os-release"] {
            fs::copy(Path::new("/etc").join(name), root.join("etc").join(name)).unwrap();
        }
        Self { folder, root, search_path: "/bin".to_owned() }
    }
}

/// The folders of one case.
pub(crate) struct Bench {
    /// With the script's folder.
    folder: tempfile::TempDir,
    /// On the machine, or in its tree.
    scratch: tempfile::TempDir,
    scratch_in_script: String,
    /// The tree that is worked on; `/` for the machine itself.
    pub(crate) root: PathBuf,
    pub(crate) search_path: String,
}

impl Bench {
    /// Makes the folders, and runs the setup.
    pub(crate) fn new(case: &Case, ground: &Ground) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let scratch = tempfile::tempdir_in(ground.folder.path()).unwrap();
        let is_tree = ground.root != Path::new("/");
        let scratch_in_script =
            if is_tree { scratch.path().strip_prefix(&ground.root).unwrap() } else { scratch.path() };
        let scratch_in_script = Path::new("/").join(scratch_in_script).display().to_string();
        let (root, mut search_path) = (ground.root.clone(), ground.search_path.clone());
        if case.path == SearchPath::Fake {
            stub_tools(&folder.path().join("tools"), &folder.path().join("commands"));
            search_path = format!("{}:{search_path}", folder.path().join("tools").display());
        }
        Self { folder, scratch, scratch_in_script, root, search_path }.filled(case)
    }

    fn filled(self, case: &Case) -> Self {
        fs::set_permissions(self.scratch.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(self.play()).unwrap();
        for (name, content) in &case.files {
            let path = self.play().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, self.fill(content)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        }
        let setup = format!("umask 022; {}", self.fill(&case.setup));
        let status = Command::new("sh").arg("-ec").arg(setup).current_dir(self.scratch.path()).status();
        assert!(status.unwrap().success(), "{}: its setup failed", case.name);
        self
    }

    /// The work is done on a tree, not on the machine itself.
    pub(crate) fn is_tree(&self) -> bool {
        self.root != Path::new("/")
    }

    /// The script's folder.
    pub(crate) fn play(&self) -> PathBuf {
        self.folder.path().join("pb")
    }

    /// A folder for whatever else a run needs.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Fills in the placeholders.
    pub(crate) fn fill(&self, template: &str) -> String {
        template.replace("{S}", &self.scratch_in_script).replace("{P}", &self.play().display().to_string())
    }

    /// Puts the placeholders back, so that results can be compared.
    pub(crate) fn emptied(&self, text: &str) -> String {
        text.replace(&self.play().display().to_string(), "{P}").replace(&self.scratch_in_script, "{S}")
    }

    /// What is in the scratch folder.
    pub(crate) fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        self.list(self.scratch.path(), "", &mut tree);
        tree
    }

    /// Command lines that reached the stub tools.
    pub(crate) fn commands(&self) -> Vec<String> {
        let log = fs::read_to_string(self.folder.path().join("commands")).unwrap_or_default();
        // An argument of several lines goes on in the next.
        let begins = |line: &&str| STUBS.iter().any(|tool| line.split(' ').next() == Some(tool));
        log.lines().filter(begins).map(str::to_owned).collect()
    }

    fn list(&self, folder: &Path, prefix: &str, tree: &mut Tree) {
        for entry in fs::read_dir(folder).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{prefix}{}", entry.file_name().to_str().unwrap());
            let metadata = fs::symlink_metadata(entry.path()).unwrap();
            let mode = format!("0o{:o}", metadata.mode() & 0o7777);
            let (uid, gid) = (metadata.uid(), metadata.gid());
            let value = if metadata.is_symlink() {
                let to = self.emptied(fs::read_link(entry.path()).unwrap().to_str().unwrap());
                json!({"type": "l", "uid": uid, "gid": gid, "to": to})
            } else if metadata.is_dir() {
                self.list(&entry.path(), &format!("{name}/"), tree);
                json!({"type": "d", "mode": mode, "uid": uid, "gid": gid})
            } else if metadata.is_file() {
                let text = self.emptied(&text_of(&fs::read(entry.path()).unwrap()));
                json!({"type": "-", "mode": mode, "uid": uid, "gid": gid, "text": text})
            } else {
                json!({"type": "other", "mode": mode, "uid": uid, "gid": gid})
            };
            tree.insert(name, value);
        }
    }
}

/// Bytes as text; those that are none are shown by number.
fn text_of(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap_or_else(|_| format!("bytes {bytes:02x?}"))
}

/// The stub tool under each of its names. Its log's name stands in it, since our engine gives programs an environment of
/// its own.
fn stub_tools(tools: &Path, log: &Path) {
    fs::create_dir(tools).unwrap();
    let text = fs::read_to_string(crate::case::folder().join("stub/tool")).unwrap();
    let (first, rest) = text.split_once('\n').unwrap();
    let text = format!("{first}\nFAKELOG='{}'\n{rest}", log.display());
    fs::write(tools.join("tool"), text).unwrap();
    fs::set_permissions(tools.join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
    for name in STUBS {
        symlink("tool", tools.join(name)).unwrap();
    }
}

/// BusyBox as it is installed.
pub(crate) fn busybox() -> PathBuf {
    ["/bin/busybox", "/usr/bin/busybox"].map(PathBuf::from).into_iter().find(|path| path.exists()).unwrap()
}

/// Whether BusyBox is here.
pub(crate) fn has_busybox() -> bool {
    ["/bin/busybox", "/usr/bin/busybox"].iter().any(|path| Path::new(path).exists())
}

/// Whether the machine has what a case needs.
pub(crate) fn has_tools_for(case: &Case) -> bool {
    let is_here = |tool: &String| GNU_PATH.split(':').any(|folder| Path::new(folder).join(tool).exists());
    case.needs.as_ref().is_none_or(is_here)
}

fn link_applets(to: &Path, folder: &Path) {
    let listed = Command::new(busybox()).arg("--list").output().unwrap();
    for name in String::from_utf8(listed.stdout).unwrap().lines().filter(|name| *name != "busybox") {
        symlink(to, folder.join(name)).unwrap();
    }
}
