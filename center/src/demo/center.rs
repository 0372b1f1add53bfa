//! The demo's center: made keys, made passwords, an embedded broker on a free port, in this process.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use keros_protocol::{Eui, KeyPurpose};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::accounts::first_administrator;
use crate::broker::{GatewayAccess, Listener, passwords};
use crate::cli::client::Client;
use crate::keys;
use crate::server::{self, BrokerChoice, EnrolSettings, Ready, RegistrySettings, ServeSettings};
use crate::service::unix_now;
use crate::store::Store;

/// Who logs in at the demo's pages.
pub(super) const ADMINISTRATOR: &str = "demo";

/// Until it answers.
const START_LIMIT: Duration = Duration::from_secs(30);

/// Until it has stopped.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A center at work.
#[derive(Debug)]
pub(super) struct Center {
    pub(super) ready: Ready,
    data_folder: PathBuf,
    keys_folder: PathBuf,
    stop: watch::Sender<bool>,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Center {
    /// Makes keys and starts.
    ///
    /// # Errors
    /// When it does not come up.
    pub(super) async fn start(demo: &Path) -> anyhow::Result<Self> {
        let data_folder = demo.join("center");
        let keys_folder = demo.join("keys");
        keys::generate(&keys_folder)?;
        let (stop, stopped) = watch::channel(false);
        let (ready_sender, ready) = oneshot::channel();
        let task = tokio::spawn(server::serve(settings(&data_folder, &keys_folder), ready_sender, stopped));
        match tokio::time::timeout(START_LIMIT, ready).await {
            Err(_) => anyhow::bail!("the center did not come up within {} s", START_LIMIT.as_secs()),
            Ok(Err(_)) => {
                task.await.context("the center broke")??;
                anyhow::bail!("the center ended at once")
            }
            Ok(Ok(ready)) => Ok(Self { ready, data_folder, keys_folder, stop, task }),
        }
    }

    /// Makes a broker password for a gateway.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub(super) fn password(&self, eui: Eui) -> anyhow::Result<String> {
        passwords::set_new_password(&password_file(&self.data_folder), eui)
    }

    /// The port for gateways.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn mqtt_port(&self) -> anyhow::Result<u16> {
        Ok(self.ready.mqtt_addresses.first().context("the broker has no address")?.port())
    }

    /// Its address for the command line.
    pub(super) fn url(&self) -> String {
        format!("http://{}", self.ready.rest_address)
    }

    /// Makes the demo's administrator; his password is a new one each time.
    ///
    /// # Errors
    /// When the store does not take him.
    pub(super) async fn make_administrator(&self) -> anyhow::Result<String> {
        let mut bytes = [0; 9];
        ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut bytes)
            .map_err(|_| anyhow::anyhow!("the system gives no random bytes"))?;
        let password = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, bytes);
        let store = Store::open(&self.data_folder, None).await?;
        let made = first_administrator(&store, ADMINISTRATOR, &password, unix_now()).await;
        store.close().await;
        made?;
        Ok(password)
    }

    /// The file with its access token.
    pub(super) fn token_file(&self) -> PathBuf {
        self.data_folder.join(crate::settings::TOKEN_FILE)
    }

    /// The public keys.
    pub(super) fn trust(&self) -> PathBuf {
        self.keys_folder.join("trust")
    }

    /// Asks it as the command line does.
    ///
    /// # Errors
    /// When the token cannot be read.
    pub(super) fn client(&self) -> anyhow::Result<Client> {
        Ok(Client::new(&self.url(), &self.token_file())?)
    }

    /// Stops it and waits for its end.
    pub(super) async fn stop(self) {
        let _ = self.stop.send(true);
        match tokio::time::timeout(STOP_LIMIT, self.task).await {
            Ok(Ok(Ok(()))) => {}
            other => tracing::error!("the center did not stop as it should: {other:?}"),
        }
    }
}

fn settings(data_folder: &Path, keys_folder: &Path) -> ServeSettings {
    let any_port = ([127, 0, 0, 1], 0);
    ServeSettings {
        data_folder: data_folder.to_owned(),
        rest_address: any_port.into(),
        broker: BrokerChoice::Embedded {
            listen: vec![Listener { address: any_port.into(), tls: None }],
            gateways: GatewayAccess { password_file: Some(password_file(data_folder)) },
        },
        topic_prefix: keros_protocol::topics::Prefix::default(),
        max_groups: crate::bounds::MAX_GROUPS,
        command_key_file: keys::private_path(keys_folder, KeyPurpose::Command),
        statement_key_file: keys::private_path(keys_folder, KeyPurpose::Statement),
        database_url: None,
        retention: crate::service::Retention::default(),
        registry: RegistrySettings { plain: Some(([127, 0, 0, 1], 0).into()), ..RegistrySettings::default() },
        webhooks: crate::webhooks::Reach::default(),
        enrol: EnrolSettings::default(),
        behind_proxy: None,
    }
}

fn password_file(data_folder: &Path) -> PathBuf {
    crate::cli::arguments::files::broker_users_file(data_folder)
}
