//! Changes only of what is still as somebody saw it: in the transaction of the change, so that nothing comes between.

use ring::digest::{SHA256, digest};
use serde::Serialize;

use super::order::OrderError;
use crate::access::Caller;

/// The strong tag of a representation: 128 bits of its digest.
pub(crate) fn tag_of(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    let digest = digest(&SHA256, bytes);
    let mut tag = String::from("\"");
    for byte in digest.as_ref().iter().take(16) {
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

/// The tag that `GET` gives with this view.
pub(crate) fn tag_of_view(view: &impl Serialize) -> Result<String, OrderError> {
    let bytes = serde_json::to_vec(view);
    Ok(tag_of(&bytes.map_err(|error| OrderError::Invalid(format!("it has no tag: {error}")))?))
}

/// Whether the caller has seen just this, or does not say what he has seen.
pub(crate) fn has_seen(caller: &Caller, view: &impl Serialize) -> Result<bool, OrderError> {
    let Some(seen) = &caller.seen else { return Ok(true) };
    Ok(seen.has(&tag_of_view(view)?))
}

/// Refuses the change of something that looks like this now, when the caller has seen something else. It is called in the transaction that
/// changes it, before the change.
pub(crate) fn still_as_seen(caller: &Caller, view: &impl Serialize) -> Result<(), OrderError> {
    if has_seen(caller, view)? { Ok(()) } else { Err(OrderError::Changed) }
}
