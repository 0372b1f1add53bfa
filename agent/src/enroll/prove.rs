//! Tries a log-in against the real broker: TLS, log-in, and the right to read the gateway's own topic, all as the daemon does it.

use std::sync::Arc;
use std::time::Duration;

use keros_protocol::Eui;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::clock::SharedTime;
use crate::config::BrokerSettings;
use crate::mqtt::{self, Link, LinkControl, LinkEvent};

/// Attempts: in every other one, a clock that is very far ahead is believed.
const ATTEMPTS: u32 = 2;
/// For both attempts, on a slow link.
const LIMIT: Duration = Duration::from_secs(150);
/// For the farewell.
const FAREWELL_LIMIT: Duration = Duration::from_secs(2);

/// Connects once.
///
/// # Errors
/// Why not, in words.
pub(super) fn connect(settings: &BrokerSettings, eui: Eui, time: &SharedTime) -> Result<(), String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| error.to_string())?;
    let connected = runtime.block_on(async {
        let attempt = timeout(LIMIT, attempt(settings, eui, time)).await;
        attempt.unwrap_or_else(|_| Err("no answer in time".to_owned()))
    });
    // A name that is still being resolved must not hold up the end.
    runtime.shutdown_background();
    connected
}

async fn attempt(settings: &BrokerSettings, eui: Eui, time: &SharedTime) -> Result<(), String> {
    let control = Arc::new(LinkControl::default());
    let (sender, mut events) = mpsc::channel(4);
    let link = Link { settings: settings.clone(), eui, time: time.clone(), control: Arc::clone(&control) };
    let task = tokio::spawn(mqtt::run(link, sender));
    let mut failed = Vec::new();
    while let Some(event) = events.recv().await {
        match event {
            LinkEvent::Up(publisher) => {
                control.close();
                let _ = publisher.farewell();
                events.close();
                let _ = timeout(FAREWELL_LIMIT, task).await;
                return Ok(());
            }
            LinkEvent::Down { error } => {
                failed.push(error);
                if failed.len() >= ATTEMPTS as usize {
                    break;
                }
            }
            LinkEvent::Connecting | LinkEvent::Message(..) => {}
        }
    }
    Err(failed.into_iter().next_back().unwrap_or_default())
}
