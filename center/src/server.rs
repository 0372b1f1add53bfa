//! Starts the center: opens what is on disk, then runs MQTT, REST and the deadlines side by side until it is told to stop.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use futures_util::FutureExt as _;
use keros_protocol::KeyPurpose;
use keros_protocol::topics::Prefix;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use crate::accounts::Accounts;
use crate::bounds::{DEADLINE_PERIOD, NUDGES, SWEEP_PERIOD, TIDY_PERIOD};
use crate::broker::{self, BrokerSettings, Gate, GatewayAccess, Listener, Running};
use crate::enroll;
use crate::listen::{self, Entrance};
use crate::mqtt::{self, Connection};
use crate::registry::Registry;
use crate::rest::{Api, Front, Token};
use crate::service::{Center, Retention, unix_now};
use crate::settings::{DataFolder, read_keys, read_secret};
use crate::store::Store;
use crate::webhooks::{self, Courier, Reach};

mod alerts;
mod believed;
mod enrolment;
mod others;
mod registry;
mod tend;

pub(crate) use enrolment::EnrolSettings;
pub(crate) use registry::RegistrySettings;

/// Open requests get this long to end at a stop.
const GRACE: Duration = Duration::from_secs(5);

/// All that `serve` needs to be told.
#[derive(Debug, Clone)]
pub(crate) struct ServeSettings {
    /// Database, token, lock; made when it is not there.
    pub(crate) data_folder: PathBuf,
    /// Where the REST API listens; port 0 chooses a free one.
    pub(crate) rest_address: SocketAddr,
    /// Which broker.
    pub(crate) broker: BrokerChoice,
    /// First part of all topics.
    pub(crate) topic_prefix: Prefix,
    /// Groups that one customer may have.
    pub(crate) max_groups: u32,
    /// PEM file with the private key that signs commands.
    pub(crate) command_key_file: PathBuf,
    /// PEM file with the private key that signs statements.
    pub(crate) statement_key_file: PathBuf,
    /// `None`: SQLite in the data folder.
    pub(crate) database_url: Option<String>,
    /// The store of Magic Links, and how gateways fetch from it.
    pub(crate) registry: RegistrySettings,
    /// For how long what is over is kept.
    pub(crate) retention: Retention,
    /// Where webhooks may go.
    pub(crate) webhooks: Reach,
    /// How gateways join.
    pub(crate) enrol: EnrolSettings,
    /// A proxy that speaks TLS to browsers, and is believed from where requests come.
    pub(crate) behind_proxy: Option<IpAddr>,
}

/// Which MQTT broker serves. The center is an ordinary client of either.
#[derive(Debug, Clone)]
pub(crate) enum BrokerChoice {
    /// The one inside this process.
    Embedded {
        /// Where gateways come in.
        listen: Vec<Listener>,
        /// How they log in.
        gateways: GatewayAccess,
    },
    /// One that runs by itself.
    External(ExternalBroker),
}

/// A broker that runs by itself.
#[derive(Debug, Clone)]
pub(crate) struct ExternalBroker {
    /// Host name or address.
    pub(crate) host: String,
    /// TCP port.
    pub(crate) port: u16,
    /// `None`: no TLS.
    pub(crate) tls: Option<BrokerTls>,
    /// For log-in by password.
    pub(crate) username: Option<String>,
    /// A file whose first line is the password.
    pub(crate) password_file: Option<PathBuf>,
}

/// TLS towards a broker; PEM files.
#[derive(Debug, Clone)]
pub(crate) struct BrokerTls {
    /// Certificates of the authorities that are trusted.
    pub(crate) ca_file: PathBuf,
    /// The center's certificate and private key.
    pub(crate) client: Option<(PathBuf, PathBuf)>,
}

/// The center serves.
#[derive(Debug, Clone)]
pub(crate) struct Ready {
    /// Where the REST API listens.
    pub(crate) rest_address: SocketAddr,
    /// Where the embedded broker listens for gateways.
    pub(crate) mqtt_addresses: Vec<SocketAddr>,
    /// Where the registry listens: plain, TLS, as far as there are such.
    pub(crate) registry_addresses: Vec<SocketAddr>,
}

/// Serves until `stop` holds true, or its sender is gone. Says `ready` when requests are answered; the broker may not be
/// connected yet then.
///
/// # Errors
/// What keeps the center from starting or from going on, with what to do.
pub(crate) async fn serve(
    mut settings: ServeSettings,
    ready: oneshot::Sender<Ready>,
    stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let folder = DataFolder::take(&settings.data_folder)?;
    let keys = read_keys(&settings.command_key_file, &settings.statement_key_file)?;
    let token = Arc::new(Token::new(&folder.api_token()?));
    let store = Store::open(folder.path(), settings.database_url.as_deref()).await?;
    let (nudges, nudges_receiver) = mpsc::channel(NUDGES);
    let entrances = registry::open(&settings.registry, &settings.enrol).await?;
    let shared =
        others::shared(&store, &folder, &registry::blobs_folder(&settings.registry, &folder)).await?;
    let links = registry::links(&settings.registry, &folder, shared.as_ref(), &entrances)?;
    let authority = enrolment::authority(&folder, &mut settings.broker)?;
    let gate = Arc::<Gate>::default();
    let public =
        [(KeyPurpose::Command, keys.command.public()), (KeyPurpose::Statement, keys.statement.public())];
    let center = Arc::new(
        Center::new(store.clone(), keys, settings.topic_prefix.clone(), links, nudges)
            .with_webhooks(settings.webhooks)
            .with_max_groups(settings.max_groups)
            .with_history(settings.retention.telemetry_days),
    );
    let client_id = folder.mqtt_client_id()?;
    let member = shared.as_ref().map(|_| others::member(&client_id, &settings, &public, center.links()));
    if let Some(member) = &member {
        others::check_broker(&center, member).await?;
    }
    if center.is_alone(&client_id, unix_now()).await? {
        center.forget_presence().await?;
    }
    center.expire(unix_now()).await?;
    center.tend(None, unix_now(), unix_now()).await?;

    let (connection, broker) = connection(&settings, client_id, member.is_some(), Arc::clone(&gate)).await?;
    let mqtt_addresses = broker.as_ref().map(|broker| broker.addresses.clone()).unwrap_or_default();
    let office = enrolment::office(&settings, &store, public, authority, &entrances, &mqtt_addresses, gate)?;
    let office = Arc::new(office);
    office.close_gate(unix_now()).await?;
    let listener = TcpListener::bind(settings.rest_address)
        .await
        .with_context(|| format!("cannot listen on {} for the REST API", settings.rest_address))?;
    let rest_address = listener.local_addr().context("cannot find out the REST API's port")?;

    let mut tasks = JoinSet::new();
    tasks.spawn(mqtt::run(Arc::clone(&center), connection, nudges_receiver, stop.clone()));
    tasks.spawn(deadlines(Arc::clone(&center), settings.retention, stop.clone()));
    tasks.spawn(sweep(Arc::clone(&center), stop.clone()));
    tasks.spawn(alerts::run(Arc::clone(&center), stop.clone()));
    if let Some(member) = member {
        tasks.spawn(others::beat(Arc::clone(&center), member.clone(), stop.clone()));
        tasks.spawn(others::tell(Arc::clone(&center), store.clone(), member.clone(), stop.clone()));
        tasks.spawn(others::hear(Arc::clone(&center), store.clone(), member, stop.clone()));
    }
    tasks.spawn(tend::run(Arc::clone(&center), stop.clone()));
    tasks.spawn(webhooks::run(Arc::clone(&center), Courier::new(settings.webhooks), stop.clone()));
    let registry_addresses: Vec<_> = entrances.iter().map(|(address, _)| *address).collect();
    let registry = Registry::new(Arc::clone(&center), Arc::clone(&token), settings.registry.pulls).router();
    for (_, entrance) in entrances {
        // A token would cross the network readable.
        let router = match &entrance.tls {
            Some(_) => enroll::router(Arc::clone(&office), registry.clone()),
            None => registry.clone(),
        };
        tasks.spawn(listen::serve(entrance, router, stop.clone()).map(Ok));
    }
    let entrance = Entrance { name: "REST API", listener, tls: None };
    let accounts = Arc::new(Accounts::new(store.clone()));
    let front = Front { proxy: settings.behind_proxy };
    let router = Api::new(center, office, token, accounts, front, stop.clone()).router();
    tasks.spawn(listen::serve(entrance, router, stop.clone()).map(Ok));
    tracing::info!(%rest_address, ?mqtt_addresses, "the center serves");
    // Nobody waiting for it is no error.
    let _ = ready.send(Ready { rest_address, mqtt_addresses, registry_addresses });

    let result = until_stopped(&mut tasks, stop).await;
    if let Some(broker) = broker {
        broker.stop().await;
    }
    store.close().await;
    result
}

/// Waits for the end of all tasks. One that ends before the stop takes the center with it: a half center would look alive.
async fn until_stopped(
    tasks: &mut JoinSet<anyhow::Result<()>>,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let told = stop.clone();
    let ended = tokio::select! {
        ended = tasks.join_next() => ended,
        _ = stop.wait_for(|stop| *stop) => None,
    };
    if let Some(ended) = ended
        && !*told.borrow()
        && told.has_changed().is_ok()
    {
        tasks.shutdown().await;
        ended.context("a part of the center broke")??;
        bail!("a part of the center ended by itself");
    }
    let all = async { while tasks.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, all).await.is_err() {
        tracing::warn!("some requests did not end in time: they are cut off");
        tasks.shutdown().await;
    }
    Ok(())
}

async fn deadlines(
    center: Arc<Center>,
    keep: Retention,
    mut stop: watch::Receiver<bool>,
) -> anyhow::Result<()> {
    let mut next_tidy = Instant::now();
    let mut looked_at = unix_now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(DEADLINE_PERIOD) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
        let now = unix_now();
        let mut result = center.expire(now).await;
        if result.is_ok() {
            result = center.keep_put_off().await;
        }
        if result.is_ok() {
            result = center.tell_overdue(looked_at, now).await;
        }
        if result.is_ok() && Instant::now() >= next_tidy {
            next_tidy = Instant::now() + TIDY_PERIOD;
            result = center.tidy(&keep, now).await;
            if result.is_ok() {
                result = center.tidy_webhooks(now).await;
            }
        }
        if result.is_ok() {
            looked_at = now;
        }
        if let Err(error) = result {
            let error = anyhow::Error::from(error);
            tracing::error!(error = format!("{error:#}"), "cannot look through the deadlines: tried again");
        }
    }
}

/// Removes blobs that no Magic Link names, at the start and then daily.
async fn sweep(center: Arc<Center>, mut stop: watch::Receiver<bool>) -> anyhow::Result<()> {
    loop {
        match center.sweep().await {
            Ok(removed) => tracing::debug!(?removed, "the store of Magic Links is swept"),
            Err(error) => {
                let error = anyhow::Error::from(error);
                tracing::error!(
                    error = format!("{error:#}"),
                    "cannot sweep the store of Magic Links: tried again"
                );
            }
        }
        tokio::select! {
            () = tokio::time::sleep(SWEEP_PERIOD) => {}
            _ = stop.wait_for(|stop| *stop) => return Ok(()),
        }
    }
}

/// How the center reaches its broker, and the broker itself when it is inside this process.
async fn connection(
    settings: &ServeSettings,
    client_id: String,
    is_shared: bool,
    gate: Arc<Gate>,
) -> anyhow::Result<(Connection, Option<Running>)> {
    match settings.broker.clone() {
        BrokerChoice::Embedded { listen, gateways } => {
            let topic_prefix = settings.topic_prefix.clone();
            let running = broker::start(BrokerSettings { listen, topic_prefix, gateways, gate }).await?;
            let connection = Connection {
                host: running.center_address.ip().to_string(),
                port: running.center_address.port(),
                tls: None,
                credentials: Some((running.center_username.clone(), running.center_password.clone())),
                client_id,
                // Nobody else is connected to it.
                is_shared: false,
            };
            Ok((connection, Some(running)))
        }
        BrokerChoice::External(broker) => {
            let password = broker.password_file.as_deref().map(read_secret).transpose()?;
            let password = password.unwrap_or_default().lines().next().unwrap_or_default().to_owned();
            let connection = Connection {
                host: broker.host,
                port: broker.port,
                tls: broker.tls.as_ref().map(mqtt::client_config).transpose()?,
                credentials: broker.username.map(|username| (username, password)),
                client_id,
                is_shared,
            };
            Ok((connection, None))
        }
    }
}

#[cfg(test)]
mod tests;
