//! `broker-user add`, `remove` and `list`: the file that the embedded broker reads.

use std::io::Write;

use anyhow::Context as _;

use super::arguments::files::BrokerUserCommand;
use super::{Ended, print_json};
use crate::broker::passwords;
use crate::files;

pub(super) fn run(command: &BrokerUserCommand, out: &mut dyn Write) -> anyhow::Result<Ended> {
    match command {
        BrokerUserCommand::Add(user) => {
            let path = user.users.path();
            if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
                files::create_private_folder(folder)
                    .with_context(|| format!("cannot make {}", folder.display()))?;
            }
            let password = passwords::set_new_password(&path, user.eui)?;
            writeln!(out, "{password}")?;
            let _ = writeln!(
                std::io::stderr(),
                "This is the broker password of {}, shown only now. On the gateway write it to a file that only the \
                 agent can read, and name that file as broker.password_file in /etc/keros-agent/config.yaml.",
                user.eui
            );
        }
        BrokerUserCommand::Remove(user) => {
            let path = user.users.path();
            if !passwords::remove(&path, user.eui)? {
                anyhow::bail!("{} has no password in {}", user.eui, path.display());
            }
        }
        BrokerUserCommand::List { users, json } => {
            let list = passwords::list(&users.path())?;
            if *json {
                return print_json(out, &list);
            }
            for eui in list {
                writeln!(out, "{eui}")?;
            }
        }
    }
    Ok(Ended::Done)
}
