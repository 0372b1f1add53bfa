//! `gateways …`.

use std::io::{Read as _, Write};
use std::path::Path;

use anyhow::{Context as _, bail};

use super::arguments::gateways::{GatewaysCommand, GatewaysWanted};
use super::client::{Client, path_part};
use super::text::{ago, bundle, duration, printable, table, utc};
use super::{Ended, print_json};
use crate::api::{
    DeclareGateway, EditGateway, GatewayCounts, GatewayView, History, ImportView, MoveGateway, OfDay,
    Packages, Retired,
};

/// Bytes of a file: the most that the center takes.
const MAX_FILE_BYTES: u64 = 2 << 20;

pub(super) fn run(
    client: &Client,
    command: Option<GatewaysCommand>,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    let show_one = |out: &mut dyn Write, view: &GatewayView| {
        if json { print_json(out, view) } else { show(view, out) }
    };
    match command.unwrap_or_else(|| GatewaysCommand::List(GatewaysWanted::default())) {
        GatewaysCommand::List(wanted) => {
            let views: Vec<GatewayView> = client.get_all(&format!("/gateways{}", query(&wanted)))?;
            if json { print_json(out, &views) } else { list(&views, &wanted, out) }
        }
        GatewaysCommand::Count(wanted) => {
            let counts: GatewayCounts = client.get(&format!("/gateways/counts{}", query(&wanted)))?;
            if json { print_json(out, &counts) } else { count(&counts, out) }
        }
        GatewaysCommand::Show { eui } => show_one(out, &client.get(&format!("/gateways/{eui}"))?),
        GatewaysCommand::History { eui, days } => {
            let view: History = client.get(&format!("/gateways/{eui}/history"))?;
            if json { print_json(out, &view) } else { history(&view, days, out) }
        }
        GatewaysCommand::Packages { eui, search } => {
            let search = search.map(|search| format!("?search={}", path_part(&search))).unwrap_or_default();
            let view: Packages = client.get(&format!("/gateways/{eui}/packages{search}"))?;
            if json { print_json(out, &view) } else { packages(&view, out) }
        }
        GatewaysCommand::Declare { eui, name, description, customer } => {
            let body = DeclareGateway { eui: eui.to_string(), name, description, customer };
            show_one(out, &client.post("/gateways", &body)?)
        }
        GatewaysCommand::Edit { eui, name, description, labels, location } => {
            let labels = labels.map(|list| list.into_iter().filter(|label| !label.is_empty()).collect());
            let body = EditGateway { name, description, labels, location };
            show_one(out, &client.patch(&format!("/gateways/{eui}"), &body)?)
        }
        GatewaysCommand::Move { eui, customer } => {
            show_one(out, &client.post(&format!("/gateways/{eui}/move"), &MoveGateway { customer })?)
        }
        GatewaysCommand::Retire { eui, lock_out } => {
            let view: Retired = client.post_nothing(&format!("/gateways/{eui}/retire"))?;
            if lock_out {
                client.post_empty(&format!("/gateways/{eui}/lock-out"))?;
            }
            if json { print_json(out, &view) } else { retired(&view, lock_out, out) }
        }
        GatewaysCommand::Unretire { eui } => {
            show_one(out, &client.post_nothing(&format!("/gateways/{eui}/unretire"))?)
        }
        GatewaysCommand::Import { file, dry_run, customer } => {
            let view = import(client, &file, dry_run, customer.as_deref())?;
            if json { print_json(out, &view) } else { imported(&view, out) }
        }
        GatewaysCommand::Export(wanted) => {
            let mut lines = client.get_stream(&format!("/gateways/export{}", query(&wanted)))?;
            std::io::copy(&mut lines, out).context("the list has broken off")?;
            Ok(Ended::Done)
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

fn query(wanted: &GatewaysWanted) -> String {
    let said: Vec<String> = [
        ("search", &wanted.search),
        ("status", &wanted.status),
        ("keros", &wanted.keros),
        ("model", &wanted.model),
        ("label", &wanted.label),
        ("rule", &wanted.rule),
        ("group", &wanted.group),
        ("customer", &wanted.customer),
        ("retired", &wanted.retired),
        ("sort", &wanted.sort),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some(format!("{name}={}", path_part(value.as_ref()?))))
    .collect();
    if said.is_empty() { String::new() } else { format!("?{}", said.join("&")) }
}

fn list(views: &[GatewayView], wanted: &GatewaysWanted, out: &mut dyn Write) -> anyhow::Result<Ended> {
    if views.is_empty() {
        let all = query(wanted).is_empty();
        let why = if all {
            "No gateway is known yet: each one appears with its first telemetry."
        } else {
            "No gateway is so."
        };
        writeln!(out, "{why}")?;
        return Ok(Ended::Done);
    }
    let rows: Vec<[String; 6]> = views
        .iter()
        .map(|view| {
            [
                view.eui.to_string(),
                printable(&view.name),
                view.keros_version.as_deref().map_or_else(|| "-".to_owned(), printable),
                state(view),
                ago(view.last_telemetry_unix_s),
                printable(&view.groups.join(", ")),
            ]
        })
        .collect();
    write!(out, "{}", table(["GATEWAY", "NAME", "KEROS", "STATE", "TELEMETRY", "GROUPS"], &rows))?;
    Ok(Ended::Done)
}

/// Status, connection and whether it is out of service, in few words.
fn state(view: &GatewayView) -> String {
    let status = view.connection_status.status.as_str();
    let retired = if view.retired_at_unix_s.is_some() { ", retired" } else { "" };
    format!("{status}, {}{retired}", if view.online { "online" } else { "offline" })
}

fn count(counts: &GatewayCounts, out: &mut dyn Write) -> anyhow::Result<Ended> {
    for (name, number) in [
        ("Operational", counts.operational),
        ("Warning", counts.warning),
        ("Unreachable", counts.unreachable),
        ("Unknown", counts.unknown),
        ("Together", counts.total),
    ] {
        writeln!(out, "{name:16}{number}")?;
    }
    Ok(Ended::Done)
}

fn history(view: &History, days: bool, out: &mut dyn Write) -> anyhow::Result<Ended> {
    let of_hour = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), |value| format!("{value:.1}"));
    let of_day = |value: Option<OfDay>| {
        value.map_or_else(|| "-".to_owned(), |OfDay { average, maximum }| format!("{average} to {maximum}"))
    };
    let rows: Vec<[String; 4]> = if days {
        let row = |day: &crate::api::DayPoint| {
            [
                utc(day.time_unix_s),
                of_day(day.cpu_percent),
                of_day(day.memory_percent),
                of_day(day.temperature),
            ]
        };
        view.days.iter().map(row).collect()
    } else {
        let row = |hour: &crate::api::HourPoint| {
            [
                utc(hour.time_unix_s),
                of_hour(hour.cpu_percent),
                of_hour(hour.memory_percent),
                of_hour(hour.temperature),
            ]
        };
        view.hours.iter().map(row).collect()
    };
    if rows.is_empty() {
        writeln!(out, "Nothing has been heard yet.")?;
    } else {
        write!(out, "{}", table(["SINCE", "CPU %", "MEMORY %", "°C"], &rows))?;
    }
    Ok(Ended::Done)
}

fn packages(view: &Packages, out: &mut dyn Write) -> anyhow::Result<Ended> {
    let rows: Vec<[String; 2]> =
        view.packages.iter().map(|package| [printable(&package.name), printable(&package.version)]).collect();
    write!(out, "{}", table(["PACKAGE", "VERSION"], &rows))?;
    writeln!(out, "{} of {}", view.packages.len(), view.total)?;
    Ok(Ended::Done)
}

fn retired(view: &Retired, locked_out: bool, out: &mut dyn Write) -> anyhow::Result<Ended> {
    writeln!(out, "{} is retired{}.", view.eui, if locked_out { " and locked out" } else { "" })?;
    for update_id in &view.cancelled {
        writeln!(out, "Update {update_id}: cancelled for it, it was not sent yet.")?;
    }
    for update_id in &view.asked {
        writeln!(out, "Update {update_id}: the gateway has it, and is asked to end it.")?;
    }
    Ok(Ended::Done)
}

/// First only asked, so that all that is wrong is told.
fn import(client: &Client, file: &Path, dry_run: bool, customer: Option<&str>) -> anyhow::Result<ImportView> {
    let text = read(file).with_context(|| format!("cannot read {}", file.display()))?;
    let customer = customer.map(|name| format!("&customer={}", path_part(name))).unwrap_or_default();
    let ask = |dry_run: bool| -> anyhow::Result<ImportView> {
        Ok(client.post_bytes(&format!("/gateways/import?dry_run={dry_run}{customer}"), "text/csv", &text)?)
    };
    let would = ask(true)?;
    if would.errors.is_empty() && !dry_run {
        return ask(false);
    }
    Ok(would)
}

fn read(file: &Path) -> std::io::Result<Vec<u8>> {
    let mut text = Vec::new();
    let most = MAX_FILE_BYTES + 1;
    if file == Path::new("-") {
        std::io::stdin().lock().take(most).read_to_end(&mut text)?;
    } else {
        std::fs::File::open(file)?.take(most).read_to_end(&mut text)?;
    }
    if text.len() as u64 > MAX_FILE_BYTES {
        return Err(std::io::Error::other("it has more than 2 MiB: split it"));
    }
    Ok(text)
}

fn imported(view: &ImportView, out: &mut dyn Write) -> anyhow::Result<Ended> {
    for error in &view.errors {
        writeln!(out, "line {}: {}", error.line, printable(&error.message))?;
    }
    if !view.errors.is_empty() {
        bail!("the file has errors: nothing is changed");
    }
    let word = if view.dry_run { "would be " } else { "" };
    writeln!(
        out,
        "{} {word}added, {} {word}changed, {} as they are.",
        view.added, view.changed, view.unchanged
    )?;
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
    if !view.labels.is_empty() {
        line("Labels", &view.labels.join(", "))?;
    }
    for location in &view.locations {
        line("Location", &location.to_string())?;
    }
    line("State", &state(view))?;
    if !view.warnings.is_empty() {
        line("Worth a look", &view.warnings.join(", "))?;
    }
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
