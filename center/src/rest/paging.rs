//! Lists in parts: `limit` elements from `cursor` on, and a `Link` header (RFC 8288) that leads to the next part.

use std::num::NonZeroU32;

use axum::Json;
use axum::http::{HeaderMap, HeaderValue, header};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which part of a list is wanted. Where a list has more parameters, its query type has these two as well.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
pub(crate) struct Page {
    /// Elements at most.
    pub(crate) limit: Option<NonZeroU32>,
    /// Where the part begins: as the `Link` of the part before says, else at the first element.
    pub(crate) cursor: Option<String>,
}

impl Page {
    /// How many are wanted, when so many are usual and so many are the most.
    pub(crate) fn limit(&self, usual: u32, most: u32) -> u32 {
        self.limit.map_or(usual, NonZeroU32::get).clamp(1, most)
    }
}

/// The answer: these elements, and the way to the next ones when this part is full.
pub(crate) fn part<T: Serialize>(
    place: &str,
    limit: u32,
    elements: Vec<T>,
    cursor: impl FnOnce(&T) -> String,
) -> (HeaderMap, Json<Vec<T>>) {
    let mut headers = HeaderMap::new();
    let is_full = elements.len() >= limit as usize;
    if let Some(last) = elements.last().filter(|_| is_full) {
        let separator = if place.contains('?') { '&' } else { '?' };
        let link = format!("</api/v1{place}{separator}limit={limit}&cursor={}>; rel=\"next\"", cursor(last));
        headers.extend(HeaderValue::try_from(link).ok().map(|link| (header::LINK, link)));
    }
    (headers, Json(elements))
}
