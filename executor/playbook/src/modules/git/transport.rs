//! Where a repository may lie and how it is reached: nothing here may become an option, or a command.

use super::super::Scope;
use crate::fields::Fields;
use crate::template::Text;
use crate::yaml::Yaml;

/// Protocols that git may use; `ext`, for one, runs commands.
pub(super) const PROTOCOLS: &str = "https:http:ssh:git:file";
const MAX_OPTIONS: usize = 50;

/// The rule for a repository: a URL of a known protocol, `HOST:PATH` by ssh, or an absolute path.
pub(super) fn check_repository(repo: &str) -> Result<(), String> {
    let wrong = |why: &str| Err(format!("field (repo): {repo:?} {why}"));
    if repo.contains(|c: char| c.is_control() || c.is_whitespace()) || repo.starts_with('-') {
        return wrong("is no repository");
    }
    if repo.starts_with('/') {
        return Ok(());
    }
    let host = match repo.split_once("://") {
        Some((protocol, rest)) if PROTOCOLS.split(':').any(|known| known == protocol) => rest,
        Some(_) => return wrong("has a protocol other than https, http, ssh, git and file"),
        None if repo.contains("::") => return wrong("names a program to run"),
        None if repo.contains(':') => repo,
        None => return wrong("must be a URL, HOST:PATH, or an absolute path"),
    };
    let host = host.split(['/', ':']).next().unwrap_or_default();
    if host.starts_with('-') || host.rsplit('@').next().unwrap_or_default().starts_with('-') {
        return wrong("has a host that begins with a dash");
    }
    Ok(())
}

/// The rule for a branch, as `git check-ref-format` has it, but plain characters only.
pub(super) fn check_branch(branch: &str) -> Result<(), String> {
    let known = |c: char| c.is_alphanumeric() || "._/-+#@".contains(c);
    let part_is_right =
        |part: &str| !part.is_empty() && !part.starts_with(['.', '-']) && !part.ends_with(".lock");
    let is_right = branch.chars().all(known)
        && branch.split('/').all(part_is_right)
        && !branch.contains("..")
        && !branch.ends_with('.')
        && branch != "@"
        && branch != "HEAD"
        && branch.len() <= 200;
    if is_right { Ok(()) } else { Err(format!("field (branch): {branch:?} is no name of a branch")) }
}

/// `ssh_options: { NAME: value }`, as `ssh -o` has them.
#[derive(Debug)]
pub(super) struct SshOptions(Vec<(String, Text)>);

impl SshOptions {
    pub(super) fn parse(fields: &mut Fields<'_, '_>) -> Self {
        let Some(node) = fields.node("ssh_options") else { return Self(Vec::new()) };
        let Yaml::Map(pairs) = &node.value else {
            fields.wrong("ssh_options", node, "a mapping");
            return Self(Vec::new());
        };
        if pairs.len() > MAX_OPTIONS {
            fields.findings.too_large(node.at, &format!("more than {MAX_OPTIONS} ssh_options"));
        }
        let mut options = Vec::new();
        for (key, value) in pairs {
            let name = key.text().unwrap_or_default();
            if let Err(message) = check_option(name) {
                fields.findings.invalid(key.at, &message);
            }
            let Some(text) = value.text() else {
                fields.wrong("ssh_options", value, "a mapping of texts");
                continue;
            };
            let text = Text::compile(text, "ssh_options", value.at, fields.findings);
            fields.checked(text.as_ref(), check_value);
            options.extend(text.map(|text| (name.to_owned(), text)));
        }
        Self(options)
    }

    /// The command by which git calls ssh. Git gives it to a shell, so each of its words is held to harmless characters. Of an option
    /// that is given twice ssh takes the first.
    pub(super) fn command(&self, accept_keys: bool, scope: &Scope<'_>) -> Result<String, String> {
        let mut command = "ssh".to_owned();
        for (name, text) in &self.0 {
            let value = scope.word(text)?;
            check_value(&value)?;
            command += &format!(" -o {name}={value}");
        }
        let keys = if accept_keys { "accept-new" } else { "yes" };
        Ok(command + &format!(" -o BatchMode=yes -o StrictHostKeyChecking={keys}"))
    }
}

fn check_option(name: &str) -> Result<(), String> {
    if name.is_empty() || name.len() > 64 || !name.chars().all(|c| c.is_ascii_alphanumeric()) {
        return Err(format!("field (ssh_options): {name:?} is no name of an option"));
    }
    if name.to_ascii_lowercase().ends_with("command") {
        return Err(format!("field (ssh_options): {name} runs a command, which is the work of `shell`"));
    }
    Ok(())
}

fn check_value(value: &str) -> Result<(), String> {
    let harmless = |c: char| c.is_ascii_alphanumeric() || "@%+=:,./_-".contains(c);
    if value.chars().all(harmless) {
        return Ok(());
    }
    Err(format!("field (ssh_options): {value:?} holds more than letters, digits and @%+=:,./_-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repositories_are_of_known_protocols_and_never_options_or_commands() {
        for repo in [
            "https://git.example.net/x.git",
            "ssh://git@host:22/x",
            "git@host:x.git",
            "host:x",
            "/srv/x.git",
            "file:///srv/x",
            "git://host/x",
            "http://[::1]/x",
        ] {
            assert_eq!(check_repository(repo), Ok(()), "{repo}");
        }
        for repo in [
            "-x",
            "--upload-pack=touch",
            "ext::sh -c touch",
            "ext::touch",
            "fd::7",
            "relative",
            "../x",
            "ssh://-oProxyCommand=touch/x",
            "ssh://git@-oProxyCommand=x/y",
            "-oProxyCommand=x:y",
            "git@-host:x",
            "ftp://h/x",
            "https://a\nb",
            "a b:c",
            "ext://x",
            "",
        ] {
            assert!(check_repository(repo).is_err(), "{repo:?}");
        }
    }

    #[test]
    fn branches_are_plain_names() {
        for branch in ["main", "feature/x-1", "v1.2", "release/2.0_rc+1", "näher"] {
            assert_eq!(check_branch(branch), Ok(()), "{branch}");
        }
        for branch in [
            "",
            "-x",
            "a..b",
            "a b",
            "a/",
            "/a",
            "a//b",
            "x.lock",
            "a/-b",
            ".x",
            "a:b",
            "a~1",
            "a^",
            "a?",
            "*",
            "[",
            "a\\b",
            "@{u}",
            "@",
            "HEAD",
            "a\nb",
            "$(touch x)",
            "x.",
        ] {
            assert!(check_branch(branch).is_err(), "{branch:?}");
        }
    }

    #[test]
    fn ssh_gets_options_that_no_shell_takes_apart_and_that_run_nothing() {
        for name in ["ProxyCommand", "localcommand", "KnownHostsCommand", "-x", "A B", "", "a=b"] {
            assert!(check_option(name).is_err(), "{name}");
        }
        for value in ["a b", "$(x)", "'", "\"", "`", ";", "a\nb", "a\0b", "~", "*", "\\"] {
            assert!(check_value(value).is_err(), "{value:?}");
        }
        assert!(check_option("IdentityFile").is_ok() && check_value("/root/.ssh/id_%h").is_ok());
    }
}
