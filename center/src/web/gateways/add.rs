//! How gateways are added before they are heard of: one by a form, many by CSV.

use askama::Template;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Deserialize;

use crate::api::{DeclareGateway, ImportView};
use crate::rest::Api;
use crate::service::unix_now;
use crate::web::{Failure, Page, Posted, Section, Visitor, html, place, to};

/// What the form of a new gateway says.
#[derive(Debug, Default, Deserialize)]
pub(super) struct NewFields {
    eui: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    description: String,
}

#[derive(Template)]
#[template(path = "gateways/new.html")]
struct New {
    page: Page,
    fields: NewFields,
    refused: Option<String>,
}

pub(super) async fn new(visitor: Visitor) -> Result<Response, Failure> {
    html(&New {
        page: Page::new(&visitor, Section::Gateways, "Declare a gateway"),
        fields: NewFields::default(),
        refused: None,
    })
}

pub(super) async fn declare(
    State(api): State<Api>,
    Posted { visitor, form: fields }: Posted<NewFields>,
) -> Result<Response, Failure> {
    let order = DeclareGateway {
        eui: fields.eui.clone(),
        name: Some(fields.name.trim().to_owned()).filter(|name| !name.is_empty()),
        description: fields.description.replace("\r\n", "\n"),
        customer: None,
    };
    match api.center().declare(&visitor.caller, &order, unix_now()).await {
        Ok(view) => Ok(to(&place("/gateways", &view.eui.to_string()), "the gateway is declared")),
        Err(error) => {
            let refusal = Failure::from(error);
            let page = Page::new(&visitor, Section::Gateways, "Declare a gateway");
            let mut answer = html(&New { page, fields, refused: Some(refusal.detail) })?;
            *answer.status_mut() = refusal.status;
            Ok(answer)
        }
    }
}

/// What the form of an import says.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ImportFields {
    csv: String,
    /// `import`; anything else only asks.
    #[serde(default)]
    action: String,
}

#[derive(Template)]
#[template(path = "gateways/import.html")]
struct Import {
    page: Page,
    csv: String,
    would: Option<ImportView>,
    refused: Option<String>,
}

pub(super) async fn import_form(visitor: Visitor) -> Result<Response, Failure> {
    let page = Page::new(&visitor, Section::Gateways, "Import gateways");
    html(&Import { page, csv: String::new(), would: None, refused: None })
}

/// First what it would do, with all that is wrong; then it is done.
pub(super) async fn import(
    State(api): State<Api>,
    Posted { visitor, form }: Posted<ImportFields>,
) -> Result<Response, Failure> {
    let import = async |dry_run| {
        let bytes = form.csv.clone().into_bytes();
        api.center().import(&visitor.caller, bytes, None, dry_run, unix_now()).await
    };
    let would = import(true).await;
    if let (Ok(view), "import") = (&would, form.action.as_str())
        && view.errors.is_empty()
    {
        let view = import(false).await?;
        let said = format!("{} gateways are added, {} are changed", view.added, view.changed);
        return Ok(to("/gateways", &said));
    }
    let page = Page::new(&visitor, Section::Gateways, "Import gateways");
    let (would, refusal) = match would {
        Ok(would) => (Some(would), None),
        Err(error) => (None, Some(Failure::from(error))),
    };
    let status = refusal.as_ref().map(|refusal| refusal.status);
    let refused = refusal.map(|refusal| refusal.detail);
    let mut answer = html(&Import { page, csv: form.csv, would, refused })?;
    *answer.status_mut() = status.unwrap_or(StatusCode::OK);
    Ok(answer)
}
