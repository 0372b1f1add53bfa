//! `/scripts`.

use axum::Json;
use axum::extract::State;

use super::Api;
use super::body::Body;
use super::problem::Failure;
use crate::access::{Action, Caller};
use crate::api::{CheckScript, ScriptCheckView};

pub(super) async fn check(
    State(api): State<Api>,
    caller: Caller,
    Body(order): Body<CheckScript>,
) -> Result<Json<ScriptCheckView>, Failure> {
    caller.require_somewhere(Action::SendUpdates)?;
    Ok(Json(api.center.check_script(order).await?))
}
