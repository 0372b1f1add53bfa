//! Serves the technician's socket with a view that does not change.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Context as _;
use keros_platform::Identity;
use tokio::sync::{mpsc, watch};

use crate::config::{self, Settings};
use crate::local::{self, ConnectionView, LocalRequest, StatusView, TelemetryAnswer, TelemetryView};
use crate::vitals::Sampler;

/// Runs until it is killed.
pub(crate) fn run(settings: Settings, warnings: Vec<String>) -> anyhow::Result<ExitCode> {
    let environment_eui = std::env::var("EUI64").ok();
    let identity = Identity::read(&settings.platform_root, &settings.identity, environment_eui.as_deref())?;
    let vitals = Sampler::new(&settings.platform_root, identity.keros_version.as_ref()).sample(None);
    tracing::info!(eui = %identity.eui, packages_digest = ?vitals.packages_digest, "started");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(serve(settings, warnings, identity))
}

async fn serve(settings: Settings, warnings: Vec<String>, identity: Identity) -> anyhow::Result<ExitCode> {
    std::fs::create_dir_all(&settings.runtime_folder).context("cannot make the runtime folder")?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let view = StatusView {
        agent_version: env!("CARGO_PKG_VERSION").to_owned(),
        eui: identity.eui,
        identity_source: format!("{:?}", identity.source),
        codename: identity.codename,
        keros_version: identity.keros_version.map(|version| version.to_string()),
        started_at_unix_s: now,
        connection: ConnectionView {
            state: "waiting".to_owned(),
            broker: format!("{}:{}", settings.broker.host, settings.broker.port),
            tls: "none".to_owned(),
            since_unix_s: now,
            last_error: None,
        },
        telemetry: TelemetryView {
            last_sent_unix_s: None,
            last_answered_unix_s: None,
            next_unix_s: now + 60,
        },
        reports_pending: 0,
        open_jobs: Vec::new(),
        ended_jobs: Vec::new(),
        warnings,
    };
    let (_status, receiver) = watch::channel(Arc::new(view));
    let (requests, mut asked) = mpsc::channel(4);
    let config_json = config::settings_json(&settings).into();
    let answers = async {
        while let Some(LocalRequest::TelemetryNow { answer }) = asked.recv().await {
            let _ = answer.send(TelemetryAnswer::WhenConnected {});
        }
    };
    let served = tokio::select! {
        served = local::serve(&settings.runtime_folder, receiver, requests, config_json) => served,
        () = answers => Ok(()),
    };
    served.context("cannot serve the status socket")?;
    Ok(ExitCode::SUCCESS)
}
