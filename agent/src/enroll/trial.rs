//! What is tried before anything is replaced: that a certificate is this gateway's and for this key, and that the broker lets it in.

use std::time::Duration;

use keros_protocol::Eui;
use keros_protocol::certificate::{Certificate, p256_point};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;

use super::error::EnrolError;
use super::key::Key;
use crate::clock::SharedTime;
use crate::config::BrokerSettings;
use crate::probe::{self, Target};

/// For the trial, on a slow link.
const PROOF_LIMIT: Duration = Duration::from_secs(120);

/// Reads the first certificate of a PEM text.
pub(super) fn read_certificate(pem: &str) -> Option<Certificate> {
    Certificate::parse(&CertificateDer::from_pem_slice(pem.as_bytes()).ok()?)
}

/// A certificate that the center gave must be for this gateway, and for the key that was made here.
pub(super) fn fits(pem: &str, key: &Key, eui: Eui) -> Result<Certificate, EnrolError> {
    let answer = |text: &str| EnrolError::Answer(text.to_owned());
    let read = read_certificate(pem).ok_or_else(|| answer("its certificate cannot be read"))?;
    if read.common_name != Some(eui.to_string()) {
        return Err(answer("its certificate is for another gateway"));
    }
    if p256_point(&read.public_key) != Some(key.point()) {
        return Err(answer("its certificate is for another key"));
    }
    Ok(read)
}

/// Tries a log-in against the real broker, beside the daemon: TLS, log-in, and the right to read the gateway's own topic.
pub(super) fn prove(broker: &BrokerSettings, eui: Eui, time: &SharedTime) -> Result<(), EnrolError> {
    let target = Target { broker, eui, time, login: probe::Login::Beside };
    match probe::failure(&probe::probe(&target, PROOF_LIMIT)) {
        None => Ok(()),
        Some((_, trouble)) => {
            let (says, advice) = (trouble.kind.says(broker), trouble.kind.advice(broker, &eui.to_string()));
            Err(EnrolError::NotProved(format!("{says} ({}); {advice}", trouble.error)))
        }
    }
}
