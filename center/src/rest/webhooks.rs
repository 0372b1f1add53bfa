//! `/webhooks`.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, StatusCode, header};

use super::Api;
use super::body::Body;
use super::problem::Failure;
use super::route::Route;
use crate::access::Action::{EditWebhooks, SeeWebhooks};
use crate::access::Caller;
use crate::api::{CreateWebhook, EditWebhook, WebhookMessageView, WebhookView};
use crate::service::unix_now;
use crate::store::WebhookId;

/// Its part of the table.
pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/webhooks", SeeWebhooks, "The webhooks, oldest first.", list)
            .json::<Vec<WebhookView>>(200),
        Route::post("/webhooks", EditWebhooks, "Makes a webhook; the answer has its secret.", create)
            .body::<CreateWebhook>()
            .json::<WebhookView>(201)
            .refuses(&[409])
            .once(),
        Route::get("/webhooks/{id}", SeeWebhooks, "One webhook.", show).json::<WebhookView>(200),
        Route::patch("/webhooks/{id}", EditWebhooks, "Changes a webhook, or makes it a new secret.", edit)
            .body::<EditWebhook>()
            .json::<WebhookView>(200)
            .conditional(),
        Route::delete("/webhooks/{id}", EditWebhooks, "Removes a webhook with what waits.", remove)
            .empty(204)
            .conditional(),
        Route::post("/webhooks/{id}/test", EditWebhooks, "Sends a test message.", test).empty(202).once(),
        Route::get("/webhooks/{id}/messages", SeeWebhooks, "The newest 100 messages of a webhook.", messages)
            .json::<Vec<WebhookMessageView>>(200),
    ]
}

async fn list(State(api): State<Api>, caller: Caller) -> Result<Json<Vec<WebhookView>>, Failure> {
    Ok(Json(api.center.webhooks(&caller).await?))
}

async fn create(
    State(api): State<Api>,
    caller: Caller,
    Body(order): Body<CreateWebhook>,
) -> Result<(StatusCode, HeaderMap, Json<WebhookView>), Failure> {
    let view = api.center.create_webhook(&caller, order, unix_now()).await?;
    let mut headers = HeaderMap::new();
    let place = format!("/api/v1/webhooks/{}", view.webhook_id);
    headers.extend(place.parse().ok().map(|place| (header::LOCATION, place)));
    Ok((StatusCode::CREATED, headers, Json(view)))
}

async fn show(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<WebhookView>, Failure> {
    Ok(Json(api.center.webhook(&caller, webhook_id(&id)?).await?))
}

async fn edit(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
    Body(order): Body<EditWebhook>,
) -> Result<Json<WebhookView>, Failure> {
    Ok(Json(api.center.edit_webhook(&caller, webhook_id(&id)?, order).await?))
}

async fn remove(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<StatusCode, Failure> {
    api.center.remove_webhook(&caller, webhook_id(&id)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn test(State(api): State<Api>, caller: Caller, Path(id): Path<String>) -> Result<StatusCode, Failure> {
    api.center.test_webhook(&caller, webhook_id(&id)?, unix_now()).await?;
    Ok(StatusCode::ACCEPTED)
}

async fn messages(
    State(api): State<Api>,
    caller: Caller,
    Path(id): Path<String>,
) -> Result<Json<Vec<WebhookMessageView>>, Failure> {
    Ok(Json(api.center.webhook_messages(&caller, webhook_id(&id)?).await?))
}

fn webhook_id(text: &str) -> Result<WebhookId, Failure> {
    text.parse().map_err(|_| Failure::bad_request("the webhook in the path is no id: it is a UUID"))
}
