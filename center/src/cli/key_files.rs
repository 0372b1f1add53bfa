//! `keys generate` and `keys show`.

use std::io::Write;

use serde_json::json;

use super::Ended;
use super::arguments::files::KeysCommand;
use crate::keys::{self, Instructions, KeyFiles};

pub(super) fn run(command: &KeysCommand, out: &mut dyn Write) -> anyhow::Result<Ended> {
    let pairs = match command {
        KeysCommand::Generate(folder) => keys::generate(&folder.path())?,
        KeysCommand::Show { folder, json: false } => keys::show(&folder.path())?,
        KeysCommand::Show { folder, json: true } => {
            let one = |pair: &KeyFiles| json!({ "purpose": pair.purpose.as_str(), "id": pair.id.to_string(), "private": pair.private, "public": pair.public });
            let all: Vec<_> = keys::show(&folder.path())?.iter().map(one).collect();
            writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
            return Ok(Ended::Done);
        }
    };
    write!(out, "{}", Instructions(&pairs))?;
    Ok(Ended::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments::files::KeysFolder;

    #[test]
    fn programs_are_told_where_each_key_is() {
        let folder = tempfile::tempdir().unwrap();
        let place = || KeysFolder { folder: Some(folder.path().to_owned()), data_folder: "unused".into() };
        run(&KeysCommand::Generate(place()), &mut Vec::new()).unwrap();
        let mut out = Vec::new();
        run(&KeysCommand::Show { folder: place(), json: true }, &mut out).unwrap();
        let told: serde_json::Value = serde_json::from_slice(&out).unwrap();
        for (at, purpose) in ["command", "statement"].iter().enumerate() {
            assert_eq!(told[at]["purpose"], *purpose);
            let public = std::fs::read_to_string(told[at]["public"].as_str().unwrap()).unwrap();
            let key = keros_protocol::TrustedKey::from_pem(&public).unwrap();
            assert_eq!(told[at]["id"], key.id().to_string());
            assert!(std::path::Path::new(told[at]["private"].as_str().unwrap()).is_file());
        }
    }
}
