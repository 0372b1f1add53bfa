//! Who this gateway is: EUI, code name, KerOS version, from the places that KerOS has them in.

use std::collections::BTreeMap;
use std::path::Path;

use keros_protocol::{Eui, EuiError, KerosVersion};

use crate::{paths, read_small};

/// No such file is longer; a kernel command line has at most 4096.
const MAX_BYTES: u64 = 64 * 1024;

/// Where the EUI was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentitySource {
    /// Set by hand in the configuration.
    Configuration,
    /// [`paths::BOARD_INFO_ENV`].
    BoardInfoEnv,
    /// [`paths::BOARD_INFO_JSON`].
    BoardInfoJson,
    /// The environment variable `EUI64`.
    Environment,
    /// [`paths::KERNEL_COMMAND_LINE`].
    KernelCommandLine,
}

/// What is set by hand instead of found.
#[derive(Debug, Clone, Default)]
pub struct IdentityOverride {
    /// The EUI.
    pub eui: Option<Eui>,
    /// The hardware's code name.
    pub codename: Option<String>,
    /// The KerOS version.
    pub keros_version: Option<KerosVersion>,
}

/// Who this gateway is.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    /// Its EUI.
    pub eui: Eui,
    /// Where the EUI was found.
    pub source: IdentitySource,
    /// Its hardware code name, e.g. `wiis`.
    pub codename: Option<String>,
    /// Its KerOS version; `None` when this is no KerOS.
    pub keros_version: Option<KerosVersion>,
}

/// Why it is not known who this gateway is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdentityError {
    /// None of the places has an EUI.
    #[error(
        "no EUI found in /{}, /{}, the environment variable EUI64 and /{}; set `identity.eui` in the configuration",
        paths::BOARD_INFO_ENV,
        paths::BOARD_INFO_JSON,
        paths::KERNEL_COMMAND_LINE
    )]
    NotFound,
    /// A place has something that is no EUI.
    #[error("the EUI in {place} cannot be used: {error}")]
    Invalid {
        /// The place.
        place: String,
        /// What is wrong with it.
        error: EuiError,
    },
}

impl Identity {
    /// Looks in all places below `root` (`/` on a gateway), first found wins, `given` before all.
    ///
    /// # Errors
    /// [`IdentityError`] when there is no EUI, or the first one found is none.
    pub fn read(
        root: &Path,
        given: &IdentityOverride,
        environment_eui: Option<&str>,
    ) -> Result<Self, IdentityError> {
        let read = |path: &str| read_small(&root.join(path), MAX_BYTES);
        let env_file = read(paths::BOARD_INFO_ENV).map(|text| parse_shell_exports(&text)).unwrap_or_default();
        let board_json = read(paths::BOARD_INFO_JSON).and_then(|text| json_text(&text, "EUI64"));
        let kernel = read(paths::KERNEL_COMMAND_LINE).and_then(|text| kernel_argument(&text, "EUI64"));

        let places = [
            (IdentitySource::BoardInfoEnv, paths::BOARD_INFO_ENV, env_file.get("EUI64").cloned()),
            (IdentitySource::BoardInfoJson, paths::BOARD_INFO_JSON, board_json),
            (
                IdentitySource::Environment,
                "the environment variable EUI64",
                environment_eui.map(str::to_owned),
            ),
            (IdentitySource::KernelCommandLine, paths::KERNEL_COMMAND_LINE, kernel),
        ];
        let (eui, source) = match given.eui {
            Some(eui) => (eui, IdentitySource::Configuration),
            None => first_eui(places)?,
        };
        let codename = given.codename.clone().or_else(|| env_file.get("CODENAME").cloned());
        let keros_version = given.keros_version.clone().or_else(|| {
            let text = read(paths::VERSION_FILE)
                .or_else(|| read(paths::STARTUP_STATUS_JSON).and_then(|text| json_text(&text, "sw_version")));
            text.and_then(|text| text.parse().ok())
        });
        Ok(Self { eui, source, codename, keros_version })
    }
}

fn first_eui<const N: usize>(
    places: [(IdentitySource, &str, Option<String>); N],
) -> Result<(Eui, IdentitySource), IdentityError> {
    for (source, place, text) in places {
        if let Some(text) = text.filter(|text| !text.trim().is_empty()) {
            let eui =
                text.parse().map_err(|error| IdentityError::Invalid { place: place.to_owned(), error })?;
            return Ok((eui, source));
        }
    }
    Err(IdentityError::NotFound)
}

/// Reads lines `export NAME="value"`; `export` and quotes may be missing. Nothing is expanded.
fn parse_shell_exports(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| {
            let line = line.trim();
            let (name, value) = line.strip_prefix("export ").unwrap_or(line).split_once('=')?;
            let value = value.trim().trim_matches(['"', '\'']);
            Some((name.trim().to_owned(), value.to_owned()))
        })
        .collect()
}

fn json_text(text: &str, key: &str) -> Option<String> {
    let value: serde_json::Value = serde_json::from_str(text).ok()?;
    value.get(key)?.as_str().map(str::to_owned)
}

fn kernel_argument(text: &str, name: &str) -> Option<String> {
    text.split_ascii_whitespace().find_map(|word| {
        word.strip_prefix(name)?.strip_prefix('=').map(|value| value.trim_matches('"').to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    fn read(files: &[(&str, &str)]) -> Result<Identity, IdentityError> {
        Identity::read(root(files).path(), &IdentityOverride::default(), None)
    }

    #[test]
    fn keros_6_is_recognised() {
        let identity = read(&[
            ("run/boardinfo.env", "export EUI64=\"7076FF0056070123\"\nexport CODENAME=\"wiis\"\n"),
            ("etc/version", "6.3.1\n"),
        ])
        .unwrap();
        assert_eq!(identity.eui.to_string(), "7076FF0056070123");
        assert_eq!(identity.source, IdentitySource::BoardInfoEnv);
        assert_eq!(identity.codename.as_deref(), Some("wiis"));
        assert_eq!(identity.keros_version.unwrap().major(), 6);
    }

    #[test]
    fn keros_4_is_recognised() {
        let identity = read(&[
            ("tmp/board_info.json", r#"{"EUI64": "7276ff0012345678"}"#),
            ("tmp/sys_startup_status.json", r#"{"sw_version": "4.1.6_20190829151113"}"#),
        ])
        .unwrap();
        assert_eq!(identity.eui.to_string(), "7276FF0012345678");
        assert_eq!(identity.keros_version.unwrap().numbers(), (4, 1, 6));
    }

    #[test]
    fn the_last_places_are_environment_and_kernel() {
        let files = [("proc/cmdline", "console=ttymxc0 EUI64=7076FF0056070123 quiet\n")];
        let root = root(&files);
        let none = IdentityOverride::default();
        let identity = Identity::read(root.path(), &none, None).unwrap();
        assert_eq!(identity.source, IdentitySource::KernelCommandLine);
        let identity = Identity::read(root.path(), &none, Some("7076FF0000000001")).unwrap();
        assert_eq!(identity.source, IdentitySource::Environment);
    }

    #[test]
    fn a_wrong_eui_is_named_and_not_passed_over() {
        let error = read(&[
            ("run/boardinfo.env", "export EUI64=\"7076\"\n"),
            ("proc/cmdline", "EUI64=7076FF0056070123"),
        ]);
        let place = "run/boardinfo.env".to_owned();
        assert_eq!(error, Err(IdentityError::Invalid { place, error: EuiError::Length(4) }));
        assert_eq!(read(&[]), Err(IdentityError::NotFound));
    }
}
