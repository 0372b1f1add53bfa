//! `webhooks …`.

use std::io::Write;

use super::arguments::webhooks::WebhooksCommand;
use super::client::Client;
use super::text::{ago, printable, table};
use super::{Ended, print_json};
use crate::api::{CreateWebhook, EditWebhook, WebhookMessageView, WebhookView};

pub(super) fn run(
    client: &Client,
    command: Option<WebhooksCommand>,
    json: bool,
    out: &mut dyn Write,
) -> anyhow::Result<Ended> {
    match command.unwrap_or(WebhooksCommand::List) {
        WebhooksCommand::List => {
            let views: Vec<WebhookView> = client.get("/webhooks")?;
            if json { print_json(out, &views) } else { list(&views, out) }
        }
        WebhooksCommand::Create { url, events, customer } => {
            let view: WebhookView = client.post("/webhooks", &CreateWebhook { customer, url, events })?;
            if json { print_json(out, &view) } else { secret(&view, out) }
        }
        WebhooksCommand::Test { id } => {
            client.post_empty(&format!("/webhooks/{id}/test"))?;
            if !json {
                writeln!(
                    out,
                    "A test message is on its way: `keros-center webhooks messages {id}` says what became of it."
                )?;
            }
            Ok(Ended::Done)
        }
        WebhooksCommand::Messages { id } => {
            let views: Vec<WebhookMessageView> = client.get(&format!("/webhooks/{id}/messages"))?;
            if json { print_json(out, &views) } else { messages(&views, out) }
        }
        WebhooksCommand::Enable { id, off } => {
            let order = EditWebhook { enabled: Some(!off), ..EditWebhook::default() };
            let view: WebhookView = client.patch(&format!("/webhooks/{id}"), &order)?;
            if json { print_json(out, &view) } else { list(&[view], out) }
        }
        WebhooksCommand::NewSecret { id } => {
            let order = EditWebhook { new_secret: true, ..EditWebhook::default() };
            let view: WebhookView = client.patch(&format!("/webhooks/{id}"), &order)?;
            if json { print_json(out, &view) } else { secret(&view, out) }
        }
        WebhooksCommand::Delete { id } => {
            client.delete(&format!("/webhooks/{id}"))?;
            if !json {
                writeln!(out, "The webhook is removed.")?;
            }
            Ok(Ended::Done)
        }
    }
}

fn secret(view: &WebhookView, out: &mut dyn Write) -> anyhow::Result<Ended> {
    writeln!(out, "Webhook {}", view.webhook_id)?;
    writeln!(out, "Secret  {}", view.secret.as_deref().unwrap_or("-"))?;
    writeln!(
        out,
        "The secret is not shown again: the receiver checks the header webhook-signature with it."
    )?;
    Ok(Ended::Done)
}

fn list(views: &[WebhookView], out: &mut dyn Write) -> anyhow::Result<Ended> {
    if views.is_empty() {
        writeln!(out, "There are no webhooks: `keros-center webhooks create URL` makes one.")?;
        return Ok(Ended::Done);
    }
    let rows: Vec<[String; 5]> = views
        .iter()
        .map(|view| {
            let events: Vec<&str> = view.events.iter().map(|kind| kind.as_str()).collect();
            [
                view.webhook_id.to_string(),
                printable(&view.url),
                events.join(", "),
                if view.enabled { "in use" } else { "off" }.to_owned(),
                view.waiting.to_string(),
            ]
        })
        .collect();
    write!(out, "{}", table(["WEBHOOK", "ADDRESS", "EVENTS", "STATE", "WAITING"], &rows))?;
    Ok(Ended::Done)
}

fn messages(views: &[WebhookMessageView], out: &mut dyn Write) -> anyhow::Result<Ended> {
    let rows: Vec<[String; 5]> = views
        .iter()
        .map(|view| {
            [
                ago(Some(view.created_at_unix_s)),
                view.event.to_string(),
                view.state.as_str().replace('_', " "),
                view.attempts.to_string(),
                printable(view.error.as_deref().unwrap_or("-")),
            ]
        })
        .collect();
    write!(out, "{}", table(["HAPPENED", "EVENT", "STATE", "ATTEMPTS", "LAST ERROR"], &rows))?;
    Ok(Ended::Done)
}
