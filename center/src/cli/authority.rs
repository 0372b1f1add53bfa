//! `ca create` and `ca show`.

use std::io::Write;
use std::path::Path;

use anyhow::bail;
use serde_json::json;

use super::Ended;
use super::arguments::files::CaCommand;
use crate::enroll::{Authority, authority_folder, create_authority};
use crate::service::unix_now;

pub(super) fn run(command: &CaCommand, out: &mut dyn Write) -> anyhow::Result<Ended> {
    let folder = match command {
        CaCommand::Create(place) => {
            let folder = authority_folder(&place.data_folder);
            create_authority(&folder, unix_now())?;
            folder
        }
        CaCommand::Show { folder: place, json } => {
            let folder = authority_folder(&place.data_folder);
            if Authority::open(&folder)?.is_none() {
                bail!("there is no authority in {}: `keros-center ca create` makes one", folder.display());
            }
            if *json {
                let paths = json!({
                    "certificate": Authority::certificate_path(&folder),
                    "private": Authority::key_path(&folder),
                });
                writeln!(out, "{}", serde_json::to_string_pretty(&paths)?)?;
                return Ok(Ended::Done);
            }
            folder
        }
    };
    show(&folder, out)
}

fn show(folder: &Path, out: &mut dyn Write) -> anyhow::Result<Ended> {
    writeln!(out, "authority of gateways' certificates")?;
    writeln!(out, "  certificate  {}", Authority::certificate_path(folder).display())?;
    writeln!(out, "  private key  {}", Authority::key_path(folder).display())?;
    writeln!(out)?;
    writeln!(
        out,
        "The embedded broker trusts it from the center's next start on. Another broker needs the certificate among"
    )?;
    writeln!(
        out,
        "its authorities (mosquitto: cafile). Keep a copy of the private key in a safe place: who has it can be any"
    )?;
    writeln!(out, "gateway at the broker; it cannot order jobs.")?;
    Ok(Ended::Done)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::arguments::files::CaFolder;

    #[test]
    fn programs_are_told_where_the_authority_is() {
        let folder = tempfile::tempdir().unwrap();
        let place = || CaFolder { data_folder: folder.path().to_owned() };
        let show = |out: &mut Vec<u8>| run(&CaCommand::Show { folder: place(), json: true }, out);
        assert!(show(&mut Vec::new()).is_err(), "there is none yet");
        run(&CaCommand::Create(place()), &mut Vec::new()).unwrap();
        let mut out = Vec::new();
        show(&mut out).unwrap();
        let told: serde_json::Value = serde_json::from_slice(&out).unwrap();
        for name in ["certificate", "private"] {
            assert!(Path::new(told[name].as_str().unwrap()).is_file(), "{told}");
        }
    }
}
