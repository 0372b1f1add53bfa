//! `update retry`, `carry-out`, `go-on`, `export`.

use std::io::Write;

use super::arguments::UpdateCommand;
use super::client::Client;
use super::{Ended, print_json};
use crate::api::{FollowUp, UpdateView};

pub(super) fn run(
    client: &Client,
    command: UpdateCommand,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    match command {
        UpdateCommand::Retry { id, outcomes } => {
            let order = FollowUp { outcomes, ..FollowUp::default() };
            sent(&client.post(&format!("/updates/{id}/retry"), &order)?, json, out)
        }
        UpdateCommand::CarryOut { id } => {
            sent(&client.post(&format!("/updates/{id}/carry-out"), &FollowUp::default())?, json, out)
        }
        UpdateCommand::GoOn { id } => {
            let view: UpdateView = client.ask_for(&format!("/updates/{id}/go-on"))?;
            if json {
                return print_json(out, &view);
            }
            if let Some(rollout) = &view.rollout {
                writeln!(out, "Stage {} of {} is under way.", rollout.stage, rollout.stages)?;
            }
            Ok(Ended::Done)
        }
        UpdateCommand::Export { id } => {
            let path =
                id.map_or_else(|| "/updates.csv".to_owned(), |id| format!("/updates/{id}/gateways.csv"));
            out.write_all(client.get_text(&path)?.as_bytes())?;
            Ok(Ended::Done)
        }
        _ => Ok(Ended::Done),
    }
}

fn sent(view: &UpdateView, json: bool, out: &mut dyn Write) -> anyhow::Result<Ended> {
    if json {
        return print_json(out, view);
    }
    writeln!(
        out,
        "Update {} was accepted for {} gateways. Follow it with:",
        view.update_id,
        view.gateway_count()
    )?;
    writeln!(out, "  keros-center update watch {}", view.update_id)?;
    Ok(Ended::Done)
}
