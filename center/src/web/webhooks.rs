//! The pages of webhooks: the list with the form for a new one, and one webhook with what became of its messages.

use askama::Template;
use axum::Router;
use axum::extract::{Path, State};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Deserialize;

use super::text::At;
use super::{Failure, Page, Posted, Section, Visitor, html, to};
use crate::access::Action;
use crate::api::{CreateWebhook, EditWebhook, WebhookMessageView, WebhookView};
use crate::rest::Api;
use crate::service::unix_now;
use crate::store::WebhookId;

/// All of them.
pub(super) fn router() -> Router<Api> {
    Router::new()
        .route("/webhooks", get(list).post(create))
        .route("/webhooks/{id}", get(show))
        .route("/webhooks/{id}/test", post(test))
        .route("/webhooks/{id}/enable", post(enable))
        .route("/webhooks/{id}/remove", post(remove))
}

/// A form that has nothing but its `csrf`.
#[derive(Debug, Deserialize)]
struct Nothing {}

/// The form of a new webhook.
#[derive(Debug, Default, Deserialize)]
struct Fields {
    #[serde(default)]
    url: String,
}

/// The form of a webhook's switch.
#[derive(Debug, Deserialize)]
struct Switch {
    #[serde(default)]
    enabled: String,
}

#[derive(Template)]
#[template(path = "webhooks/list.html")]
struct List {
    page: Page,
    webhooks: Vec<WebhookView>,
    may_edit: bool,
    url: String,
    /// Why it could not be made.
    refused: Option<String>,
    /// The webhook that was just made, with its secret.
    made: Option<WebhookView>,
}

#[derive(Template)]
#[template(path = "webhooks/show.html")]
struct Show {
    page: Page,
    webhook: WebhookView,
    messages: Vec<Line>,
    may_edit: bool,
}

/// A message of a webhook.
struct Line {
    at: At,
    message: WebhookMessageView,
}

impl Line {
    /// What became of it, in words.
    fn state(&self) -> String {
        self.message.state.as_str().replace('_', " ")
    }
}

async fn page_of(api: &Api, visitor: &Visitor) -> Result<List, Failure> {
    Ok(List {
        page: Page::new(visitor, Section::Administration, "Webhooks"),
        webhooks: api.center().webhooks(&visitor.caller).await?,
        may_edit: visitor.caller.may_somewhere(Action::EditWebhooks),
        url: String::new(),
        refused: None,
        made: None,
    })
}

async fn list(State(api): State<Api>, visitor: Visitor) -> Result<Response, Failure> {
    html(&page_of(&api, &visitor).await?)
}

/// The answer is the page itself and no redirection: the secret is shown once, and kept nowhere on the way.
async fn create(
    State(api): State<Api>,
    Posted { visitor, form }: Posted<Fields>,
) -> Result<Response, Failure> {
    let order = CreateWebhook { customer: None, url: form.url.clone(), events: Vec::new() };
    match api.center().create_webhook(&visitor.caller, order, unix_now()).await {
        Ok(made) => html(&List { made: Some(made), ..page_of(&api, &visitor).await? }),
        Err(error) => {
            let Failure { status, detail } = error.into();
            let page = List { refused: Some(detail), url: form.url, ..page_of(&api, &visitor).await? };
            let mut answer = html(&page)?;
            *answer.status_mut() = status;
            Ok(answer)
        }
    }
}

async fn show(State(api): State<Api>, visitor: Visitor, Path(id): Path<String>) -> Result<Response, Failure> {
    let id = webhook_id(&id)?;
    let webhook = api.center().webhook(&visitor.caller, id).await?;
    let messages = api.center().webhook_messages(&visitor.caller, id).await?;
    let messages = messages
        .into_iter()
        .map(|message| Line { at: At::new(message.created_at_unix_s), message })
        .collect();
    let may_edit = visitor.caller.may(Action::EditWebhooks, &webhook.customer_id);
    html(&Show { page: Page::new(&visitor, Section::Administration, "Webhook"), webhook, messages, may_edit })
}

async fn test(
    State(api): State<Api>,
    Path(id): Path<String>,
    Posted { visitor, form: Nothing {} }: Posted<Nothing>,
) -> Result<Response, Failure> {
    let id = webhook_id(&id)?;
    api.center().test_webhook(&visitor.caller, id, unix_now()).await?;
    Ok(to(&format!("/webhooks/{id}"), "a test message is on its way"))
}

async fn enable(
    State(api): State<Api>,
    Path(id): Path<String>,
    Posted { visitor, form }: Posted<Switch>,
) -> Result<Response, Failure> {
    let id = webhook_id(&id)?;
    let enabled = match form.enabled.as_str() {
        "yes" => true,
        "no" => false,
        _ => return Err(Failure::bad_request("A webhook is in use, yes or no.")),
    };
    let order = EditWebhook { enabled: Some(enabled), ..EditWebhook::default() };
    api.center().edit_webhook(&visitor.caller, id, order).await?;
    let told = if enabled { "the webhook is in use" } else { "the webhook is off" };
    Ok(to(&format!("/webhooks/{id}"), told))
}

async fn remove(
    State(api): State<Api>,
    Path(id): Path<String>,
    Posted { visitor, form: Nothing {} }: Posted<Nothing>,
) -> Result<Response, Failure> {
    api.center().remove_webhook(&visitor.caller, webhook_id(&id)?).await?;
    Ok(to("/webhooks", "the webhook is removed"))
}

fn webhook_id(text: &str) -> Result<WebhookId, Failure> {
    text.parse().map_err(|_| Failure::not_found("There is no such webhook."))
}
