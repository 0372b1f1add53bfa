//! When webhooks are told of silent gateways.

use std::sync::Arc;
use std::time::Duration;

use keros_protocol::UnixSeconds;
use tokio::sync::watch;

use crate::bounds::{ALERT_PERIOD_S, ALERT_SETTLE_S};
use crate::service::{Center, unix_now};

/// Looks for gateways that have fallen silent while the center could hear them.
pub(super) async fn run(center: Arc<Center>, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
    let mut connected_since = None;
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(ALERT_PERIOD_S)) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
        let now = unix_now();
        connected_since = center.is_connected().then(|| connected_since.unwrap_or(now));
        if !may_judge(connected_since, now) {
            continue;
        }
        if let Err(error) = center.alert(now).await {
            let error = anyhow::Error::from(error);
            tracing::error!(error = format!("{error:#}"), "cannot look for silent gateways: tried again");
        }
    }
}

/// Whether a gateway's silence is its own: the center has been connected for long enough to have heard it.
fn may_judge(connected_since: Option<UnixSeconds>, now: UnixSeconds) -> bool {
    connected_since.is_some_and(|since| now.saturating_sub(since) >= ALERT_SETTLE_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_center_that_could_not_hear_says_of_no_gateway_that_it_is_silent() {
        for (since, now, may) in [
            (None, 10_000, false),
            (Some(10_000), 10_000, false),
            (Some(10_000), 9_000, false),
            (Some(10_000), 10_000 + ALERT_SETTLE_S - 1, false),
            (Some(10_000), 10_000 + ALERT_SETTLE_S, true),
        ] {
            assert_eq!(may_judge(since, now), may, "{since:?} {now}");
        }
    }
}
