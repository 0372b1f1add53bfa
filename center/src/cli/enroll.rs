//! `enroll …`.

use std::io::Write;

use super::arguments::enroll::{EnrollCommand, EnrollOrder};
use super::client::Client;
use super::text::{table, utc};
use super::{Ended, print_json};
use crate::api::{EnrolOrder, EnrolmentLine, EnrolmentState, EnrolmentView, LockedOut};

pub(super) fn run(
    client: &Client,
    command: Option<EnrollCommand>,
    order: &EnrollOrder,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    match command {
        None => {
            let body = EnrolOrder { gateways: order.gateways.clone(), valid_s: Some(order.valid.into()) };
            let lines: Vec<EnrolmentLine> = client.post("/enrolments", &body)?;
            if json { print_json(out, &lines) } else { print(&lines, out) }
        }
        Some(EnrollCommand::List) => {
            let views: Vec<EnrolmentView> = client.get("/enrolments")?;
            if json { print_json(out, &views) } else { list(&views, out) }
        }
        Some(EnrollCommand::Cancel { eui }) => {
            client.delete(&format!("/enrolments/{eui}"))?;
            if !json {
                writeln!(out, "The line of {eui} is no longer good.")?;
            }
            Ok(Ended::Done)
        }
        Some(EnrollCommand::Revoke { eui }) => {
            let done: LockedOut = client.post(&format!("/gateways/{eui}/lock-out"), &())?;
            if json { print_json(out, &done) } else { revoked(&done, out) }
        }
    }
}

/// The lines alone on standard output, so that they can be piped; what to do with them beside it.
fn print(lines: &[EnrolmentLine], out: &mut dyn Write) -> anyhow::Result<Ended> {
    for line in lines {
        writeln!(out, "{}", line.line)?;
    }
    out.flush()?;
    if let Some(first) = lines.first() {
        let _ = writeln!(
            std::io::stderr(),
            "On each gateway run `sudo keros-agent enroll -`, paste its line, and press Enter. Each is good once, until {}.",
            utc(first.expires_at_unix_s)
        );
    }
    Ok(Ended::Done)
}

fn list(views: &[EnrolmentView], out: &mut dyn Write) -> anyhow::Result<Ended> {
    if views.is_empty() {
        writeln!(
            out,
            "No gateway was asked to enrol yet: `keros-center enroll EUI` prints the line for one."
        )?;
        return Ok(Ended::Done);
    }
    let rows: Vec<[String; 4]> = views
        .iter()
        .map(|view| {
            let state = match view.state {
                EnrolmentState::Pending => "pending",
                EnrolmentState::Issued => "issued, not confirmed",
                EnrolmentState::Confirmed => "confirmed",
                EnrolmentState::Expired => "expired",
                EnrolmentState::Cancelled => "cancelled",
            };
            [view.eui.to_string(), state.to_owned(), utc(view.created_at_unix_s), utc(view.expires_at_unix_s)]
        })
        .collect();
    write!(out, "{}", table(["GATEWAY", "STATE", "MADE", "GOOD UNTIL"], &rows))?;
    Ok(Ended::Done)
}

fn revoked(done: &LockedOut, out: &mut dyn Write) -> anyhow::Result<Ended> {
    let LockedOut { eui, tokens, certificates, password, was_connected } = done;
    let yes = |is: bool, yes: &'static str, no: &'static str| if is { yes } else { no };
    writeln!(
        out,
        "{eui} is locked out: {certificates} certificates and {tokens} lines are no longer good, {}; {}.",
        yes(*password, "nor is its password", "it had no password here"),
        yes(*was_connected, "its connection was ended", "it was not connected to the embedded broker")
    )?;
    Ok(Ended::Done)
}
