//! Who asks for a page.

use axum::extract::FromRequestParts;
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Redirect, Response};

use super::{Failure, flash, part_of_place};
use crate::access::Caller;
use crate::accounts::{Known, Proof, same};
use crate::rest::Api;

/// A person, or a program with a token, that asks for a page. Who is neither is led to the log-in.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    /// Who it is, and what he may.
    pub(crate) caller: Caller,
    csrf: String,
    /// He has to choose another password first.
    pub(super) must_change: bool,
    proof: Proof,
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

    /// The same, as the log-in says it.
    pub(super) fn known(&self) -> Known {
        Known {
            caller: self.caller.clone(),
            csrf: Some(self.csrf.clone()),
            must_change: self.must_change,
            proof: self.proof.clone(),
        }
    }

    /// What the form before has done.
    pub(super) fn flash(&self) -> Option<&str> {
        self.flash.as_deref()
    }

    /// Whether the field `csrf` of a form is this visitor's own.
    pub(super) fn is_own(&self, csrf: &str) -> bool {
        same(&self.csrf, csrf)
    }
}

impl FromRequestParts<Api> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, Response> {
        let known = api.who(parts).await.map_err(|error| Failure::from(error).into_response())?;
        let Some(known) = known else {
            // Where he wanted to go, if that can be asked for again.
            let place = if parts.method == Method::GET { parts.uri.path() } else { "/" };
            return Err(Redirect::to(&format!("/login?next={}", part_of_place(place))).into_response());
        };
        let of_account = parts.uri.path() == "/logout" || parts.uri.path().starts_with("/account");
        if known.must_change && !of_account {
            return Err(Redirect::to("/account").into_response());
        }
        let flash = flash::of(&parts.headers);
        // No browser sends a token by itself, so that no other site can make it do so.
        let csrf = known.csrf.unwrap_or_default();
        Ok(Self { caller: known.caller, csrf, must_change: known.must_change, proof: known.proof, flash })
    }
}
