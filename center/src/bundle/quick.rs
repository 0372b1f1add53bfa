//! The quick form: a bundle of packages and files without a playbook, which is made here.

use std::fmt::Write as _;
use std::fs::{File, metadata};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use keros_protocol::magic_link::Title;

use super::BundleError;
use super::folder::SourceFile;

/// What is to be done, in this order; services are restarted when one of the others has changed something.
#[derive(Debug, Clone, Default)]
pub(crate) struct Quick {
    /// Packages for dpkg.
    pub(crate) debs: Vec<PathBuf>,
    /// Packages for opkg.
    pub(crate) ipks: Vec<PathBuf>,
    /// Files.
    pub(crate) files: Vec<Placed>,
    /// Services.
    pub(crate) restart: Vec<String>,
}

/// A file and its place on the gateway: `local:/remote/path` or `local:/remote/path:0600`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Placed {
    local: PathBuf,
    remote: String,
    mode: Option<u32>,
}

impl FromStr for Placed {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let error = || {
            "expected LOCAL:/REMOTE/PATH or LOCAL:/REMOTE/PATH:MODE, e.g. conf.toml:/etc/lorafwd/conf.toml:0640".to_owned()
        };
        let at = text.find(":/").filter(|at| *at > 0).ok_or_else(error)?;
        let (local, rest) = (&text[..at], &text[at + 1..]);
        let (remote, mode) = match rest.rsplit_once(':') {
            None => (rest, None),
            Some((remote, mode)) => {
                let is_octal =
                    matches!(mode.len(), 3 | 4) && mode.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
                let mode = is_octal.then(|| u32::from_str_radix(mode, 8).ok()).flatten();
                (remote, Some(mode.ok_or_else(error)?))
            }
        };
        let title: Title = format!("files{remote}").parse().map_err(|_| error())?;
        if title.as_str().contains("{{") {
            return Err("a path with `{{` would be taken for a variable".to_owned());
        }
        Ok(Self { local: local.into(), remote: remote.to_owned(), mode })
    }
}

/// What the playbook is called.
pub(super) const PLAYBOOK: &str = "site.yml";

impl Quick {
    /// What to call it when nothing is said.
    pub(super) fn name(&self) -> String {
        let packages = self.debs.iter().chain(&self.ipks).map(PathBuf::as_path);
        let files = self.files.iter().map(|file| Path::new(&file.remote));
        let first =
            packages.chain(files).find_map(Path::file_name).map(|name| name.to_string_lossy().into_owned());
        let name = first.or_else(|| self.restart.first().map(|service| format!("restart {service}")));
        name.unwrap_or_else(|| "nothing".to_owned())
    }

    /// Writes the playbook into a folder, and says which files make the bundle.
    ///
    /// # Errors
    /// When a file cannot be read or be in a bundle, or two would be the same.
    pub(super) fn sources(&self, scratch: &Path) -> Result<Vec<SourceFile>, BundleError> {
        let path = scratch.join(PLAYBOOK);
        std::fs::write(&path, self.playbook()?).map_err(|error| BundleError::Write(path.clone(), error))?;
        let mut sources = vec![source(PLAYBOOK, path, false)?];
        for (package, _) in self.packages() {
            sources.push(source(&format!("files/{}", in_bundle(package)?), package.clone(), false)?);
        }
        for file in &self.files {
            sources.push(source(
                &format!("files{}", file.remote),
                file.local.clone(),
                is_program(&file.local)?,
            )?);
        }
        sources.sort_by(|a, b| a.title.cmp(&b.title));
        match sources.windows(2).find(|pair| pair[0].title == pair[1].title) {
            Some(pair) => Err(BundleError::Twice(pair[0].path.clone(), pair[1].path.clone())),
            None => Ok(sources),
        }
    }

    /// Packages with the module that installs them.
    fn packages(&self) -> impl Iterator<Item = (&PathBuf, &'static str)> {
        self.debs.iter().map(|path| (path, "deb")).chain(self.ipks.iter().map(|path| (path, "opkg")))
    }

    /// The playbook. Texts are quoted as JSON does, which YAML understands.
    ///
    /// # Errors
    /// When a file cannot be read, or is not what it should be.
    pub(crate) fn playbook(&self) -> Result<String, BundleError> {
        let mut text = format!(
            "# Made by keros-center magic-link create.\n- name: {}\n  groups:\n    - all\n  tasks:\n",
            quoted(&self.name())
        );
        let is_alone = self.debs.is_empty() && self.ipks.is_empty() && self.files.is_empty();
        if self.is_for_both() {
            text.push_str("    - !stat\n      path: /usr/bin/dpkg\n      save: dpkg\n");
        }
        for (path, module) in self.packages() {
            self.package(&mut text, path, module)?;
        }
        for file in &self.files {
            self.file(&mut text, file)?;
        }
        if !is_alone && !self.restart.is_empty() {
            text.push_str("  handlers:\n");
        }
        for service in &self.restart {
            let _ = write!(
                text,
                "    - !sd_service\n      name: {}\n      service: {}\n      restart: true\n",
                quoted(&format!("restart {service}")),
                quoted(service)
            );
            if !is_alone {
                text.push_str("      with:\n        subscribe: changed\n");
            }
        }
        Ok(text)
    }

    /// Gateways with dpkg get the one kind of package, the others the other.
    fn is_for_both(&self) -> bool {
        !self.debs.is_empty() && !self.ipks.is_empty()
    }

    fn package(&self, text: &mut String, path: &Path, module: &str) -> Result<(), BundleError> {
        if module == "deb" {
            check_deb(path)?;
        }
        let src = in_bundle(path)?;
        let name = format!("install {}", src.trim_start_matches("packages/"));
        let _ = write!(text, "    - !{module}\n      name: {}\n      src: {}\n", quoted(&name), quoted(&src));
        if self.is_for_both() {
            let condition = if module == "deb" { "dpkg.exists" } else { "(not dpkg.exists)" };
            let _ = write!(text, "      with:\n        condition: {}\n", quoted(condition));
        }
        self.notify(text);
        Ok(())
    }

    fn file(&self, text: &mut String, file: &Placed) -> Result<(), BundleError> {
        let parent = file.remote.rsplit_once('/').map_or("", |(parent, _)| parent);
        if !parent.is_empty() {
            let _ = write!(
                text,
                "    - !directory\n      name: {}\n      path: {}\n",
                quoted(&format!("folder {parent}")),
                quoted(parent)
            );
        }
        let default_mode = if is_program(&file.local)? { 0o755 } else { 0o644 };
        let _ = write!(
            text,
            "    - !copy\n      name: {}\n      src: {}\n      dest: {}\n      attributes:\n        mode: \"{:04o}\"\n",
            quoted(&format!("file {}", file.remote)),
            quoted(file.remote.trim_start_matches('/')),
            quoted(&file.remote),
            file.mode.unwrap_or(default_mode)
        );
        self.notify(text);
        Ok(())
    }

    fn notify(&self, text: &mut String) {
        if !self.restart.is_empty() {
            text.push_str("      and:\n        notify: changed\n");
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn source(title: &str, path: PathBuf, executable: bool) -> Result<SourceFile, BundleError> {
    let title = title.parse().map_err(|error| BundleError::Name(path.clone(), error))?;
    Ok(SourceFile { title, path, executable })
}

/// Its place below `files/`. opkg wants the name as it is.
fn in_bundle(package: &Path) -> Result<String, BundleError> {
    let name = package.file_name().and_then(|name| name.to_str());
    let name = name.filter(|name| !name.contains("{{"));
    name.map(|name| format!("packages/{name}")).ok_or_else(|| BundleError::NameNoText(package.to_owned()))
}

fn is_program(path: &Path) -> Result<bool, BundleError> {
    let is = metadata(path).map_err(|error| BundleError::Read(path.to_owned(), error))?;
    if is.is_file() {
        return Ok(is.mode() & 0o100 != 0);
    }
    let what = if is.is_dir() { "folder" } else { "device, pipe or socket" };
    let advice = "; name each file, or make a folder with a playbook of your own";
    Err(BundleError::NoFile { path: path.to_owned(), what, advice })
}

/// By the first bytes of an `ar` archive: dpkg would say so only on the gateway.
fn check_deb(path: &Path) -> Result<(), BundleError> {
    is_program(path)?;
    let mut begin = Vec::new();
    File::open(path)
        .and_then(|file| file.take(8).read_to_end(&mut begin))
        .map_err(|error| BundleError::Read(path.to_owned(), error))?;
    if begin == b"!<arch>\n" { Ok(()) } else { Err(BundleError::NoDeb(path.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed(text: &str) -> Placed {
        text.parse().unwrap()
    }

    #[test]
    fn a_file_and_its_place_are_taken_apart() {
        let is =
            |local: &str, remote: &str, mode| Placed { local: local.into(), remote: remote.to_owned(), mode };
        assert_eq!(placed("a.toml:/etc/a.toml"), is("a.toml", "/etc/a.toml", None));
        assert_eq!(placed("/x/a:/etc/a:0640"), is("/x/a", "/etc/a", Some(0o640)));
        assert_eq!(placed("a:b:/etc/a:755"), is("a:b", "/etc/a", Some(0o755)));
        for bad in [
            "",
            "a",
            "a:etc",
            ":/etc/a",
            "a:/etc/a:9",
            "a:/etc/a:rw",
            "a:/",
            "a:/etc/",
            "a:/etc/../b",
            "a://etc",
            "a:/{{x}}",
        ] {
            assert!(bad.parse::<Placed>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_playbook_that_is_made_says_what_was_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let (deb, conf) = (folder.path().join("x_1_all.deb"), folder.path().join("conf"));
        std::fs::write(&deb, "!<arch>\nrest").unwrap();
        std::fs::write(&conf, "a\n").unwrap();
        let file = Placed { local: conf, remote: "/etc/x/conf".to_owned(), mode: Some(0o640) };
        let ipk = folder.path().join("x_1_arm.ipk");
        let quick = Quick {
            debs: vec![deb],
            ipks: vec![ipk],
            files: vec![file],
            restart: vec!["lorafwd".to_owned()],
        };
        assert_eq!(quick.playbook().unwrap(), include_str!("tests/quick.yml"));
    }

    #[test]
    fn a_restart_alone_is_a_task() {
        let quick = Quick { restart: vec!["lorafwd".to_owned()], ..Quick::default() };
        let text = quick.playbook().unwrap();
        assert!(
            !text.contains("handlers") && text.ends_with("service: \"lorafwd\"\n      restart: true\n"),
            "{text}"
        );
        assert_eq!(quick.name(), "restart lorafwd");
    }

    #[test]
    fn what_cannot_be_done_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.deb");
        std::fs::write(&path, "PK").unwrap();
        let error = |quick: Quick| quick.sources(folder.path()).unwrap_err().to_string();
        let with_deb = |path: &Path| Quick { debs: vec![path.to_owned()], ..Quick::default() };
        assert!(error(with_deb(&path)).contains("x.deb is no Debian package"));
        assert!(error(with_deb(&folder.path().join("y.deb"))).contains("cannot read"));
        assert!(error(with_deb(folder.path())).contains("is a folder"));
        std::fs::write(&path, "!<arch>\n").unwrap();
        assert!(
            error(Quick { debs: vec![path.clone(), path.clone()], ..Quick::default() })
                .contains("same place")
        );
        let file = |remote: &str| placed(&format!("{}:{remote}", path.display()));
        let twice = Quick { files: vec![file("/a"), file("/a:600")], ..Quick::default() };
        assert!(error(twice).contains("same place"));
    }
}
