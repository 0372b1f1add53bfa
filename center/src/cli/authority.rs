//! `ca create` and `ca show`.

use std::io::Write;
use std::path::Path;

use anyhow::bail;

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
        CaCommand::Show(place) => {
            let folder = authority_folder(&place.data_folder);
            if Authority::open(&folder)?.is_none() {
                bail!("there is no authority in {}: `keros-center ca create` makes one", folder.display());
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
