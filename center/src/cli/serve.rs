//! `serve`: from the command line to the server's settings, and from signals to its end.

use anyhow::Context as _;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{oneshot, watch};

use super::Ended;
use super::arguments::files::broker_users_file;
use super::arguments::serve::ServeArguments;
use super::logging;
use crate::broker::{GatewayAccess, Listener, TlsFiles};
use crate::keys;
use crate::server::{
    self, BrokerChoice, BrokerTls, EnrolSettings, ExternalBroker, Ready, RegistrySettings, ServeSettings,
};
use crate::service::Retention;
use crate::webhooks::Reach;
use keros_protocol::KeyPurpose;

/// Plain MQTT on this machine alone.
const DEFAULT_MQTT: ([u8; 4], u16) = ([127, 0, 0, 1], 1883);

/// The registry beside it.
const DEFAULT_REGISTRY: ([u8; 4], u16) = ([127, 0, 0, 1], 8481);

pub(super) fn serve(arguments: ServeArguments) -> anyhow::Result<Ended> {
    logging::start();
    let database_url = super::database::url(&arguments.database)?;
    let settings = ServeSettings { database_url, ..settings(arguments) };
    let token_file = settings.data_folder.join(crate::settings::TOKEN_FILE);
    let runtime = tokio::runtime::Runtime::new().context("cannot start the runtime")?;
    runtime.block_on(async {
        let (stop, stopped) = watch::channel(false);
        let (ready, is_ready) = oneshot::channel();
        tokio::spawn(stop_at_signal(stop));
        tokio::spawn(async move {
            if let Ok(Ready { rest_address, registry_addresses, .. }) = is_ready.await {
                tracing::info!(
                    "pages and REST API: http://{rest_address}, access token: {}",
                    token_file.display()
                );
                for address in registry_addresses {
                    tracing::info!("registry of Magic Links: {address}/v2/{}", crate::links::REPOSITORY);
                }
            }
        });
        server::serve(settings, ready, stopped).await
    })?;
    Ok(Ended::Done)
}

async fn stop_at_signal(stop: watch::Sender<bool>) {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signals cannot be handled: stop the center with SIGKILL");
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    let _ = stop.send(true);
    // Kept until the end: a sender that is gone means the same.
    std::future::pending().await
}

fn settings(arguments: ServeArguments) -> ServeSettings {
    let keys = arguments.keys.clone().unwrap_or_else(|| arguments.data_folder.join("keys"));
    ServeSettings {
        data_folder: arguments.data_folder.clone(),
        rest_address: arguments.rest,
        topic_prefix: arguments.topic_prefix.clone(),
        max_groups: arguments.max_groups,
        command_key_file: keys::private_path(&keys, KeyPurpose::Command),
        statement_key_file: keys::private_path(&keys, KeyPurpose::Statement),
        database_url: None,
        retention: Retention {
            reports_days: arguments.keep_reports,
            updates_days: arguments.keep_updates,
            audit_days: arguments.keep_audit,
            telemetry_days: arguments.keep_telemetry,
        },
        registry: registry(&arguments),
        webhooks: if arguments.webhooks_anywhere { Reach::Anywhere } else { Reach::Public },
        behind_proxy: arguments.behind_proxy,
        enrol: EnrolSettings {
            entrance: arguments.enroll_at.clone(),
            broker: arguments.broker_at.clone(),
            authority: arguments.ca.clone(),
            certificate_life_s: arguments.certificate_life.into(),
        },
        broker: broker(arguments),
    }
}

fn registry(arguments: &ServeArguments) -> RegistrySettings {
    let tls = arguments.cert.clone().zip(arguments.cert_key.clone());
    let is_alone = arguments.mqtt.is_empty()
        && arguments.mqtt_tls.is_empty()
        && arguments.external_broker.is_none()
        && arguments.registry_tls.is_none();
    RegistrySettings {
        plain: arguments.registry.or_else(|| is_alone.then(|| DEFAULT_REGISTRY.into())),
        // Gateways show their token, not a certificate.
        tls: arguments.registry_tls.zip(tls.map(|(cert, key)| TlsFiles {
            cert,
            key,
            client_cas: Vec::new(),
        })),
        source: arguments.registry_url.clone(),
        folder: arguments.links_folder.clone(),
        limit_bytes: u64::from(arguments.links_gib) << 30,
        ..RegistrySettings::default()
    }
}

fn broker(arguments: ServeArguments) -> BrokerChoice {
    let Some((host, port)) = arguments.external_broker else { return embedded(arguments) };
    let client = arguments.external_broker_cert.zip(arguments.external_broker_key);
    BrokerChoice::External(ExternalBroker {
        host,
        port,
        tls: arguments.external_broker_ca.map(|ca_file| BrokerTls { ca_file, client }),
        username: arguments.external_broker_user,
        password_file: arguments.external_broker_password_file,
    })
}

fn embedded(arguments: ServeArguments) -> BrokerChoice {
    let tls = arguments.cert.zip(arguments.cert_key).map(|(cert, key)| TlsFiles {
        cert,
        key,
        client_cas: arguments.client_ca.into_iter().collect(),
    });
    let mut listen: Vec<Listener> =
        arguments.mqtt.into_iter().map(|address| Listener { address, tls: None }).collect();
    listen.extend(arguments.mqtt_tls.into_iter().map(|address| Listener { address, tls: tls.clone() }));
    if listen.is_empty() {
        listen.push(Listener { address: DEFAULT_MQTT.into(), tls: None });
    }
    let password_file = arguments.broker_users.unwrap_or_else(|| broker_users_file(&arguments.data_folder));
    BrokerChoice::Embedded { listen, gateways: GatewayAccess { password_file: Some(password_file) } }
}

#[cfg(test)]
mod tests {
    use super::super::arguments::{Arguments, Command};
    use super::*;
    use clap::Parser as _;

    fn parse(arguments: &[&str]) -> Result<ServeSettings, clap::Error> {
        let all = ["keros-center", "serve", "--data-folder", "/data"].iter().chain(arguments);
        match Arguments::try_parse_from(all)?.command {
            Command::Serve(arguments) => Ok(settings(*arguments)),
            other => panic!("another command: {other:?}"),
        }
    }

    #[test]
    fn without_options_it_serves_this_machine_alone() {
        let settings = parse(&[]).unwrap();
        assert_eq!(settings.rest_address.to_string(), "127.0.0.1:8480");
        assert_eq!(settings.command_key_file, std::path::Path::new("/data/keys/command.key.pem"));
        let BrokerChoice::Embedded { listen, gateways } = settings.broker else { panic!("not embedded") };
        assert_eq!(listen[0].address.to_string(), "127.0.0.1:1883");
        assert_eq!(gateways.password_file.unwrap(), std::path::Path::new("/data/broker-users"));
        assert_eq!(settings.registry.plain.unwrap().to_string(), "127.0.0.1:8481");
    }

    #[test]
    fn a_way_in_that_is_named_opens_no_registry_that_is_not() {
        for way_in in [["--mqtt", "10.0.0.1:1883"], ["--external-broker", "b:1883"]] {
            assert_eq!(parse(&way_in).unwrap().registry.plain, None, "{way_in:?}");
        }
        let tls = ["--registry-tls", "0.0.0.0:8443", "--cert", "c", "--cert-key", "k"];
        assert_eq!(parse(&tls).unwrap().registry.plain, None);
    }

    #[test]
    fn tls_listeners_need_their_certificate() {
        assert!(parse(&["--mqtt-tls", "0.0.0.0:8883"]).is_err());
        let settings =
            parse(&["--mqtt-tls", "0.0.0.0:8883", "--cert", "c", "--cert-key", "k", "--client-ca", "a"])
                .unwrap();
        let BrokerChoice::Embedded { listen, .. } = settings.broker else { panic!("not embedded") };
        assert_eq!(listen.len(), 1);
        assert_eq!(listen[0].tls.as_ref().unwrap().client_cas.len(), 1);
    }

    #[test]
    fn gateways_are_told_the_repository_behind_the_address() {
        let told = |url| {
            parse(&["--registry-url", url]).map(|settings| settings.registry.source.unwrap().to_string())
        };
        for url in ["https://c.example:8443", "https://c.example:8443/", "https://c.example:8443/v2/links"] {
            assert_eq!(told(url).unwrap(), "https://c.example:8443/v2/links");
        }
        assert_eq!(told("http://c.example/v2/other").unwrap(), "http://c.example/v2/other");
        assert!(told("c.example").is_err() && told("https://c.example/x").is_err());
        assert!(parse(&["--registry-tls", "0.0.0.0:8443"]).is_err());
        assert_eq!(parse(&["--links-gib", "2"]).unwrap().registry.limit_bytes, 2 << 30);
    }

    #[test]
    fn an_external_broker_excludes_the_embedded_one() {
        assert!(parse(&["--external-broker", "b:1883", "--mqtt", "127.0.0.1:1883"]).is_err());
        for bad in ["b", ":1883", "b:0", "b:x"] {
            assert!(parse(&["--external-broker", bad]).is_err(), "{bad}");
        }
        let settings = parse(&["--external-broker", "[::1]:8883", "--external-broker-ca", "a"]).unwrap();
        let BrokerChoice::External(broker) = settings.broker else { panic!("not external") };
        assert_eq!((broker.host.as_str(), broker.port), ("::1", 8883));
        assert!(broker.tls.is_some());
    }
}
