//! Forms that are sent: who sends them, that it was this site that showed them, and what is in them.

use axum::Form;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequest, FromRequestParts as _, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::{Failure, Visitor};
use crate::rest::Api;

/// A form of a visitor, which carried the field `csrf` as it was given out.
pub(crate) struct Posted<T> {
    /// Who sent it.
    pub(crate) visitor: Visitor,
    /// What it says.
    pub(crate) form: T,
}

/// The field that every form has. It is read apart: what a flattened form reads has no numbers.
#[derive(Deserialize)]
struct Guard {
    #[serde(default)]
    csrf: String,
}

impl<T: DeserializeOwned> FromRequest<Api> for Posted<T> {
    type Rejection = Response;

    async fn from_request(request: Request, api: &Api) -> Result<Self, Response> {
        let (mut parts, body) = request.into_parts();
        let visitor = Visitor::from_request_parts(&mut parts, api).await?;
        let request = Request::from_parts(parts.clone(), body);
        let bytes = Bytes::from_request(request, api).await.map_err(|rejection| {
            Failure::new(rejection.status(), format!("The form cannot be read: {}", rejection.body_text()))
                .into_response()
        })?;
        let guard: Guard = fields(&parts, &bytes).await?;
        if !visitor.is_own(&guard.csrf) {
            let detail =
                "This form is not of your present log-in: go back, reload the page, and send it again.";
            return Err(Failure::new(StatusCode::FORBIDDEN, detail).into_response());
        }
        Ok(Self { form: fields(&parts, &bytes).await?, visitor })
    }
}

async fn fields<T: DeserializeOwned>(parts: &Parts, bytes: &Bytes) -> Result<T, Response> {
    let request = Request::from_parts(parts.clone(), Body::from(bytes.clone()));
    let Form(fields) = Form::from_request(request, &()).await.map_err(|rejection| {
        let detail = format!("The form is not as this page makes it: {}", rejection.body_text());
        Failure::new(rejection.status(), detail).into_response()
    })?;
    Ok(fields)
}
