//! `update cancel`.

use std::io::Write;

use keros_protocol::{Eui, UpdateId};

use super::client::Client;
use super::text::{outcome, printable, table};
use super::updates::counts;
use super::{Ended, print_json, terminal};
use crate::api::{CancelAnswer, CancelView, CancelledDelivery, UpdateView};

pub(super) fn run(
    client: &Client,
    id: UpdateId,
    gateway: Option<Eui>,
    yes: bool,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    if !yes && terminal::can_ask() {
        let view: UpdateView = client.get(&format!("/updates/{id}"))?;
        if !terminal::ask(&question(&view, gateway))? {
            anyhow::bail!("nothing was cancelled");
        }
    }
    let path = match gateway {
        Some(eui) => format!("/updates/{id}/gateways/{eui}/cancel"),
        None => format!("/updates/{id}/cancel"),
    };
    let view: CancelView = client.post(&path, &serde_json::json!({}))?;
    if json {
        print_json(out, &view)?;
    } else {
        show(&view, out)?;
    }
    let too_late = view.gateways.iter().any(|line| line.answer == CancelAnswer::TooLate);
    Ok(if too_late { Ended::NotAllSucceeded } else { Ended::Done })
}

fn question(view: &UpdateView, gateway: Option<Eui>) -> String {
    let whom = match gateway {
        Some(eui) => format!("gateway {eui}"),
        None => format!("all gateways ({})", counts(&view.outcomes)),
    };
    format!("Cancel update {} to group {} for {whom}?", view.update_id, printable(&view.group))
}

fn show(view: &CancelView, out: &mut dyn Write) -> std::io::Result<()> {
    let rows: Vec<[String; 4]> = view.gateways.iter().map(row).collect();
    write!(out, "{}", table(["GATEWAY", "NAME", "CANCEL", "KNOWN"], &rows))?;
    if view.gateways.iter().any(|line| line.answer == CancelAnswer::Asked) {
        writeln!(out, "\nThose that were asked say what came of it when they are reached. Follow it with:")?;
        writeln!(out, "  keros-center update watch {}", view.update_id)?;
    }
    Ok(())
}

fn row(line: &CancelledDelivery) -> [String; 4] {
    let answer = match line.answer {
        CancelAnswer::NeverDelivered => "never delivered",
        CancelAnswer::Asked => "asked",
        CancelAnswer::TooLate => "too late",
    };
    let known = line.outcome.as_ref().map_or_else(|| line.delivery.to_string(), outcome);
    [line.eui.to_string(), printable(&line.name), answer.to_owned(), known]
}

#[cfg(test)]
mod tests {
    use super::super::updates::tests::{succeeded, update};
    use super::*;
    use keros_protocol::{CommandId, Delivery, Outcome, TaskRef};

    #[test]
    fn the_answer_says_of_each_gateway_what_it_comes_to() {
        let line = |number: u64, answer, delivery, outcome| CancelledDelivery {
            eui: Eui::from_u64(0x7076_FF00_5607_0100 + number),
            name: format!("klk-wiis-{number}"),
            command_id: CommandId("01920000-0000-7000-8000-000000000001".parse().unwrap()),
            answer,
            delivery,
            outcome,
        };
        let task = TaskRef { number: 2, count: 5, name: "wait".to_owned() };
        let running = Outcome::Running { task: Some(task) };
        let view = CancelView {
            update_id: update(Vec::new()).update_id,
            answers: std::collections::BTreeMap::new(),
            gateways: vec![
                line(1, CancelAnswer::NeverDelivered, Delivery::Cancelled, None),
                line(2, CancelAnswer::Asked, Delivery::Sent, None),
                line(3, CancelAnswer::Asked, Delivery::Received, Some(running)),
                line(4, CancelAnswer::TooLate, Delivery::Received, Some(succeeded())),
            ],
        };
        let mut out = Vec::new();
        show(&view, &mut out).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "GATEWAY           NAME        CANCEL           KNOWN\n\
             7076FF0056070101  klk-wiis-1  never delivered  cancelled\n\
             7076FF0056070102  klk-wiis-2  asked            sent\n\
             7076FF0056070103  klk-wiis-3  asked            running: task 2 of 5 (wait)\n\
             7076FF0056070104  klk-wiis-4  too late         succeeded: 2 tasks (2 created)\n\
             \n\
             Those that were asked say what came of it when they are reached. Follow it with:\n  \
             keros-center update watch 01920000-0000-7000-8000-000000000002\n"
        );
    }
}
