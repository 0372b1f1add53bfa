//! Decides who joins. Each decision is one transaction; what came of it is in the log.

use std::path::PathBuf;
use std::sync::Mutex;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keros_protocol::certificate::CertificateRequest;
use keros_protocol::enroll::{
    ConfirmRequest, EnrolLine, EnrolProblem, EnrolReason, EnrolToken, IssueRequest, Issued, Login,
    RenewRequest, Renewed, renewal_message,
};
use keros_protocol::{Eui, KeyPurpose, TrustedKey, UnixSeconds};
use ring::rand::{SecureRandom as _, SystemRandom};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};

use super::authority::Authority;
use super::told::{Told, Way};
use crate::access::{Action, Caller, CustomerId};
use crate::api::{EnrolOrder, EnrolmentLine, EnrolmentState, EnrolmentView, LockedOut};
use crate::broker::{Gate, passwords};
use crate::service::{OrderError, What, audit, no_gateway};
use crate::store::certificates::CertificateRow;
use crate::store::enrolments::EnrolmentRow;
use crate::store::{Store, StoreError, Transaction, certificates, enrolments, gateways};

/// A token is good for a day, unless the operator says something else, and for 30 days at most.
const DEFAULT_VALID_S: u64 = 86_400;
const MAX_VALID_S: u64 = 30 * 86_400;
/// Gateways in one order.
const MAX_GATEWAYS: usize = 1000;
/// How often one token is answered: a technician who tries again, not a loop.
const MAX_ISSUED: u64 = 32;
/// Enrolments in one list, and for how long those that are over stay in it: 90 days.
const MAX_LISTED: u32 = 1000;
const KEEP_S: u64 = 90 * 86_400;
/// A certificate that expired may still be renewed for so long: a gateway that lay without power.
const GRACE_S: u64 = 30 * 86_400;
/// Certificates that one gateway has at the same time.
const MAX_CERTIFICATES: usize = 8;
/// Public keys of one purpose.
const MAX_KEYS: usize = 8;

/// How gateways log in.
#[derive(Debug)]
pub(crate) struct Logins {
    /// By certificates of this one; `None`: by passwords.
    pub(crate) authority: Option<Authority>,
    /// The embedded broker's file of passwords; `None`: another broker.
    pub(crate) password_file: Option<PathBuf>,
    /// For how long a certificate is good.
    pub(crate) certificate_life_s: u64,
}

/// Where it is decided who joins.
#[derive(Debug)]
pub(crate) struct Office {
    store: Store,
    told: Told,
    logins: Logins,
    /// The center's own public keys, and the folder with those that gateways trust beside them.
    keys: [(KeyPurpose, TrustedKey); 2],
    trust_folder: PathBuf,
    gate: std::sync::Arc<Gate>,
    /// One at a time writes the file of passwords.
    writing: Mutex<()>,
}

/// The customer of a gateway, on whom the caller may do this. One that is not known yet will be of `main`.
async fn customer_of(
    transaction: &mut Transaction,
    caller: &Caller,
    eui: Eui,
    action: Action,
) -> Result<CustomerId, OrderError> {
    let known = gateways::find(transaction, eui).await?;
    let customer = known.map_or(CustomerId::MAIN, |row| row.customer_id);
    if !caller.sees(&customer) {
        return Err(no_gateway(eui));
    }
    caller.require(action, &customer)?;
    Ok(customer)
}

/// A request that is not granted.
pub(super) type Refused = EnrolProblem;

fn refuse(reason: EnrolReason, detail: &str) -> Refused {
    EnrolProblem { reason, detail: detail.to_owned() }
}

impl Office {
    /// An office of this center.
    pub(crate) fn new(
        store: Store,
        told: Told,
        logins: Logins,
        keys: [(KeyPurpose, TrustedKey); 2],
        trust_folder: PathBuf,
        gate: std::sync::Arc<Gate>,
    ) -> Self {
        Self { store, told, logins, keys, trust_folder, gate, writing: Mutex::new(()) }
    }

    /// Tells the broker whom it must not let in any more.
    pub(crate) async fn close_gate(&self, now: UnixSeconds) -> Result<(), StoreError> {
        let revoked = certificates::revoked(&mut *self.store.read().await?, now).await?;
        self.gate.revoke(revoked);
        Ok(())
    }

    /// Makes a line for each gateway; an earlier one that was not used is no longer good.
    pub(crate) async fn order(
        &self,
        caller: &Caller,
        order: &EnrolOrder,
        now: UnixSeconds,
    ) -> Result<Vec<EnrolmentLine>, OrderError> {
        let valid_s = order.valid_s.unwrap_or(DEFAULT_VALID_S);
        if !(1..=MAX_VALID_S).contains(&valid_s) {
            return Err(OrderError::Invalid("a token is valid for a second to 30 days".to_owned()));
        }
        if order.gateways.is_empty() || order.gateways.len() > MAX_GATEWAYS {
            return Err(OrderError::Invalid(format!("name 1 to {MAX_GATEWAYS} gateways")));
        }
        let expires_at_unix_s = now + valid_s;
        let mut transaction = self.store.begin().await?;
        let mut customers = Vec::new();
        for eui in &order.gateways {
            customers.push(customer_of(&mut transaction, caller, *eui, Action::Enrol).await?);
        }
        // Who may not is told so first.
        let way = self.way().map_err(OrderError::Conflict)?;
        enrolments::prune(&mut transaction, now.saturating_sub(KEEP_S)).await?;
        certificates::prune(&mut transaction, now.saturating_sub(KEEP_S)).await?;
        let mut lines = Vec::new();
        for (eui, customer) in order.gateways.iter().zip(customers) {
            let token = token().map_err(|_| OrderError::Unavailable("no random numbers".to_owned()))?;
            // From now on it is known: nobody else can declare it as his before it comes.
            gateways::ensure(&mut transaction, *eui, now).await?;
            enrolments::cancel(&mut transaction, *eui, now).await?;
            enrolments::insert(&mut transaction, &token.digest(), *eui, now, expires_at_unix_s).await?;
            let what = What::of(customer, format!("gateway {eui}"), "a line was made");
            audit(&mut transaction, caller, Action::Enrol, what).await?;
            let line = EnrolLine {
                eui: *eui,
                entrance: way.entrance.clone(),
                pin: way.pin,
                token,
                issued_at_unix_s: now,
            };
            lines.push(EnrolmentLine { eui: *eui, line: line.to_string(), expires_at_unix_s });
        }
        transaction.commit().await.map_err(StoreError::from)?;
        for line in &lines {
            tracing::info!(eui = %line.eui, expires_at_unix_s, "enrolment: a token was made");
        }
        Ok(lines)
    }

    /// The newest enrolments of the caller's customers.
    pub(crate) async fn list(
        &self,
        caller: &Caller,
        now: UnixSeconds,
    ) -> Result<Vec<EnrolmentView>, OrderError> {
        caller.require_somewhere(Action::Enrol)?;
        let visible = caller.where_may(Action::Enrol);
        let rows = enrolments::list(&mut *self.store.read().await?, &visible, MAX_LISTED).await?;
        Ok(rows.iter().map(|row| view(row, now)).collect())
    }

    /// Takes back what a gateway has not confirmed.
    pub(crate) async fn cancel(&self, caller: &Caller, eui: Eui, now: UnixSeconds) -> Result<(), OrderError> {
        let mut transaction = self.store.begin().await?;
        let customer = customer_of(&mut transaction, caller, eui, Action::Enrol).await?;
        let count = enrolments::cancel(&mut transaction, eui, now).await?;
        let what = What::of(customer, format!("gateway {eui}"), format!("{count} lines taken back"));
        audit(&mut transaction, caller, Action::Enrol, what).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        if count == 0 {
            return Err(OrderError::NotFound(format!("no enrolment of {eui} is pending")));
        }
        tracing::info!(%eui, "enrolment: its token was taken back");
        Ok(())
    }

    /// Locks a gateway out: its tokens, its certificates, its password; and ends its connection.
    pub(crate) async fn lock_out(
        &self,
        caller: &Caller,
        eui: Eui,
        now: UnixSeconds,
    ) -> Result<LockedOut, OrderError> {
        let mut transaction = self.store.begin().await?;
        let customer = customer_of(&mut transaction, caller, eui, Action::LockOut).await?;
        let what = What::of(customer, format!("gateway {eui}"), "locked out");
        audit(&mut transaction, caller, Action::LockOut, what).await?;
        let tokens = enrolments::cancel(&mut transaction, eui, now).await?;
        let certificates = certificates::revoke(&mut transaction, eui, now).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.close_gate(now).await?;
        let password = match &self.logins.password_file {
            Some(file) => {
                let _writing = self.writing.lock();
                passwords::remove(file, eui).map_err(|error| OrderError::Unavailable(format!("{error:#}")))?
            }
            None => false,
        };
        let was_connected = self.gate.end(eui);
        tracing::warn!(%eui, tokens, certificates, password, was_connected, "a gateway was locked out");
        Ok(LockedOut { eui, tokens, certificates, password, was_connected })
    }

    /// Gives a gateway what it needs. The token stays good until it confirms, for this key alone.
    pub(super) async fn issue(
        &self,
        ask: &IssueRequest,
        now: UnixSeconds,
    ) -> anyhow::Result<Result<Issued, Refused>> {
        let way = match self.way() {
            Ok(way) => way,
            Err(why) => return Ok(Err(refuse(EnrolReason::NotPossible, &why))),
        };
        let (token, request) = match read(&ask.token, &ask.request, ask.eui) {
            Ok(read) => read,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut transaction = self.store.begin().await?;
        let row = enrolments::find(&mut transaction, &token.digest()).await?;
        let key = hex(&request.point);
        let row = match judge(row, ask.eui, now).and_then(|row| with_key(row, &key)) {
            Ok(row) => row,
            Err(refused) => return Ok(Err(refused)),
        };
        if !enrolments::asked(&mut transaction, &row.token_digest, &key).await? {
            return Ok(Err(other_key(ask.eui)));
        }
        let login = match &self.logins.authority {
            Some(authority) => {
                let made = self.certificate(&mut transaction, authority, ask.eui, &request, now).await?;
                match made {
                    Ok(certificate) => Login::Certificate { certificate },
                    Err(refused) => return Ok(Err(refused)),
                }
            }
            None => Login::Password { password: self.password(ask.eui)? },
        };
        transaction.commit().await?;
        tracing::info!(eui = %ask.eui, ?login, "enrolment: a gateway was given its log-in");
        Ok(Ok(Issued {
            eui: ask.eui,
            time_unix_s: now,
            broker: way.broker.clone(),
            topic_prefix: self.told.topic_prefix.clone(),
            authorities: way.authorities.clone(),
            login,
            command_keys: self.trusted(KeyPurpose::Command),
            statement_keys: self.trusted(KeyPurpose::Statement),
        }))
    }

    /// The gateway has tried and written all: the token is used up, and other passwords than the last are no longer good.
    pub(super) async fn confirm(
        &self,
        ask: &ConfirmRequest,
        now: UnixSeconds,
    ) -> anyhow::Result<Result<(), Refused>> {
        let Ok(token) = ask.token.parse::<EnrolToken>() else {
            return Ok(Err(refuse(EnrolReason::BadRequest, "there is no token in it")));
        };
        let mut transaction = self.store.begin().await?;
        let row = enrolments::find(&mut transaction, &token.digest()).await?;
        let Some(row) = row.filter(|row| may_confirm(row, ask.eui)) else {
            return Ok(Err(unknown_token()));
        };
        if row.confirmed_at.is_some() {
            return Ok(Ok(()));
        }
        enrolments::confirm(&mut transaction, &row.token_digest, now).await?;
        transaction.commit().await?;
        if let (None, Some(file)) = (&self.logins.authority, &self.logins.password_file) {
            let _writing = self.writing.lock();
            passwords::keep_newest(file, ask.eui)?;
        }
        tracing::info!(eui = %ask.eui, "enrolment: the gateway has confirmed");
        Ok(Ok(()))
    }

    /// The next certificate, for a request that the key of the last one has signed.
    pub(super) async fn renew(
        &self,
        ask: &RenewRequest,
        now: UnixSeconds,
    ) -> anyhow::Result<Result<Renewed, Refused>> {
        let Some(authority) = &self.logins.authority else {
            return Ok(Err(refuse(EnrolReason::NotPossible, "this center gives no certificates")));
        };
        let (der, signature) = (STANDARD.decode(&ask.request), STANDARD.decode(&ask.signature));
        let (Ok(der), Ok(signature)) = (der, signature) else {
            return Ok(Err(refuse(EnrolReason::BadRequest, "it is not base 64")));
        };
        let Some(request) = request_of(&der, ask.eui) else { return Ok(Err(bad_request())) };
        let mut transaction = self.store.begin().await?;
        let old = certificates::find(&mut transaction, &ask.serial).await?;
        let Some(old) = old.filter(|old| old.eui == ask.eui && old.revoked_at.is_none()) else {
            return Ok(Err(unknown_certificate()));
        };
        let point = unhex(&old.request_key).context("a key in the database is damaged")?;
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, point);
        if key.verify(&renewal_message(&ask.serial, &der), &signature).is_err() {
            return Ok(Err(unknown_certificate()));
        }
        if now > old.expires_at + GRACE_S {
            let detail = "the certificate expired too long ago: enrol this gateway anew";
            return Ok(Err(refuse(EnrolReason::CertificateExpired, detail)));
        }
        let made = self.certificate(&mut transaction, authority, ask.eui, &request, now).await?;
        transaction.commit().await?;
        Ok(made.map(|certificate| {
            tracing::info!(eui = %ask.eui, old_serial = ask.serial, "a gateway's certificate was renewed");
            Renewed { certificate }
        }))
    }

    fn way(&self) -> Result<&Way, String> {
        let way = self.told.way.as_ref().map_err(Clone::clone)?;
        if self.logins.authority.is_none() && self.logins.password_file.is_none() {
            return Err(
                "this center cannot give log-ins for its broker: make an authority with `keros-center ca \
                        create`, let the broker trust it, and start the center anew"
                    .to_owned(),
            );
        }
        Ok(way)
    }

    /// The same certificate again for the same key.
    async fn certificate(
        &self,
        transaction: &mut Transaction,
        authority: &Authority,
        eui: Eui,
        request: &CertificateRequest,
        now: UnixSeconds,
    ) -> anyhow::Result<Result<String, Refused>> {
        let request_key = hex(&request.point);
        let good = certificates::of(transaction, eui, now).await?;
        if let Some(same) = good.iter().find(|row| row.request_key == request_key) {
            return Ok(Ok(same.pem.clone()));
        }
        if good.len() >= MAX_CERTIFICATES {
            let detail = format!(
                "{eui} has {MAX_CERTIFICATES} certificates that are still good: `keros-center enroll revoke {eui}` revokes them"
            );
            return Ok(Err(refuse(EnrolReason::TooMany, &detail)));
        }
        let life_s = self.logins.certificate_life_s;
        let made = authority.issue(eui, request, now, life_s)?;
        let row = CertificateRow {
            serial: made.serial,
            eui,
            request_key,
            created_at: now,
            expires_at: now + life_s,
            revoked_at: None,
            pem: made.pem,
        };
        certificates::insert(transaction, &row).await?;
        Ok(Ok(row.pem))
    }

    fn password(&self, eui: Eui) -> anyhow::Result<String> {
        let file = self.logins.password_file.as_deref().context("this center has no passwords")?;
        let _writing = self.writing.lock();
        passwords::add_password(file, eui)
    }

    /// The center's own key, then those in the trust folder: both are good during a switch.
    fn trusted(&self, purpose: KeyPurpose) -> Vec<String> {
        let own = self.keys.iter().filter(|(of, _)| *of == purpose).map(|(_, key)| key.clone());
        let mut keys: Vec<TrustedKey> = own.collect();
        let begin = format!("{}-", purpose.as_str());
        for entry in std::fs::read_dir(&self.trust_folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.starts_with(&begin) && name.ends_with(".pem") {
                let text = std::fs::read_to_string(entry.path()).unwrap_or_default();
                match TrustedKey::from_pem(&text) {
                    Ok(key) if !keys.contains(&key) => keys.push(key),
                    Ok(_) => {}
                    Err(error) => {
                        tracing::warn!(file = name, %error, "a key in the trust folder is left out")
                    }
                }
            }
        }
        keys.truncate(MAX_KEYS);
        keys.iter().map(TrustedKey::to_pem).collect()
    }
}

fn token() -> Result<EnrolToken, ring::error::Unspecified> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes)?;
    Ok(EnrolToken::from_bytes(bytes))
}

fn view(row: &EnrolmentRow, now: UnixSeconds) -> EnrolmentView {
    let state = match row {
        EnrolmentRow { confirmed_at: Some(_), .. } => EnrolmentState::Confirmed,
        EnrolmentRow { cancelled_at: Some(_), .. } => EnrolmentState::Cancelled,
        row if row.expires_at <= now => EnrolmentState::Expired,
        row if row.issued_count > 0 => EnrolmentState::Issued,
        _ => EnrolmentState::Pending,
    };
    EnrolmentView {
        eui: row.eui,
        state,
        created_at_unix_s: row.created_at,
        expires_at_unix_s: row.expires_at,
        confirmed_at_unix_s: row.confirmed_at,
    }
}

fn read(token: &str, request: &str, eui: Eui) -> Result<(EnrolToken, CertificateRequest), Refused> {
    let token = token.parse().map_err(|detail| refuse(EnrolReason::BadRequest, detail))?;
    let der = STANDARD.decode(request).map_err(|_| bad_request())?;
    Ok((token, request_of(&der, eui).ok_or_else(bad_request)?))
}

fn request_of(der: &[u8], eui: Eui) -> Option<CertificateRequest> {
    CertificateRequest::verified(der).filter(|request| request.common_name == eui.to_string())
}

fn bad_request() -> Refused {
    let detail = "it has no certificate request for this EUI by a key on P-256";
    refuse(EnrolReason::BadRequest, detail)
}

fn unknown_token() -> Refused {
    refuse(EnrolReason::UnknownToken, "the center does not know this token, or it was taken back or replaced")
}

/// It may be a gateway whose disk was exchanged, or somebody who has read the line, and has a log-in now.
fn other_key(eui: Eui) -> Refused {
    let detail = format!(
        "another key has asked with this token before; if that was not this gateway, somebody else has its log-in: \
         `keros-center enroll revoke {eui}` takes it back"
    );
    refuse(EnrolReason::OtherKey, &detail)
}

fn unknown_certificate() -> Refused {
    let detail =
        "no certificate of this center has this number and key, or it was revoked: enrol this gateway anew";
    refuse(EnrolReason::UnknownCertificate, detail)
}

/// A token that was taken back is none any more, though it was asked with; a late word of a gateway is heard.
fn may_confirm(row: &EnrolmentRow, eui: Eui) -> bool {
    row.eui == eui && row.issued_count > 0 && row.cancelled_at.is_none()
}

/// Whether a token is still good for this gateway.
fn judge(row: Option<EnrolmentRow>, eui: Eui, now: UnixSeconds) -> Result<EnrolmentRow, Refused> {
    let Some(row) = row.filter(|row| row.cancelled_at.is_none()) else { return Err(unknown_token()) };
    if row.eui != eui {
        return Err(refuse(EnrolReason::OtherGateway, "the token is for another gateway"));
    }
    if row.confirmed_at.is_some() {
        return Err(refuse(EnrolReason::Used, "the token was used already"));
    }
    if row.expires_at <= now {
        return Err(refuse(EnrolReason::Expired, "the time of this token is over"));
    }
    if row.issued_count >= MAX_ISSUED {
        return Err(refuse(EnrolReason::TooMany, "this token was tried too often"));
    }
    Ok(row)
}

fn with_key(row: EnrolmentRow, key: &str) -> Result<EnrolmentRow, Refused> {
    match &row.request_key {
        Some(first) if first != key => Err(other_key(row.eui)),
        _ => Ok(row),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let pair = |at: usize| u8::from_str_radix(text.get(at..at + 2)?, 16).ok();
    (0..text.len()).step_by(2).map(pair).collect()
}
