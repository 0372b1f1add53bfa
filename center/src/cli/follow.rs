//! `update retry`, `carry-out`, `go-on`, `differences`, `export`.

use std::io::Write;

use super::arguments::UpdateCommand;
use super::client::Client;
use super::text::printable;
use super::{Ended, print_json};
use crate::api::{DifferenceGroup, FollowUp, UpdateView};

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
        UpdateCommand::Differences { id } => {
            let groups: Vec<DifferenceGroup> = client.get(&format!("/updates/{id}/differences"))?;
            if json { print_json(out, &groups) } else { differences(&groups, out) }
        }
        UpdateCommand::Export { id } => {
            let path =
                id.map_or_else(|| "/updates.csv".to_owned(), |id| format!("/updates/{id}/gateways.csv"));
            out.write_all(client.text(&path)?.as_bytes())?;
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
        view.gateways.len()
    )?;
    writeln!(out, "  keros-center update watch {}", view.update_id)?;
    Ok(Ended::Done)
}

fn differences(groups: &[DifferenceGroup], out: &mut dyn Write) -> anyhow::Result<Ended> {
    for group in groups {
        let gateways: Vec<String> = group.gateways.iter().take(5).map(ToString::to_string).collect();
        let more = if group.count as usize > gateways.len() { ", …" } else { "" };
        writeln!(
            out,
            "{} gateways: {} ({}{more})",
            group.count,
            printable(&group.summary),
            gateways.join(", ")
        )?;
        for line in group.diff.lines() {
            writeln!(out, "    {}", printable(line))?;
        }
    }
    Ok(Ended::Done)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_shown_group_by_group_without_control_characters() {
        let group = DifferenceGroup {
            count: 7,
            summary: "1 modified".to_owned(),
            diff: "-a\n+\u{1b}[31mb\n".to_owned(),
            gateways: (1..=7).map(keros_protocol::Eui::from_u64).collect(),
        };
        let mut out = Vec::new();
        differences(&[group], &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        assert!(text.starts_with("7 gateways: 1 modified (0000000000000001, "), "{text}");
        assert!(text.contains(", …)\n    -a\n") && !text.contains('\u{1b}'), "{text}");
    }
}
