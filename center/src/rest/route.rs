//! One line of the table of routes: what it is called, who may, what goes in, what comes out, and what serves it. The router, the
//! OpenAPI document and `docs/rest.md` are made of it, so that nothing can be served that is not described.

use axum::handler::Handler;
use axum::http::Method;
use axum::routing::{MethodFilter, MethodRouter, on};
use schemars::generate::SchemaSettings;
use schemars::{JsonSchema, Schema, SchemaGenerator};

use super::Api;
use super::paging::Page;
use crate::access::Action;

/// The schema of a type, made when the document is.
pub(super) type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What a body is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Content {
    /// JSON of this type.
    Json(SchemaOf),
    /// Plain bytes of this media type.
    Bytes(&'static str),
    /// Server-sent events.
    Events,
    /// Nothing.
    Empty,
}

impl Content {
    /// Its media type.
    pub(super) const fn media_type(self) -> Option<&'static str> {
        match self {
            Self::Json(_) => Some("application/json"),
            Self::Bytes(media_type) => Some(media_type),
            Self::Events => Some("text/event-stream"),
            Self::Empty => None,
        }
    }
}

/// A route of the API.
pub(super) struct Route {
    pub(super) method: Method,
    pub(super) path: &'static str,
    /// Who may; `None`: everybody, without a log-in.
    pub(super) action: Option<Action>,
    /// One line for people.
    pub(super) summary: &'static str,
    /// An object whose properties are the parameters of its query.
    pub(super) query: Option<SchemaOf>,
    pub(super) body: Content,
    /// What comes when it was done, by status.
    pub(super) answers: Vec<(u16, Content)>,
    /// Further refusals than those that every route has.
    pub(super) refusals: Vec<u16>,
    /// A list in parts: `limit` and `cursor`, and a `Link` to the next part.
    pub(super) is_paged: bool,
    /// It makes something: a repeated `Idempotency-Key` does not make it again.
    pub(super) is_once: bool,
    /// It changes what `GET` of the same path shows: `If-Match` is heeded.
    pub(super) is_conditional: bool,
    /// It takes as long as something comes or goes.
    pub(super) is_endless: bool,
    pub(super) handler: MethodRouter<Api>,
}

impl Route {
    /// `GET` of JSON; as every `GET` that it answers, with an `ETag`.
    pub(super) fn get<T: 'static>(
        path: &'static str,
        action: Action,
        summary: &'static str,
        handler: impl Handler<T, Api>,
    ) -> Self {
        Self::new(Method::GET, MethodFilter::GET, path, Some(action), summary, handler)
    }

    /// `GET` that needs no log-in.
    pub(super) fn open<T: 'static>(
        path: &'static str,
        summary: &'static str,
        handler: impl Handler<T, Api>,
    ) -> Self {
        Self::new(Method::GET, MethodFilter::GET, path, None, summary, handler)
    }

    /// `POST` that needs no log-in.
    pub(super) fn open_post<T: 'static>(
        path: &'static str,
        summary: &'static str,
        handler: impl Handler<T, Api>,
    ) -> Self {
        Self::new(Method::POST, MethodFilter::POST, path, None, summary, handler)
    }

    /// `HEAD`, where it is more than `GET` without a body.
    pub(super) fn head<T: 'static>(
        path: &'static str,
        action: Action,
        summary: &'static str,
        handler: impl Handler<T, Api>,
    ) -> Self {
        Self::new(Method::HEAD, MethodFilter::HEAD, path, Some(action), summary, handler)
    }

    /// `POST`.
    pub(super) fn post<T: 'static>(
        path: &'static str,
        action: Action,
        summary: &'static str,
        handler: impl Handler<T, Api>,
    ) -> Self {
        Self::new(Method::POST, MethodFilter::POST, path, Some(action), summary, handler)
    }

    /// `PUT`.
    pub(super) fn put<T: 'static>(
        path: &'static str,
        action: Action,
        summary: &'static str,
        handler: impl Handler<T, Api>,
    ) -> Self {
        Self::new(Method::PUT, MethodFilter::PUT, path, Some(action), summary, handler)
    }

    /// `PATCH`: what is not stated stays.
    pub(super) fn patch<T: 'static>(
        path: &'static str,
        action: Action,
        summary: &'static str,
        handler: impl Handler<T, Api>,
    ) -> Self {
        Self::new(Method::PATCH, MethodFilter::PATCH, path, Some(action), summary, handler)
    }

    /// `DELETE`.
    pub(super) fn delete<T: 'static>(
        path: &'static str,
        action: Action,
        summary: &'static str,
        handler: impl Handler<T, Api>,
    ) -> Self {
        Self::new(Method::DELETE, MethodFilter::DELETE, path, Some(action), summary, handler)
    }

    fn new<T: 'static>(
        method: Method,
        filter: MethodFilter,
        path: &'static str,
        action: Option<Action>,
        summary: &'static str,
        handler: impl Handler<T, Api>,
    ) -> Self {
        Self {
            method,
            path,
            action,
            summary,
            query: None,
            body: Content::Empty,
            answers: Vec::new(),
            refusals: Vec::new(),
            is_paged: false,
            is_once: false,
            is_conditional: false,
            is_endless: false,
            handler: on(filter, handler),
        }
    }

    /// Its query has these parameters, all of them optional unless the type says otherwise; others are refused.
    pub(super) fn query<Q: JsonSchema>(mut self) -> Self {
        self.query = Some(Q::json_schema);
        self
    }

    /// Its body is JSON of this type: the one of the handler's `Body<B>`.
    pub(super) fn body<B: JsonSchema>(mut self) -> Self {
        self.body = Content::Json(|generator| generator.subschema_for::<B>());
        self
    }

    /// Its body is plain bytes of this media type.
    pub(super) fn body_bytes(mut self, media_type: &'static str) -> Self {
        self.body = Content::Bytes(media_type);
        self
    }

    /// It answers with this status and JSON of this type.
    pub(super) fn json<A: JsonSchema>(self, status: u16) -> Self {
        self.answers(status, Content::Json(|generator| generator.subschema_for::<A>()))
    }

    /// It answers with this status and nothing more.
    pub(super) fn empty(self, status: u16) -> Self {
        self.answers(status, Content::Empty)
    }

    /// It answers with this status and plain bytes of this media type.
    pub(super) fn bytes(self, status: u16, media_type: &'static str) -> Self {
        self.answers(status, Content::Bytes(media_type))
    }

    /// It answers with server-sent events.
    pub(super) fn events(self) -> Self {
        self.answers(200, Content::Events)
    }

    fn answers(mut self, status: u16, content: Content) -> Self {
        self.answers.push((status, content));
        self
    }

    /// It may be refused with these statuses, beside those that every route like it has.
    pub(super) fn refuses(mut self, statuses: &[u16]) -> Self {
        self.refusals.extend(statuses);
        self
    }

    /// A list in parts: its query has `limit` and `cursor`, and it answers with a `Link` to the next part.
    pub(super) fn paged(mut self) -> Self {
        self.is_paged = true;
        self.query.get_or_insert(Page::json_schema);
        self
    }

    /// It makes something: a repeated `Idempotency-Key` does not make it again.
    pub(super) fn once(mut self) -> Self {
        self.is_once = true;
        self
    }

    /// It changes what `GET` of the same path shows: `If-Match` is heeded.
    pub(super) fn conditional(mut self) -> Self {
        self.is_conditional = true;
        self
    }

    /// It takes as long as something comes or goes.
    pub(super) fn endless(mut self) -> Self {
        self.is_endless = true;
        self
    }

    /// The schema of its query, with the names of its parameters as properties.
    pub(super) fn query_schema(&self) -> Option<serde_json::Value> {
        let settings = SchemaSettings::draft2020_12().with(|settings| settings.inline_subschemas = true);
        self.query.map(|query| query(&mut settings.into_generator()).to_value())
    }

    /// The parameters in its path.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }

    /// Every status of a refusal, in order.
    pub(super) fn all_refusals(&self) -> Vec<u16> {
        let mut all = self.refusals.clone();
        all.extend([400, 503]);
        if self.action.is_some() {
            all.extend([401, 403]);
        }
        if self.parameters().next().is_some() {
            all.push(404);
        }
        if !matches!(self.body, Content::Empty) {
            all.extend([404, 413, 422]);
            if !self.is_endless {
                all.push(408);
            }
        }
        if matches!(self.body, Content::Json(_)) {
            all.push(415);
        }
        if self.is_once {
            all.extend([409, 422]);
        }
        if self.is_conditional {
            all.push(412);
        }
        all.sort_unstable();
        all.dedup();
        all
    }
}
