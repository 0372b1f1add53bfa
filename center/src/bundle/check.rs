//! Checks a bundle's playbook as the gateway will, with its roles, files and templates.

use std::io;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use keros_playbook::{Diagnostic, DiagnosticKind, Script, ScriptSource};
use keros_protocol::limits::MAX_SCRIPT_BYTES;
use keros_protocol::magic_link::{Digest, MagicLink};

/// Lays the bundle out in a temporary folder, by links to its blobs, and reads it through. Files that cannot be read are findings
/// too. What was found of kind `Unsupported` only this version of the engine cannot do: a gateway may have another one.
///
/// # Errors
/// All findings, each with the title of the file that it is about.
pub(crate) fn check(link: &MagicLink, blob: impl Fn(Digest) -> PathBuf) -> Result<(), Vec<Diagnostic>> {
    let playbook = link.config.playbook.as_str();
    let of_system = |error: io::Error| vec![finding(playbook, DiagnosticKind::Invalid, error.to_string())];
    let folder = tempfile::tempdir().map_err(of_system)?;
    lay_out(link, blob, folder.path()).map_err(of_system)?;
    let text =
        read(&folder.path().join(playbook)).map_err(|(kind, what)| vec![finding(playbook, kind, what)])?;
    let source = ScriptSource::of_bundle(folder.path(), &link.config.playbook, text);
    Script::parse(&source)
        .map(drop)
        .map_err(|findings| findings.into_iter().map(|finding| without(folder.path(), finding)).collect())
}

fn lay_out(link: &MagicLink, blob: impl Fn(Digest) -> PathBuf, folder: &Path) -> io::Result<()> {
    for file in &link.manifest.files {
        let path = folder.join(file.title.as_str());
        path.parent().map_or(Ok(()), std::fs::create_dir_all)?;
        symlink(std::path::absolute(blob(file.blob.digest))?, path)?;
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, (DiagnosticKind, String)> {
    let invalid = |error: io::Error| (DiagnosticKind::Invalid, format!("cannot be read: {error}"));
    let bytes = std::fs::metadata(path).map_err(invalid)?.len();
    if bytes > MAX_SCRIPT_BYTES as u64 {
        let what = format!("the playbook has {bytes} bytes, at most {MAX_SCRIPT_BYTES} are allowed");
        return Err((DiagnosticKind::TooLarge, what));
    }
    std::fs::read_to_string(path).map_err(invalid)
}

fn finding(file: &str, kind: DiagnosticKind, message: String) -> Diagnostic {
    Diagnostic { kind, file: file.to_owned(), line: 0, column: 0, message, suggestion: None }
}

/// The temporary folder means nothing to anybody.
fn without(folder: &Path, finding: Diagnostic) -> Diagnostic {
    let prefix = format!("{}/", folder.display());
    let cut = |text: &str| text.replace(&prefix, "");
    Diagnostic { file: cut(&finding.file), message: cut(&finding.message), ..finding }
}

#[cfg(test)]
mod tests {
    use keros_protocol::magic_link::{BundleFile, Descriptor, LinkConfig, Manifest};

    use super::*;

    /// Blobs in a folder, by their hex digits, and the link of these files; the first is the playbook.
    fn link(folder: &Path, files: &[(&str, &str)]) -> MagicLink {
        let file = |(title, text): &(&str, &str)| {
            let digest = Digest::of(text.as_bytes());
            std::fs::write(folder.join(digest.hex()), text).unwrap();
            let blob = Descriptor { digest, size: text.len() as u64 };
            BundleFile { title: title.parse().unwrap(), blob, executable: false }
        };
        let files: Vec<BundleFile> = files.iter().map(file).collect();
        let playbook = files[0].title.clone();
        let config = format!(r#"{{"name":"x","gateways":["70*"],"playbook":"{playbook}"}}"#);
        let config = LinkConfig::parse(config.as_bytes()).unwrap();
        let blob = Descriptor { digest: Digest::of(b""), size: 1 };
        MagicLink::new(Manifest { config: blob, files }, config).unwrap()
    }

    fn findings(files: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let link = link(folder.path(), files);
        match check(&link, |digest| folder.path().join(digest.hex())) {
            Ok(()) => String::new(),
            Err(findings) => findings.iter().map(|finding| format!("{finding}\n")).collect(),
        }
    }

    const PLAYBOOK: &str = "\
- name: a play
  groups:
    - all
  roles:
    - { role: base }
  tasks:
    - !copy
      src: banner
      dest: /etc/issue
";
    const ROLE: &str = "name: base\ntasks:\n  - main.yml\n";
    const TASKS: &str = "- !template\n  src: motd.j2\n  dest: /etc/motd\n";

    fn bundle() -> Vec<(&'static str, &'static str)> {
        vec![
            ("site.yml", PLAYBOOK),
            ("files/banner", "hello\n"),
            ("roles/base/role.yml", ROLE),
            ("roles/base/tasks/main.yml", TASKS),
            ("roles/base/templates/motd.j2", "{{name}}\n"),
        ]
    }

    #[test]
    fn a_bundle_with_roles_files_and_templates_is_good() {
        assert_eq!(findings(&bundle()), "");
    }

    #[test]
    fn each_missing_or_faulty_file_is_named_by_its_title() {
        for (left_out, words) in [
            ("files/banner", "site.yml:8:12: field (src): no such file"),
            ("roles/base/tasks/main.yml", "roles/base/role.yml:3:5: no such file: roles/base/tasks/main.yml"),
            ("roles/base/templates/motd.j2", "roles/base/tasks/main.yml:2:8: field (src): no such file"),
        ] {
            let files: Vec<_> = bundle().into_iter().filter(|(title, _)| *title != left_out).collect();
            let found = findings(&files);
            assert!(found.starts_with(words), "{left_out}: {found}");
            assert!(!found.contains("/tmp"), "{found}");
        }
        let mut faulty = bundle();
        faulty[3].1 = "- !tempalte\n  src: motd.j2\n";
        assert!(findings(&faulty).starts_with("roles/base/tasks/main.yml:1:"), "{}", findings(&faulty));
    }

    #[test]
    fn a_playbook_that_is_no_text_or_too_large_is_a_finding() {
        let large = " ".repeat(MAX_SCRIPT_BYTES + 1);
        assert!(findings(&[("site.yml", &large)]).contains("at most"));
        let folder = tempfile::tempdir().unwrap();
        let link = link(folder.path(), &bundle());
        let found = check(&link, |_| folder.path().join("nothing")).unwrap_err();
        assert!(found[0].message.starts_with("cannot be read"), "{found:?}");
    }
}
