//! The Software update page of a group or of one gateway: fill in, check or look up, confirm, send. It works without scripts: CHECK and
//! LOOK UP show the page again, SEND leads to the confirmation, which `update.js` shows as a dialog. The confirmation gives out a key
//! that names the sending: the same form sent again, by a double click or a reload, sends nothing more.

mod examine;
mod fields;
mod target;

use askama::Template;
use axum::Router;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{Redirect, Response};
use axum::routing::get;
use keros_protocol::Eui;
use serde::Deserialize;

use super::links::Described;
use super::{Failure, Page, Posted, Section, Visitor, html, place, to};
use crate::access::Action;
use crate::api::{PreviewView, ScriptCheckView};
use crate::rest::Api;
use crate::service::{Addressed, Addressee, Pending, unix_now};
use examine::{Examined, examine};
pub(crate) use fields::Fields;
use fields::Wrong;
use target::Target;

/// What the address asks for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Wanted {
    /// The kind of update.
    kind: Option<String>,
    /// A Magic Link's hash, when the page of a link leads here.
    hash: Option<String>,
}

#[derive(Template)]
#[template(path = "software_update/page.html")]
struct Form {
    page: Page,
    target: Target,
    /// What an update of this kind has to wait for.
    pending: Option<Pending>,
    fields: Fields,
    wrong: Vec<Wrong>,
    check: Option<ScriptCheckView>,
    link: Option<Described>,
    preview: Option<PreviewView>,
}

impl Form {
    fn is_wrong(&self, field: &str) -> bool {
        self.wrong.iter().any(|wrong| wrong.field == field)
    }
}

#[derive(Template)]
#[template(path = "software_update/confirm.html")]
struct Confirm {
    page: Page,
    target: Target,
    fields: Fields,
    link_name: Option<String>,
    script_lines: Option<usize>,
    preview: PreviewView,
}

/// What every step begins with: the addressee, if the visitor may update it, and what an update of this kind has to wait for there.
struct Step<'a> {
    api: &'a Api,
    visitor: &'a Visitor,
    to: Addressed,
    pending: Option<Pending>,
}

impl<'a> Step<'a> {
    async fn new(
        api: &'a Api,
        visitor: &'a Visitor,
        addressee: &Addressee,
        fields: &Fields,
    ) -> Result<Self, Failure> {
        let to = api.center().addressed(&visitor.caller, addressee, Action::SendUpdates).await?;
        let pending = api.center().pending(&to, &fields.kind).await?;
        Ok(Self { api, visitor, to, pending })
    }

    fn page(&self, title: &str) -> Page {
        let target = Target::new(&self.to);
        let section = if self.to.group_id.is_some() { Section::Groups } else { Section::Gateways };
        let page = Page::new(self.visitor, section, format!("{title} – {}", target.name()));
        Page { script: Some("update.js"), ..page }
    }

    fn form(self, fields: Fields, examined: Examined, status: StatusCode) -> Result<Response, Failure> {
        let page = self.page("Software update");
        let Examined { wrong, check, link, preview, .. } = examined;
        let target = Target::new(&self.to);
        let pending = self.pending;
        let mut answer = html(&Form { page, target, pending, fields, wrong, check, link, preview })?;
        *answer.status_mut() = status;
        Ok(answer)
    }

    async fn examine(&self, fields: &Fields) -> Result<Examined, Failure> {
        examine(self.api, &self.visitor.caller, &self.to, fields).await
    }
}

async fn show(api: Api, visitor: Visitor, addressee: Addressee, wanted: Wanted) -> Result<Response, Failure> {
    let mut fields = Fields::default();
    fields.kind = wanted.kind.filter(|kind| kind == fields::JETPORCH).unwrap_or(fields.kind);
    let step = Step::new(&api, &visitor, &addressee, &fields).await?;
    let Some(hash) = wanted.hash else { return step.form(fields, Examined::default(), StatusCode::OK) };
    fields.hash = hash;
    let examined = step.examine(&fields).await?;
    step.form(fields, examined, StatusCode::OK)
}

/// CHECK, LOOK UP and BACK: the page again, with what is to be said of it.
async fn again(api: Api, posted: Posted<Fields>, addressee: Addressee) -> Result<Response, Failure> {
    let Posted { visitor, form: fields } = posted;
    let step = Step::new(&api, &visitor, &addressee, &fields).await?;
    let examined = step.examine(&fields).await?;
    step.form(fields, examined, StatusCode::OK)
}

async fn confirm(api: Api, posted: Posted<Fields>, addressee: Addressee) -> Result<Response, Failure> {
    let Posted { visitor, form: mut fields } = posted;
    let step = Step::new(&api, &visitor, &addressee, &fields).await?;
    let examined = step.examine(&fields).await?;
    if step.pending.is_some() {
        return step.form(fields, examined, StatusCode::CONFLICT);
    }
    match examined {
        Examined { order: Some(_), preview: Some(preview), link, .. } => {
            fields.form_key = uuid::Uuid::now_v7().to_string();
            let page = step.page("Send this update?");
            let script_lines = fields.is_script().then(|| fields.script_text().lines().count());
            let link_name = link.map(|link| link.line.link.name);
            let target = Target::new(&step.to);
            html(&Confirm { page, target, fields, link_name, script_lines, preview })
        }
        examined => step.form(fields, examined, StatusCode::UNPROCESSABLE_ENTITY),
    }
}

async fn send(api: Api, posted: Posted<Fields>, addressee: Addressee) -> Result<Response, Failure> {
    let Posted { visitor, form: fields } = posted;
    let step = Step::new(&api, &visitor, &addressee, &fields).await?;
    let mut examined = step.examine(&fields).await?;
    let Some(order) = examined.order.take() else {
        return step.form(fields, examined, StatusCode::UNPROCESSABLE_ENTITY);
    };
    let key = fields.form_key.parse().ok();
    match api.center().send_once(&visitor.caller, &addressee, order.into(), key, unix_now()).await {
        Ok(update) => Ok(to(&format!("/updates/{}", update.update_id), "the update is sent")),
        Err(error) => {
            let Failure { status, detail } = error.into();
            examined.wrong.push(Wrong { field: "mode", text: detail });
            // What is in the way may have come since this step began.
            Step::new(&api, &visitor, &addressee, &fields).await?.form(fields, examined, status)
        }
    }
}

/// The addressee, by the part of the address that names it.
pub(super) trait Named: Send + 'static {
    /// The page that lists its like.
    const LIST: &'static str;

    /// Its update page, as the router has it. Not nested: a nested page would not know its whole address, where a log-in leads back to.
    const PAGE: &'static str;

    /// The one of this name.
    fn named(text: &str) -> Result<Addressee, Failure>;
}

/// A group, by its id or name.
pub(super) struct OfGroup;

/// A gateway, by its EUI.
pub(super) struct OfGateway;

impl Named for OfGroup {
    const LIST: &'static str = "/groups";
    const PAGE: &'static str = "/groups/{group}/software-update";

    fn named(text: &str) -> Result<Addressee, Failure> {
        Ok(Addressee::Group(text.to_owned()))
    }
}

impl Named for OfGateway {
    const LIST: &'static str = "/gateways";
    const PAGE: &'static str = "/gateways/{eui}/software-update";

    fn named(text: &str) -> Result<Addressee, Failure> {
        let eui: Eui =
            text.parse().map_err(|error| Failure::bad_request(format!("{text:?} is no EUI: {error}")))?;
        Ok(Addressee::Gateway(eui))
    }
}

/// The pages of a group or of a gateway.
pub(super) fn router<N: Named>() -> Router<Api> {
    Router::new()
        .route(
            N::PAGE,
            get(|State(api), visitor, Path(name): Path<String>, Query(wanted)| async move {
                show(api, visitor, N::named(&name)?, wanted).await
            })
            .post(|State(api), Path(name): Path<String>, posted| async move {
                again(api, posted, N::named(&name)?).await
            }),
        )
        .route(
            &format!("{}/confirm", N::PAGE),
            get(|Path(name): Path<String>| async move { back::<N>(&name) }).post(
                |State(api), Path(name): Path<String>, posted| async move {
                    confirm(api, posted, N::named(&name)?).await
                },
            ),
        )
        .route(
            &format!("{}/send", N::PAGE),
            get(|Path(name): Path<String>| async move { back::<N>(&name) }).post(
                |State(api), Path(name): Path<String>, posted| async move {
                    send(api, posted, N::named(&name)?).await
                },
            ),
        )
}

/// Whoever reloads, or follows an address that was kept, begins anew.
fn back<N: Named>(name: &str) -> Redirect {
    Redirect::to(&format!("{}/software-update", place(N::LIST, name)))
}
