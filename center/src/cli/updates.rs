//! `update …`: list, show, and the way to `send` and `watch`.

use std::collections::BTreeMap;
use std::io::Write;

use keros_protocol::{Delivery, Outcome};

use super::arguments::updates::UpdateCommand;
use super::client::Client;
use super::text::{ago, bundle, cut, outcome, printable, table, utc};
use super::{Ended, cancel, follow, print_json, send, watch};
use crate::api::{DeliveryView, GatewayView, UpdateView};

/// Of so many gateways that fetch a bundle `update show` says how far it is: each is asked for by itself.
const BUNDLES: usize = 20;

pub(super) fn run(
    client: &Client,
    command: UpdateCommand,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    match command {
        UpdateCommand::Send(arguments) => send::run(client, &arguments, json, out),
        UpdateCommand::List { limit } => {
            let most = usize::try_from(limit).unwrap_or(usize::MAX);
            let views: Vec<UpdateView> = client.get_some(&format!("/updates?limit={limit}"), most)?;
            if json { print_json(out, &views) } else { list(&views, out) }
        }
        UpdateCommand::Show { id } => {
            let view: UpdateView = client.get(&format!("/updates/{id}"))?;
            if json {
                return print_json(out, &view);
            }
            show(&view, out)?;
            bundles(client, &view, out)?;
            Ok(Ended::Done)
        }
        UpdateCommand::Watch { id, until_ended } => watch::run(client, id, until_ended, json, out),
        UpdateCommand::Retry { .. }
        | UpdateCommand::CarryOut { .. }
        | UpdateCommand::GoOn { .. }
        | UpdateCommand::Export { .. } => follow::run(client, command, json, out),
        UpdateCommand::Cancel { id, gateway, yes } => cancel::run(client, id, gateway, yes, json, out),
    }
}

/// Whether every gateway of an update succeeded.
pub(crate) fn all_succeeded(view: &UpdateView) -> bool {
    view.outcomes.iter().all(|(name, count)| name == "succeeded" || *count == 0)
}

/// Counts by name in one line, e.g. `2 succeeded, 1 refused`.
pub(super) fn counts(counts: &BTreeMap<String, u32>) -> String {
    let parts: Vec<String> = counts
        .iter()
        .filter(|(_, count)| **count > 0)
        .map(|(name, count)| match name.as_str() {
            "none" => format!("{count} without outcome"),
            name => format!("{count} {}", printable(name)),
        })
        .collect();
    if parts.is_empty() { "no gateways".to_owned() } else { parts.join(", ") }
}

/// A gateway of an update as cells: EUI, name, delivery, outcome.
pub(crate) fn row(view: &DeliveryView) -> [String; 4] {
    let delivery = match view.delivery {
        Delivery::Sent if view.times_sent > 1 => format!("sent ({} times)", view.times_sent),
        delivery => delivery.to_string(),
    };
    let mut outcome = view.outcome.as_ref().map_or_else(|| "-".to_owned(), outcome);
    if view.cancel_requested_at_unix_s.is_some() && !is_over(view) {
        outcome.push_str(" [asked to cancel]");
    }
    if view.overdue {
        outcome.push_str(" [overdue]");
    }
    [view.eui.to_string(), printable(&view.name), delivery, outcome]
}

/// Whether nothing more is expected of this gateway.
pub(super) fn is_over(view: &DeliveryView) -> bool {
    let undeliverable =
        matches!(view.delivery, Delivery::Cancelled | Delivery::Expired) && view.outcome.is_none();
    undeliverable || view.outcome.as_ref().is_some_and(Outcome::is_terminal)
}

/// The counts of outcomes, and of those that are overdue.
fn outcomes(view: &UpdateView) -> String {
    match view.overdue {
        0 => counts(&view.outcomes),
        overdue => format!("{} ({overdue} overdue)", counts(&view.outcomes)),
    }
}

/// The heads of [`row`].
pub(crate) const ROW_HEAD: [&str; 4] = ["GATEWAY", "NAME", "DELIVERY", "OUTCOME"];

fn list(views: &[UpdateView], out: &mut dyn Write) -> anyhow::Result<Ended> {
    if views.is_empty() {
        writeln!(
            out,
            "No update was sent yet: `keros-center update send --group NAME --script FILE` sends one."
        )?;
        return Ok(Ended::Done);
    }
    let rows: Vec<[String; 6]> = views
        .iter()
        .map(|view| {
            [
                view.update_id.to_string(),
                ago(Some(view.created_at_unix_s)),
                if view.by_hand { "(by hand)".to_owned() } else { printable(&view.group) },
                match (view.magic_link, &view.title) {
                    (Some(digest), _) => format!("link {}", &digest.hex()[..12]),
                    (None, Some(title)) => printable(&cut(title, 30)),
                    (None, None) => printable(&view.kind),
                },
                printable(&view.state),
                outcomes(view),
            ]
        })
        .collect();
    write!(out, "{}", table(["UPDATE", "SENT", "GROUP", "WHAT", "DELIVERY", "OUTCOMES"], &rows))?;
    Ok(Ended::Done)
}

fn show(view: &UpdateView, out: &mut dyn Write) -> anyhow::Result<Ended> {
    writeln!(
        out,
        "Update {} ({}) {}",
        view.update_id,
        printable(&view.kind),
        if view.by_hand {
            "carried by hand".to_owned()
        } else {
            format!("to group {}", printable(&view.group))
        }
    )?;
    if let Some(digest) = view.magic_link {
        writeln!(out, "Magic Link {digest}")?;
    }
    writeln!(
        out,
        "Sent {} ({}), expires {}",
        utc(view.created_at_unix_s),
        ago(Some(view.created_at_unix_s)),
        utc(view.expires_at_unix_s)
    )?;
    let ended = if view.ended { "ended" } else { "not ended" };
    writeln!(out, "Delivery: {} ({}); {ended}", printable(&view.state), counts(&view.deliveries))?;
    writeln!(out, "Outcomes: {}\n", outcomes(view))?;
    let rows: Vec<[String; 4]> = view.gateways.iter().map(row).collect();
    write!(out, "{}", table(ROW_HEAD, &rows))?;
    for gateway in &view.gateways {
        details(gateway, out)?;
    }
    Ok(Ended::Done)
}

/// How far the bundle was on the gateways that wait for it, when they last told.
fn bundles(client: &Client, view: &UpdateView, out: &mut dyn Write) -> anyhow::Result<()> {
    let waits = |line: &&DeliveryView| line.outcome == Some(Outcome::Accepted {});
    let waiting = view.gateways.iter().filter(waits).filter(|_| view.magic_link.is_some());
    for line in waiting.take(BUNDLES) {
        let gateway: GatewayView = client.get(&format!("/gateways/{}", line.eui))?;
        let told = gateway.telemetry.and_then(|telemetry| telemetry.bundle);
        if let Some(told) = told.filter(|told| told.command_id == line.command_id) {
            writeln!(out, "\n{}:", line.eui)?;
            let when = ago(gateway.last_telemetry_unix_s);
            writeln!(out, "  its bundle, as told {when}: {}", printable(&bundle(&told)))?;
        }
    }
    Ok(())
}

/// What does not fit into a line: the detail of a refusal, what a failed task printed.
fn details(view: &DeliveryView, out: &mut dyn Write) -> std::io::Result<()> {
    let (detail, output) = match &view.outcome {
        Some(Outcome::Refused { detail, .. }) => (Some(detail.clone()), None),
        Some(Outcome::Failed { output, .. } | Outcome::TimedOut { output, .. }) => (None, output.as_ref()),
        Some(Outcome::RolledBack { remains, .. }) if !remains.is_empty() => {
            (Some(format!("remains: {}", remains.join("; "))), None)
        }
        _ => (None, None),
    };
    if detail.is_none() && output.is_none() {
        return Ok(());
    }
    writeln!(out, "\n{}:", view.eui)?;
    if let Some(detail) = detail {
        writeln!(out, "  {}", printable(&detail))?;
    }
    if let Some(output) = output {
        for line in output.to_string().lines() {
            writeln!(out, "  | {}", printable(line))?;
        }
    }
    Ok(())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use keros_protocol::{CommandId, Eui, RefusalReason, Summary, TaskRef, UpdateId};

    pub(in crate::cli) fn delivery(number: u64, outcome: Option<Outcome>) -> DeliveryView {
        DeliveryView {
            waits_for: None,
            eui: Eui::from_u64(0x7076_FF00_5607_0100 + number),
            name: format!("klk-wiis-{number}"),
            command_id: CommandId("01920000-0000-7000-8000-000000000001".parse().unwrap()),
            delivery: if outcome.is_some() { Delivery::Received } else { Delivery::Waiting },
            outcome,
            times_sent: 1,
            changed_at_unix_s: 0,
            cancel_requested_at_unix_s: None,
            overdue: false,
        }
    }

    pub(in crate::cli) fn update(gateways: Vec<DeliveryView>) -> UpdateView {
        let mut outcomes = BTreeMap::new();
        for gateway in &gateways {
            let name = gateway.outcome.as_ref().map_or("none", Outcome::name);
            *outcomes.entry(name.to_owned()).or_default() += 1;
        }
        let ended = gateways.iter().all(|g| g.outcome.as_ref().is_some_and(Outcome::is_terminal));
        UpdateView {
            gateway: None,
            dry_run: false,
            is_first: false,
            plan: crate::plan::Plan::default(),
            rollout: None,
            follows: None,
            followed_by: Vec::new(),
            update_id: UpdateId("01920000-0000-7000-8000-000000000002".parse().unwrap()),
            group: "north".to_owned(),
            group_id: Some("group-north".to_owned().into()),
            customer_id: crate::access::CustomerId::MAIN,
            customer: "main".to_owned(),
            created_by: "ada".to_owned(),
            created_by_id: None,
            kind: "jetporch".to_owned(),
            title: None,
            magic_link: None,
            by_hand: false,
            created_at_unix_s: 0,
            expires_at_unix_s: 604_800,
            state: if ended { "sent" } else { "in_progress" }.to_owned(),
            ended,
            open: u32::from(!ended),
            overdue: 0,
            deliveries: BTreeMap::new(),
            outcomes,
            gateways,
        }
    }

    pub(in crate::cli) fn succeeded() -> Outcome {
        Outcome::Succeeded {
            summary: Summary { created: 2, ..Summary::default() },
            dry_run: false,
            differences: None,
        }
    }

    pub(in crate::cli) fn refused() -> Outcome {
        let detail = "a JetPorch script needs KerOS 6, this gateway has 5.10.1\x1b[2J".to_owned();
        Outcome::Refused { reason: RefusalReason::NotKeros6, detail }
    }

    #[test]
    fn show_tells_each_gateways_end_and_the_words_behind_it() {
        let view =
            update(vec![delivery(1, Some(succeeded())), delivery(2, Some(refused())), delivery(3, None)]);
        let mut out = Vec::new();
        show(&view, &mut out).unwrap();
        let text = String::from_utf8(out).unwrap();
        let tail = text.split_once("\n\n").unwrap().1;
        assert_eq!(
            tail,
            "GATEWAY           NAME        DELIVERY  OUTCOME\n\
             7076FF0056070101  klk-wiis-1  received  succeeded: 2 tasks (2 created)\n\
             7076FF0056070102  klk-wiis-2  received  refused: not_keros_6\n\
             7076FF0056070103  klk-wiis-3  waiting   -\n\
             \n\
             7076FF0056070102:\n  \
             a JetPorch script needs KerOS 6, this gateway has 5.10.1\\u{1b}[2J\n"
        );
        assert!(text.contains("Outcomes: 1 without outcome, 1 refused, 1 succeeded"), "{text}");
    }

    #[test]
    fn an_update_names_the_link_that_it_runs() {
        let digest = keros_protocol::magic_link::Digest::of(b"x");
        let view =
            UpdateView { kind: "magic_link".to_owned(), magic_link: Some(digest), ..update(Vec::new()) };
        let text = |print: &dyn Fn(&mut Vec<u8>) -> anyhow::Result<Ended>| {
            let mut out = Vec::new();
            print(&mut out).unwrap();
            String::from_utf8(out).unwrap()
        };
        let shown = text(&|out| show(&view, out));
        assert!(shown.contains(&format!("(magic_link) to group north\nMagic Link {digest}\n")), "{shown}");
        let by_hand = UpdateView { by_hand: true, group: String::new(), ..view.clone() };
        assert!(text(&|out| show(&by_hand, out)).contains("(magic_link) carried by hand\n"));
        let listed = text(&|out| list(std::slice::from_ref(&by_hand), out));
        assert!(listed.contains(&format!("  (by hand)  link {}  sent ", &digest.hex()[..12])), "{listed}");
    }

    #[test]
    fn a_row_says_what_is_asked_and_what_is_owed() {
        let task = TaskRef { number: 2, count: 3, name: "write".to_owned() };
        let running = delivery(1, Some(Outcome::Running { task: Some(task) }));
        let late = DeliveryView { overdue: true, cancel_requested_at_unix_s: Some(5), ..running };
        assert_eq!(row(&late)[3], "running: task 2 of 3 (write) [asked to cancel] [overdue]");
        let ended = DeliveryView { cancel_requested_at_unix_s: Some(5), ..delivery(1, Some(succeeded())) };
        assert_eq!(row(&ended)[3], "succeeded: 2 tasks (2 created)");
    }

    #[test]
    fn success_is_only_when_all_succeeded() {
        assert!(all_succeeded(&update(vec![delivery(1, Some(succeeded()))])));
        for other in [Some(refused()), None] {
            assert!(!all_succeeded(&update(vec![delivery(1, Some(succeeded())), delivery(2, other)])));
        }
    }
}
