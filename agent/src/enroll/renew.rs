//! The next certificate, for a new key: asked for with the old key, tried, and then put in the place of both by one rename. The daemon
//! reads the file at its next connection, and need not be told. Whatever fails, the old one stays.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keros_machine::TimeJudge;
use keros_protocol::certificate::Certificate;
use keros_protocol::enroll::{RenewRequest, Renewed, paths, renewal_message};
use keros_protocol::{Eui, UnixSeconds};

use super::ask::Center;
use super::error::EnrolError;
use super::files::{self, CA_FILE, Generation, LOGIN_FILE, login_file};
use super::key::{self, Key};
use super::place::Place;
use super::trial;
use crate::clock::{BUILT_AT_UNIX_S, Clock, SharedTime};
use crate::config::{self, BrokerSettings, TlsSettings};

/// The key of a renewal that is under way.
const NEXT_KEY_FILE: &str = "next.key";
/// Its certificate and key, until they are tried.
const NEXT_FILE: &str = "next.pem";

/// What is asked for on the command line.
pub(crate) struct Renewal<'a> {
    /// The configuration file; `None`: the one that the service uses.
    pub(crate) config: Option<&'a Path>,
    /// Also when more than a third of its life is left.
    pub(crate) now: bool,
    /// Tells a person what goes on.
    pub(crate) tell: &'a dyn Fn(&str),
}

/// Renews the certificate when a third of its life, or less, is left.
///
/// # Errors
/// [`EnrolError`] says what to do; the old certificate stays.
pub(crate) fn renew(renewal: &Renewal<'_>) -> Result<(), EnrolError> {
    let loaded = config::load(renewal.config);
    let place = Place::open(renewal.config, &loaded.settings_so_far().trust_folder)?;
    let generation = place.current().ok_or(EnrolError::NotEnrolled)?;
    let center = files::read_center(&generation).ok_or(EnrolError::NotEnrolled)?;
    let Some(text) = keros_platform::read_small(&generation.file(LOGIN_FILE), key::MAX_FILE_BYTES) else {
        (renewal.tell)("This gateway logs in by password: there is no certificate to renew.");
        return Ok(());
    };
    let old = trial::read_certificate(&text).zip(Key::from_pem(&text));
    let (old, old_key) = old.ok_or_else(|| EnrolError::Damaged(generation.file(LOGIN_FILE)))?;
    let eui: Option<Eui> = old.common_name.as_deref().and_then(|name| name.parse().ok());
    let eui = eui.ok_or_else(|| EnrolError::Damaged(generation.file(LOGIN_FILE)))?;
    let settings = loaded.for_daemon().map(|(settings, _)| settings);
    let settings = settings.map_err(|findings| {
        EnrolError::Configuration(findings.first().map(ToString::to_string).unwrap_or_default())
    })?;
    let floor = BUILT_AT_UNIX_S.max(settings.time_floor_unix_s).max(old.not_before_unix_s);
    let time = SharedTime::new(Clock::new(), TimeJudge::new(floor));
    if !renewal.now && !is_due(&old, time.for_certificates(0)) {
        let days = days_left(&old, time.for_certificates(0));
        (renewal.tell)(&format!(
            "The certificate is good for {days} days: it is renewed when a third of its life is left."
        ));
        return Ok(());
    }

    let new_key = next_key(&place, &generation, &old_key)?;
    let request = new_key.request(eui)?;
    let ask = RenewRequest {
        eui,
        signature: STANDARD.encode(old_key.sign(&renewal_message(&old.serial, &request))?),
        serial: old.serial.clone(),
        request: STANDARD.encode(&request),
    };
    let authorities = TlsSettings { ca_file: generation.file(CA_FILE), client: None };
    let renewed: Renewed = Center::trusted(&center.entrance, authorities, &time).post(paths::RENEW, &ask)?;
    renewed.check().map_err(|error| EnrolError::Answer(error.to_string()))?;
    let new = trial::fits(&renewed.certificate, &new_key, eui)?;

    let next = generation.file(NEXT_FILE);
    place.write(&next, login_file(&renewed.certificate, &new_key).as_bytes(), 0o640, true)?;
    let proved = trial::prove(&with_client(&settings.broker, &next), eui, &time);
    if proved.is_err() {
        place.remove(&next)?;
    }
    proved?;
    place.rename(&next, &generation.file(LOGIN_FILE))?;
    place.remove(&generation.file(NEXT_KEY_FILE))?;
    let days = days_left(&new, time.for_certificates(0));
    (renewal.tell)(&format!("The certificate was renewed, with a new key: it is good for {days} days."));
    Ok(())
}

/// A third of its life, or less, is left.
fn is_due(certificate: &Certificate, now: UnixSeconds) -> bool {
    let life = certificate.not_after_unix_s.saturating_sub(certificate.not_before_unix_s);
    now >= certificate.not_after_unix_s.saturating_sub(life / 3)
}

fn days_left(certificate: &Certificate, now: UnixSeconds) -> u64 {
    certificate.not_after_unix_s.saturating_sub(now) / 86_400
}

/// The key of an attempt that failed, or a new one: for the same key the center makes no second certificate. So the key in force is not
/// taken for the next one, where the last renewal was cut off before it removed the file: the center would give the old certificate until it
/// has expired.
fn next_key(place: &Place, generation: &Generation, in_force: &Key) -> Result<Key, EnrolError> {
    let path = generation.file(NEXT_KEY_FILE);
    let kept = keros_platform::read_small(&path, key::MAX_FILE_BYTES).and_then(|pem| Key::from_pem(&pem));
    if let Some(key) = kept.filter(|key| key.point() != in_force.point()) {
        return Ok(key);
    }
    let key = Key::make()?;
    place.write(&path, key.to_pem().as_bytes(), 0o600, false)?;
    Ok(key)
}

fn with_client(broker: &BrokerSettings, file: &Path) -> BrokerSettings {
    let mut broker = broker.clone();
    if let Some(tls) = &mut broker.tls {
        tls.client = Some((file.to_owned(), file.to_owned()));
    }
    broker
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_renewed_when_a_third_of_its_life_is_left() {
        let certificate = Certificate {
            serial: "1".to_owned(),
            common_name: None,
            not_before_unix_s: 1000,
            not_after_unix_s: 4000,
            public_key: Vec::new(),
        };
        for (now, due) in [(0, false), (1000, false), (2999, false), (3000, true), (4000, true), (9000, true)]
        {
            assert_eq!(is_due(&certificate, now), due, "{now}");
        }
    }
}
