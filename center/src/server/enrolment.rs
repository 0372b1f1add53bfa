//! From the settings to what gateways are told when they enrol, and by what they log in.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keros_protocol::enroll::HostPort;
use keros_protocol::magic_link::Source;
use keros_protocol::{KeyPurpose, TrustedKey};
use rustls::pki_types::CertificateDer;

use super::believed::believed;
use super::{BrokerChoice, ServeSettings};
use crate::broker::{Gate, Listener, TlsFiles};
use crate::enroll::{self, Authority, Logins, Office, Told, Way, pin};
use crate::links::REPOSITORY;
use crate::listen::Entrance;
use crate::mqtt::certificates;
use crate::settings::DataFolder;
use crate::store::Store;

/// A certificate is good for a year, unless something else is said.
const CERTIFICATE_LIFE_S: u64 = 365 * 86_400;

/// More authorities than this are not told to gateways.
const MAX_AUTHORITIES: usize = 8;

/// What is said of enrolment.
#[derive(Debug, Clone)]
pub(crate) struct EnrolSettings {
    /// The entrance as gateways reach it; `None`: the registry's.
    pub(crate) entrance: Option<HostPort>,
    /// The broker as gateways reach it; `None`: the entrance's host.
    pub(crate) broker: Option<HostPort>,
    /// PEM: who signed the certificate of broker and registry; `None`: the last one of its chain.
    pub(crate) authority: Option<PathBuf>,
    /// For how long a gateway's certificate is good.
    pub(crate) certificate_life_s: u64,
}

impl Default for EnrolSettings {
    fn default() -> Self {
        let certificate_life_s = CERTIFICATE_LIFE_S;
        Self { entrance: None, broker: None, authority: None, certificate_life_s }
    }
}

/// Certificates, in DER.
type Certificates = Vec<CertificateDer<'static>>;

/// Who signed this certificate, as gateways are told.
pub(super) fn authorities(settings: &EnrolSettings, files: &TlsFiles) -> anyhow::Result<Certificates> {
    match &settings.authority {
        Some(path) => certificates(path),
        None => Ok(certificates(&files.cert)?.pop().into_iter().collect()),
    }
}

/// The office, with all that it needs.
pub(super) fn office(
    settings: &ServeSettings,
    store: &Store,
    public_keys: [(KeyPurpose, TrustedKey); 2],
    authority: Option<Authority>,
    entrances: &[(SocketAddr, Entrance)],
    mqtt_addresses: &[SocketAddr],
    gate: Arc<Gate>,
) -> anyhow::Result<Office> {
    let way = way(settings, entrances, mqtt_addresses)?;
    match &way {
        Ok(way) => tracing::info!(entrance = %way.entrance, broker = %way.broker, "gateways can enrol"),
        Err(why) => tracing::info!("gateways cannot enrol: {why}"),
    }
    let password_file = match &settings.broker {
        BrokerChoice::Embedded { gateways, .. } => gateways.password_file.clone(),
        BrokerChoice::External(_) => None,
    };
    let logins = Logins { authority, password_file, certificate_life_s: settings.enrol.certificate_life_s };
    let trust = settings.command_key_file.with_file_name("trust");
    let told = Told { way, topic_prefix: settings.topic_prefix.to_string() };
    Ok(Office::new(store.clone(), told, logins, public_keys, trust, gate))
}

/// The authority in the data folder, if there is one; the embedded broker trusts it.
pub(super) fn authority(folder: &DataFolder, broker: &mut BrokerChoice) -> anyhow::Result<Option<Authority>> {
    let place = enroll::authority_folder(folder.path());
    let authority = Authority::open(&place).context("cannot use the authority of gateways' certificates")?;
    if let (Some(_), BrokerChoice::Embedded { listen, .. }) = (&authority, broker) {
        for files in listen.iter_mut().filter_map(|listener| listener.tls.as_mut()) {
            files.client_cas.push(Authority::certificate_path(&place));
        }
    }
    Ok(authority)
}

fn way(
    settings: &ServeSettings,
    entrances: &[(SocketAddr, Entrance)],
    mqtt_addresses: &[SocketAddr],
) -> anyhow::Result<Result<Way, String>> {
    let listens = entrances.iter().find(|(_, entrance)| entrance.tls.is_some()).map(|(address, _)| *address);
    let (Some(listens), Some((_, files))) = (listens, &settings.registry.tls) else {
        let text = "gateways enrol over HTTPS, which this center does not speak: start it with --registry-tls \
                    ADDRESS, --cert and --cert-key (see `keros-center serve --help`)";
        return Ok(Err(text.to_owned()));
    };
    let told = settings.registry.source.as_ref().and_then(of_source);
    let Some(entrance) = settings.enrol.entrance.clone().or(told).or_else(|| of_address(listens)) else {
        let text = "it is not known by which address gateways reach this center: say it with --enroll-at HOST:PORT \
                    or --registry-url";
        return Ok(Err(text.to_owned()));
    };
    let mut trusted = authorities(&settings.enrol, files)?;
    let Some(first) = trusted.first() else {
        return Ok(Err("there is no certificate in the file of --ca".to_owned()));
    };
    let shown = [certificates(&files.cert)?, trusted.clone()].concat();
    if let Err(why) = believed(&shown, first, entrance.host()) {
        return Ok(Err(why));
    }
    let pin = pin(first);
    let broker = match &settings.broker {
        BrokerChoice::Embedded { listen, .. } => embedded(listen, mqtt_addresses, &entrance),
        BrokerChoice::External(broker) => match &broker.tls {
            Some(tls) => {
                trusted.extend(certificates(&tls.ca_file)?);
                HostPort::new(&broker.host, broker.port).ok()
            }
            None => None,
        },
    };
    let Some(broker) = settings.enrol.broker.clone().or(broker) else {
        let text = "gateways that enrol use TLS, which the broker does not speak: name --mqtt-tls ADDRESS, or for \
                    an external broker --external-broker-ca";
        return Ok(Err(text.to_owned()));
    };
    trusted.dedup();
    if trusted.len() > MAX_AUTHORITIES {
        return Ok(Err(format!("more than {MAX_AUTHORITIES} authorities are named: name fewer in --ca")));
    }
    let authorities = trusted.iter().map(|der| pem(der)).collect();
    Ok(Ok(Way { entrance, pin, broker, authorities }))
}

/// The broker beside the entrance, at the port of its first listener with TLS.
fn embedded(listen: &[Listener], addresses: &[SocketAddr], entrance: &HostPort) -> Option<HostPort> {
    let with_tls = listen.iter().zip(addresses).find(|(listener, _)| listener.tls.is_some());
    with_tls.and_then(|(_, address)| HostPort::new(entrance.host(), address.port()).ok())
}

/// The center's own registry as gateways are told; nothing of another one.
fn of_source(source: &Source) -> Option<HostPort> {
    if !source.is_https() || source.name() != REPOSITORY {
        return None;
    }
    let authority = source.authority();
    authority.parse().or_else(|_| HostPort::new(authority, 443)).ok()
}

fn of_address(address: SocketAddr) -> Option<HostPort> {
    HostPort::new(&address.ip().to_string(), address.port()).ok().filter(|_| !address.ip().is_unspecified())
}

fn pem(der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
