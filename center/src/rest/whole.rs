//! The body of a request is there, whole and in time, before anything is done: who sends it drop by drop holds nobody up.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{FromRequest as _, Request};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use super::body::stated_length;
use super::problem::Failure;
use crate::bounds::HTTP_BODY_LIMIT;

/// Why it is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NotWhole {
    /// 408: too slow; 413: too large; 400: it broke off.
    pub(crate) status: StatusCode,
    /// What to do about it.
    pub(crate) detail: String,
}

/// The request with its whole body.
pub(crate) async fn whole(request: Request) -> Result<Request, NotWhole> {
    whole_within(HTTP_BODY_LIMIT, request).await
}

async fn whole_within(limit: Duration, request: Request) -> Result<Request, NotWhole> {
    let most = super::MAX_BODY_BYTES;
    let too_large = || NotWhole {
        status: StatusCode::PAYLOAD_TOO_LARGE,
        detail: format!("the body has more than {most} bytes"),
    };
    if stated_length(request.headers()).is_some_and(|length| length > most as u64) {
        return Err(too_large());
    }
    let (parts, body) = request.into_parts();
    let request = Request::from_parts(parts.clone(), body);
    match tokio::time::timeout(limit, Bytes::from_request(request, &())).await {
        Ok(Ok(bytes)) => Ok(Request::from_parts(parts, Body::from(bytes))),
        Ok(Err(rejection)) if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE => Err(too_large()),
        Ok(Err(rejection)) => Err(NotWhole {
            status: rejection.status(),
            detail: format!("the body did not come whole: {}", rejection.body_text()),
        }),
        Err(_) => Err(NotWhole {
            status: StatusCode::REQUEST_TIMEOUT,
            detail: format!(
                "the body did not come within {} seconds: nothing was done; try again over a faster connection",
                limit.as_secs()
            ),
        }),
    }
}

impl From<NotWhole> for Failure {
    fn from(NotWhole { status, detail }: NotWhole) -> Self {
        Self::new(status, detail)
    }
}

/// The refusal, after which nothing more is read of what the client sends.
pub(super) fn refusal(not_whole: NotWhole) -> Response {
    let mut response = Failure::from(not_whole).into_response();
    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use axum::extract::DefaultBodyLimit;
    use axum::routing::post;
    use axum::{Router, middleware};
    use hyper::service::Service as _;
    use hyper_util::service::TowerToHyperService;

    use super::*;

    /// The status of a request whose body comes in these parts, with a pause before each.
    async fn status(parts: Vec<std::io::Result<Vec<u8>>>, pause: Duration) -> StatusCode {
        let through = |request: Request, next: middleware::Next| async move {
            match whole_within(Duration::from_secs(1), request).await {
                Ok(request) => next.run(request).await,
                Err(not_whole) => refusal(not_whole),
            }
        };
        let router: Router = Router::new()
            .route("/", post(|body: Bytes| async move { body.len().to_string() }))
            .layer(middleware::from_fn(through))
            .layer(DefaultBodyLimit::max(crate::rest::MAX_BODY_BYTES));
        let parts = futures_util::stream::unfold(parts.into_iter(), move |mut parts| async move {
            let part = parts.next()?;
            tokio::time::sleep(pause).await;
            Some((part, parts))
        });
        let request = axum::http::Request::post("/").body(Body::from_stream(parts)).unwrap();
        let Ok(response) = TowerToHyperService::new(router).call(request).await;
        response.status()
    }

    #[tokio::test]
    async fn a_body_comes_whole_and_in_time_or_nothing_is_done() {
        let drops = |count: usize| (0..count).map(|_| Ok(vec![b'x'])).collect::<Vec<_>>();
        let pause = Duration::from_millis(20);
        assert_eq!(status(drops(5), pause).await, StatusCode::OK);
        assert_eq!(status(drops(1000), pause).await, StatusCode::REQUEST_TIMEOUT);
        let large = (0..40).map(|_| Ok(vec![0; 64 * 1024])).collect();
        assert_eq!(status(large, Duration::ZERO).await, StatusCode::PAYLOAD_TOO_LARGE);
        let cut = vec![Ok(vec![b'x']), Err(std::io::Error::other("gone"))];
        assert_eq!(status(cut, Duration::ZERO).await, StatusCode::BAD_REQUEST);
    }
}
