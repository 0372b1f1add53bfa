//! Who asks for a page.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::flash;
use crate::access::Caller;
use crate::rest::Api;

/// A person, or a program with a token, that asks for a page. Who is neither is led to the log-in.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// Who it is, and what he may.
    pub(crate) caller: Caller,
    csrf: String,
    flash: Option<String>,
}

impl Visitor {
    /// The name that pages show.
    pub(crate) fn name(&self) -> &str {
        &self.caller.name
    }

    /// What forms carry in the field `csrf`.
    pub(crate) fn csrf(&self) -> &str {
        &self.csrf
    }

    /// What the form before has done.
    pub(super) fn flash(&self) -> Option<&str> {
        self.flash.as_deref()
    }

    /// Whether the field `csrf` of a form is this visitor's own.
    pub(super) fn is_own(&self, csrf: &str) -> bool {
        self.csrf == csrf
    }
}

impl FromRequestParts<Api> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Response> {
        if api.holds_token(&parts.headers) {
            // No browser sends a token by itself, so that no other site can make it do so.
            let flash = flash::of(&parts.headers);
            return Ok(Self { caller: Caller::root(), csrf: String::new(), flash });
        }
        Err(Redirect::to("/login").into_response())
    }
}
