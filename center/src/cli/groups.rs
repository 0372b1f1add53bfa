//! `groups …`.

use std::io::Write;

use super::arguments::groups::GroupsCommand;
use super::client::{Client, path_part};
use super::text::{printable, table};
use super::{Ended, print_json};
use crate::api::{CreateGroup, EditGroup, GroupView, NudgedGroup};

pub(super) fn run(
    client: &Client,
    command: Option<GroupsCommand>,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    let show_group = |out: &mut dyn Write, view: &GroupView| {
        if json { print_json(out, view) } else { show(view, out) }
    };
    match command.unwrap_or(GroupsCommand::List) {
        GroupsCommand::List => {
            let views: Vec<GroupView> = client.get("/groups")?;
            if json { print_json(out, &views) } else { list(&views, out) }
        }
        GroupsCommand::Show { name } => show_group(out, &get(client, &name)?),
        GroupsCommand::Create { name, gateways, description, rule, alerting, customer } => {
            let order = CreateGroup { name, description, gateways, rule, alerting, customer };
            show_group(out, &client.post::<GroupView>("/groups", &order)?)
        }
        GroupsCommand::Edit { group, name, description, rule, alerting } => {
            let order = EditGroup { name, description, rule, alerting };
            let path = format!("/groups/{}", path_part(&group));
            show_group(out, &client.patch::<GroupView>(&path, &order)?)
        }
        GroupsCommand::Add { name, gateways } => {
            for eui in gateways {
                client.put_empty(&format!("/groups/{}/gateways/{eui}", path_part(&name)))?;
            }
            show_group(out, &get(client, &name)?)
        }
        GroupsCommand::Remove { name, gateways } => {
            for eui in gateways {
                client.delete(&format!("/groups/{}/gateways/{eui}", path_part(&name)))?;
            }
            show_group(out, &get(client, &name)?)
        }
        GroupsCommand::Nudge { name } => {
            let asked: NudgedGroup = client.post_nothing(&format!("/groups/{}/nudge", path_part(&name)))?;
            if json {
                return print_json(out, &asked);
            }
            let NudgedGroup { asked, not_connected } = asked;
            writeln!(
                out,
                "{asked} gateways were asked to send telemetry now; {not_connected} are not connected."
            )?;
            Ok(Ended::Done)
        }
        GroupsCommand::Delete { name } => {
            client.delete(&format!("/groups/{}", path_part(&name)))?;
            Ok(Ended::Done)
        }
    }
}

fn get(client: &Client, name: &str) -> anyhow::Result<GroupView> {
    Ok(client.get(&format!("/groups/{}", path_part(name)))?)
}

fn list(views: &[GroupView], out: &mut dyn Write) -> anyhow::Result<Ended> {
    if views.is_empty() {
        writeln!(
            out,
            "There is no group yet: `keros-center groups create NAME --gateways EUI,EUI…` makes one."
        )?;
        return Ok(Ended::Done);
    }
    let rows: Vec<[String; 3]> = views
        .iter()
        .map(|view| [printable(&view.name), view.gateway_count.to_string(), printable(&view.description)])
        .collect();
    write!(out, "{}", table(["GROUP", "GATEWAYS", "DESCRIPTION"], &rows))?;
    Ok(Ended::Done)
}

fn show(view: &GroupView, out: &mut dyn Write) -> anyhow::Result<Ended> {
    let plural = if view.gateways.len() == 1 { "" } else { "s" };
    writeln!(out, "{}: {} gateway{plural}", printable(&view.name), view.gateways.len())?;
    if !view.description.is_empty() {
        writeln!(out, "{}", printable(&view.description))?;
    }
    if let Some(rule) = &view.rule {
        writeln!(out, "Rule: {}", printable(rule))?;
    }
    if view.alerting {
        writeln!(out, "Alerting: on")?;
    }
    for eui in &view.gateways {
        writeln!(out, "  {eui}")?;
    }
    Ok(Ended::Done)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_group_is_shown_with_all_that_can_be_changed_of_it() {
        let plain = json!({
            "group_id": "g", "customer_id": "00000000-0000-7000-8000-000000000001", "customer": "main", "name": "north",
            "gateways": ["7076FF0056070123"],
        });
        let mut full = plain.clone();
        full["description"] = json!("the masts");
        full["rule"] = json!("keros >= 6");
        full["alerting"] = json!(true);
        for (view, expected) in [
            (plain, "north: 1 gateway\n  7076FF0056070123\n"),
            (full, "north: 1 gateway\nthe masts\nRule: keros >= 6\nAlerting: on\n  7076FF0056070123\n"),
        ] {
            let mut out = Vec::new();
            show(&serde_json::from_value(view).unwrap(), &mut out).unwrap();
            assert_eq!(String::from_utf8(out).unwrap(), expected);
        }
    }
}
