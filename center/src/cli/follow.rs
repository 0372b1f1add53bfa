//! `update retry`, `carry-out`, `go-on`, `export`.

use std::io::Write;

use super::arguments::updates::UpdateCommand;
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
            let before: UpdateView = client.get(&format!("/updates/{id}"))?;
            // Said of what was seen: said twice, or by two people at once, it begins one stage.
            let seen = before.rollout.map(|rollout| {
                let halted = rollout.halted_at_unix_s.is_some();
                format!("?stage={}&halted={halted}", rollout.stage)
            });
            let path = format!("/updates/{id}/go-on{}", seen.unwrap_or_default());
            let view: UpdateView = client.post_nothing(&path)?;
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
