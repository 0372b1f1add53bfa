//! The center and the broker of a fleet: real processes with all their files in one folder.

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use keros_protocol::{Eui, KeyRing, TrustedKey};
use keros_tests::{Broker, Center, Mosquitto, MosquittoMode};
use ring::hmac;

use crate::arguments::{BrokerKind, FleetArguments};
use crate::gateway::Profile;
use crate::telemetry;

/// Of every gateway: who logs in is not what is measured.
const PASSWORD: &str = "of-every-virtual-gateway";

/// A center and its broker.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) center: Center,
    pub(crate) mosquitto: Option<Mosquitto>,
    pub(crate) password: Option<String>,
}

impl Place {
    /// Starts both.
    pub(crate) fn start(folder: &Path, arguments: &FleetArguments, euis: &[Eui]) -> Result<Self> {
        let data = folder.join("center/data");
        std::fs::create_dir_all(&data)?;
        let (mosquitto, broker) = match arguments.broker {
            BrokerKind::Embedded => {
                std::fs::write(data.join("broker-users"), passwords(euis)?)?;
                (None, Broker::Embedded)
            }
            BrokerKind::Mosquitto => {
                let mosquitto = Mosquitto::start(&folder.join("mosquitto"), MosquittoMode::Busy)?;
                let broker = Broker::External(mosquitto.port, Vec::new());
                (Some(mosquitto), broker)
            }
        };
        let mut more = Vec::new();
        if let Some(url) = &arguments.database {
            more.extend(["--database".to_owned(), url.clone()]);
        }
        let center = Center::start_with(&folder.join("center"), broker, more)?;
        let password = mosquitto.is_none().then(|| PASSWORD.to_owned());
        Ok(Self { center, mosquitto, password })
    }
}

/// The embedded broker's file: one line for each gateway.
fn passwords(euis: &[Eui]) -> Result<String> {
    let salt = "0123456789abcdef";
    let key = hmac::Key::new(
        hmac::HMAC_SHA256,
        &(0..8).map(|i| u8::from_str_radix(&salt[i * 2..i * 2 + 2], 16)).collect::<Result<Vec<_>, _>>()?,
    );
    let tag: String =
        hmac::sign(&key, PASSWORD.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let mut text = String::new();
    for eui in euis {
        writeln!(text, "{eui}:$hmac-sha256${salt}${tag}")?;
    }
    Ok(text)
}

/// What the gateways of this center have in common.
pub(crate) fn profile(trust: &Path, interval_ms: u64) -> Result<Arc<Profile>> {
    let packages = telemetry::packages();
    Ok(Arc::new(Profile {
        command_keys: ring_of(trust, "command")?,
        statement_keys: ring_of(trust, "statement")?,
        version: "6.3.1".parse().context("a KerOS version")?,
        packages_digest: telemetry::digest(&packages),
        packages,
        interval_ms,
    }))
}

/// The center's public keys of one purpose: files in its folder `trust`.
fn ring_of(trust: &Path, purpose: &str) -> Result<KeyRing> {
    let mut keys = Vec::new();
    for entry in std::fs::read_dir(trust).with_context(|| format!("reading {}", trust.display()))? {
        let path = entry?.path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(purpose)) {
            keys.push(TrustedKey::from_pem(&std::fs::read_to_string(&path)?)?);
        }
    }
    Ok(KeyRing::new(keys))
}
