//! `gateways …`.

use std::io::Write;

use super::arguments::GatewaysCommand;
use super::client::Client;
use super::text::{ago, bundle, duration, printable, table, utc};
use super::{Ended, print_json};
use crate::api::{DeclareGateway, GatewayView};

pub(super) fn run(
    client: &Client,
    command: Option<GatewaysCommand>,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    match command.unwrap_or(GatewaysCommand::List) {
        GatewaysCommand::List => {
            let views: Vec<GatewayView> = client.get_all("/gateways")?;
            if json { print_json(out, &views) } else { list(&views, out) }
        }
        GatewaysCommand::Show { eui } => {
            let view: GatewayView = client.get(&format!("/gateways/{eui}"))?;
            if json { print_json(out, &view) } else { show(&view, out) }
        }
        GatewaysCommand::Declare { eui, name, description, customer } => {
            let body = DeclareGateway { eui: eui.to_string(), name, description, customer };
            let view: GatewayView = client.post("/gateways", &body)?;
            if json { print_json(out, &view) } else { show(&view, out) }
        }
        GatewaysCommand::Nudge { eui } => {
            client.post_empty(&format!("/gateways/{eui}/nudge"))?;
            if !json {
                writeln!(out, "{eui} was asked to send telemetry now.")?;
            }
            Ok(Ended::Done)
        }
    }
}

fn list(views: &[GatewayView], out: &mut dyn Write) -> anyhow::Result<Ended> {
    if views.is_empty() {
        writeln!(out, "No gateway is known yet: each one appears with its first telemetry.")?;
        return Ok(Ended::Done);
    }
    let rows: Vec<[String; 6]> = views
        .iter()
        .map(|view| {
            [
                view.eui.to_string(),
                printable(&view.name),
                view.keros_version.as_deref().map_or_else(|| "-".to_owned(), printable),
                if view.online { "online" } else { "offline" }.to_owned(),
                ago(view.last_telemetry_unix_s),
                printable(&view.groups.join(", ")),
            ]
        })
        .collect();
    write!(out, "{}", table(["GATEWAY", "NAME", "KEROS", "STATE", "TELEMETRY", "GROUPS"], &rows))?;
    Ok(Ended::Done)
}

fn show(view: &GatewayView, out: &mut dyn Write) -> anyhow::Result<Ended> {
    let mut line = |name: &str, value: &str| writeln!(out, "{name:16}{}", printable(value));
    let known = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
    line("Gateway", &view.eui.to_string())?;
    line("Name", &view.name)?;
    if !view.description.is_empty() {
        line("Description", &view.description)?;
    }
    line("Known by", if view.declared { "declaration" } else { "its telemetry" })?;
    line("Groups", &view.groups.join(", "))?;
    line("State", if view.online { "online" } else { "offline" })?;
    line("KerOS", &known(&view.keros_version))?;
    line("Agent", &known(&view.agent_version))?;
    let when = view.last_telemetry_unix_s.map(|then| format!("{} ({})", utc(then), ago(Some(then))));
    line("Telemetry", &when.unwrap_or_else(|| "never".to_owned()))?;
    let Some(telemetry) = &view.telemetry else { return Ok(Ended::Done) };
    let number = |value: Option<f32>, unit: &str| value.map(|value| format!("{value:.1} {unit}"));
    for (name, value) in [
        ("Codename", telemetry.codename.clone()),
        ("Uptime", telemetry.uptime.map(duration)),
        ("CPU", number(telemetry.cpu_percent, "%")),
        ("Memory", number(telemetry.memory_percent, "%")),
        ("Temperature", number(telemetry.temperature, "°C")),
        ("Network", telemetry.network_interface_category.clone()),
        ("Packages", telemetry.installed_packages.as_ref().map(|packages| packages.len().to_string())),
    ] {
        if let Some(value) = value {
            line(name, &value)?;
        }
    }
    if let Some(under_way) = &telemetry.bundle {
        line("Bundle", &format!("for command {}: {}", under_way.command_id, bundle(under_way)))?;
    }
    for disk in &telemetry.disks {
        let text = format!("{} {:.0} % of {} MiB", disk.mount, disk.used_percent, disk.size_bytes >> 20);
        line("Disk", &text)?;
    }
    Ok(Ended::Done)
}
