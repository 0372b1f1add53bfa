//! The address of the database, whose password must not be where other users of the machine see it: on the command line.

use anyhow::bail;

use super::arguments::storage::DatabaseArguments;
use crate::settings::read_secret;
use crate::store::with_password;

/// The variable that may hold the whole address.
const VARIABLE: &str = "KEROS_CENTER_DATABASE";

/// The address with its password; `None`: SQLite in the data folder.
pub(super) fn url(arguments: &DatabaseArguments) -> anyhow::Result<Option<String>> {
    let Some(url) = &arguments.database else { return Ok(None) };
    let is_on_the_command_line = std::env::var(VARIABLE).ok().as_ref() != Some(url);
    if is_on_the_command_line && has_password(url) {
        bail!(
            "the address of the database has a password, which every user of this machine sees in the list of processes: leave it out, and \
             name a file with --database-password-file, or put the address into {VARIABLE}"
        );
    }
    let Some(file) = &arguments.database_password_file else { return Ok(Some(url.clone())) };
    let text = read_secret(file)?;
    Ok(Some(with_password(url, text.lines().next().unwrap_or_default())))
}

fn has_password(url: &str) -> bool {
    let (address, query) = url.split_once('?').unwrap_or((url, ""));
    let user =
        address.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@')).map_or("", |(user, _)| user);
    user.contains(':') || query.split('&').any(|pair| pair.starts_with("password="))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_password_on_the_command_line_is_refused_and_one_in_a_private_file_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("password");
        std::fs::write(&file, "a b&c\nmore").unwrap();
        let asked = |database: &str, file: Option<&std::path::Path>| {
            url(&DatabaseArguments {
                database: Some(database.to_owned()),
                database_password_file: file.map(Into::into),
            })
        };
        for bad in ["postgres://me:secret@h/db", "postgres://me@h/db?sslmode=require&password=secret"] {
            let error = asked(bad, None).unwrap_err().to_string();
            assert!(error.contains("--database-password-file") && !error.contains("secret"), "{error}");
        }
        for (mode, expected) in [(0o644, None), (0o600, Some("postgres://me@h/db?password=a%20b%26c"))] {
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(mode)).unwrap();
            let found = asked("postgres://me@h/db", Some(&file)).ok().flatten();
            assert_eq!(found.as_deref(), expected, "{mode:o}");
        }
    }
}
