//! Joins a center. Every step can be cut off and taken again.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use keros_machine::TimeJudge;
use keros_platform::Identity;
use keros_protocol::enroll::{ConfirmRequest, EnrolLine, EnrolReason, IssueRequest, Issued, Login, paths};
use keros_protocol::{Eui, Outcome};

use super::ask::Center;
use super::error::EnrolError;
use super::files::{self, DROP_IN, Enrolled, Generation};
use super::key::{self, Key};
use super::place::Place;
use super::{service, trial};
use crate::clock::{BUILT_AT_UNIX_S, Clock, SharedTime};
use crate::config::{self, BrokerSettings, Loaded};
use crate::local::{Client, JobsView};

/// How often the center is told that all is well here.
const CONFIRM_ATTEMPTS: u32 = 3;

/// What is asked for on the command line.
pub(crate) struct Wanted<'a> {
    /// The pasted line.
    pub(crate) line: EnrolLine,
    /// The configuration file; `None`: the one that the service uses.
    pub(crate) config: Option<&'a Path>,
    /// Whether what is in force may be replaced: asked when there is something.
    pub(crate) may_replace: &'a dyn Fn(&str) -> bool,
    /// The service is left as it is.
    pub(crate) no_restart: bool,
    /// Tells a person what goes on.
    pub(crate) tell: &'a dyn Fn(&str),
}

/// Does all of it.
///
/// # Errors
/// [`EnrolError`] says what to do; what was in force still is, unless it says otherwise.
pub(crate) fn enroll(wanted: &Wanted<'_>) -> Result<(), EnrolError> {
    let line = &wanted.line;
    let loaded = config::load(wanted.config);
    let settings = loaded.settings_so_far();
    own_eui(&loaded, line.eui)?;
    let place = Place::open(wanted.config, &settings.trust_folder)?;
    no_open_job(crate::local::socket_path(&settings.runtime_folder))?;
    let (key, is_resumed) = own_key(&place, line)?;
    if !is_resumed
        && let Some(what) = in_force(&place, &loaded)
        && !(wanted.may_replace)(&what)
    {
        return Err(EnrolError::AlreadyEnrolled(what));
    }
    let time = SharedTime::new(Clock::new(), TimeJudge::new(BUILT_AT_UNIX_S.max(line.issued_at_unix_s)));
    (wanted.tell)(&format!("Asking {} …", line.entrance));
    let center = Center::pinned(&line.entrance, line.pin, &time);
    let ask =
        IssueRequest { eui: line.eui, token: line.token.to_string(), request: key.request_text(line.eui)? };
    let issued: Issued = match center.post(paths::ISSUE, &ask) {
        Err(EnrolError::Refused(problem)) if problem.reason == EnrolReason::Used && is_ours(&place, line) => {
            (wanted.tell)("This gateway is enrolled with this line already.");
            return finish(wanted, &place, line);
        }
        answer => answer?,
    };
    issued.check(line.eui).map_err(|error| EnrolError::Answer(error.to_string()))?;
    fits(&issued, &key, line.eui)?;

    let files = Enrolled::new(line, &issued, &key);
    (wanted.tell)(&plan(&place, &issued));
    let generation = place.new_generation()?;
    let done = put_in_force(wanted, &place, &generation, &files, &time);
    if done.is_err() {
        place.drop_generation(&generation);
    }
    done?;
    match confirm(&center, line) {
        Ok(()) => {}
        Err(error) => {
            (wanted.tell)(&format!(
                "The new configuration is in force, but the center was not told ({error}). Run the same command again with the same line."
            ));
            return restart(wanted);
        }
    }
    finish(wanted, &place, line)?;
    place.keep_only_keys(&files.keys)?;
    Ok(())
}

/// Writes, tries, and puts in force.
fn put_in_force(
    wanted: &Wanted<'_>,
    place: &Place,
    generation: &Generation,
    files: &Enrolled,
    time: &SharedTime,
) -> Result<(), EnrolError> {
    files.write(place, generation)?;
    let drop_in = files.drop_in(generation);
    let broker = as_it_will_be(wanted.config, &place.drop_in(), &drop_in, files)?;
    (wanted.tell)(&format!("Trying {}:{} …", broker.host, broker.port));
    trial::prove(&broker, files.eui, time)?;
    (wanted.tell)("Connected, and may read its own topics.");
    for (purpose, pem) in &files.keys {
        place.add_key(*purpose, pem)?;
    }
    place.write(&place.drop_in(), drop_in.as_bytes(), 0o644, false)
}

/// The settings with the new file in its place: what else says something about the broker counts too.
fn as_it_will_be(
    config: Option<&Path>,
    drop_in: &Path,
    text: &str,
    files: &Enrolled,
) -> Result<BrokerSettings, EnrolError> {
    let loaded = config::load_as_if(config, drop_in, text);
    let wrong = |findings: Vec<config::Finding>| {
        EnrolError::Configuration(findings.first().map(ToString::to_string).unwrap_or_default())
    };
    let (settings, _) = loaded.for_daemon().map_err(wrong)?;
    let broker = settings.broker;
    let is_told =
        broker.host == files.broker.host() && broker.port == files.broker.port() && broker.tls.is_some();
    if is_told {
        return Ok(broker);
    }
    let detail = format!(
        "another file in config.d, read after {DROP_IN}, sets broker.host, broker.port or broker.tls: remove that from it"
    );
    Err(EnrolError::Configuration(detail))
}

fn own_eui(loaded: &Loaded, expected: Eui) -> Result<(), EnrolError> {
    let settings = loaded.settings_so_far();
    let environment_eui = std::env::var("EUI64").ok();
    let identity = Identity::read(&settings.platform_root, &settings.identity, environment_eui.as_deref());
    let own = identity.map_err(|error| EnrolError::Identity(error.to_string()))?.eui;
    if own == expected { Ok(()) } else { Err(EnrolError::OtherGateway { own, line: expected }) }
}

/// When a job is undone, the trusted keys go back to what they were before it: those of an enrolment meanwhile would be lost. An agent that
/// does not answer knows of none.
fn no_open_job(socket: PathBuf) -> Result<(), EnrolError> {
    let jobs: Option<JobsView> = Client::new(socket).get("/v1/jobs").ok();
    let open = jobs.map(|jobs| jobs.open_jobs).unwrap_or_default();
    // What only waits has changed nothing, and is refused when its turn comes: the keys are others then.
    let begun = open.iter().find(|job| !matches!(job.outcome, Outcome::Received {} | Outcome::Accepted {}));
    begun.map_or(Ok(()), |job| Err(EnrolError::OpenJob(job.command_id.to_string())))
}

/// The key of an earlier attempt with this line, or a new one, which is on the disk before anybody hears of it.
fn own_key(place: &Place, line: &EnrolLine) -> Result<(Key, bool), EnrolError> {
    let path = pending_key(place, line);
    if let Some(pem) = keros_platform::read_small(&path, key::MAX_FILE_BYTES)
        && let Some(key) = Key::from_pem(&pem)
    {
        return Ok((key, true));
    }
    let key = Key::make()?;
    place.write(&path, key.to_pem().as_bytes(), 0o600, false)?;
    Ok((key, false))
}

fn pending_key(place: &Place, line: &EnrolLine) -> PathBuf {
    let digest = line.token.digest();
    place.tls().join(format!("pending-{}.key", digest.get(..16).unwrap_or_default()))
}

/// What would be replaced, in words.
fn in_force(place: &Place, loaded: &Loaded) -> Option<String> {
    let broker = &loaded.settings_so_far().broker;
    if broker.host.is_empty() && !place.drop_in().exists() {
        return None;
    }
    Some(format!("this gateway has a center already: the broker {}:{}", broker.host, broker.port))
}

/// Whether what is in force came by this line.
fn is_ours(place: &Place, line: &EnrolLine) -> bool {
    place
        .current()
        .and_then(|generation| files::read_center(&generation))
        .is_some_and(|center| center.is_by(line))
}

/// A certificate must be for the key that was made here, and for this gateway.
fn fits(issued: &Issued, key: &Key, eui: Eui) -> Result<(), EnrolError> {
    match &issued.login {
        Login::Certificate { certificate } => trial::fits(certificate, key, eui).map(drop),
        Login::Password { .. } => Ok(()),
    }
}

/// What will be written, for a person.
fn plan(place: &Place, issued: &Issued) -> String {
    let mut text = format!("The center's broker is {}; this gateway logs in by ", issued.broker);
    let login = match issued.login {
        Login::Certificate { .. } => "certificate. Its key was made here.\n",
        Login::Password { .. } => "password.\n",
    };
    text.push_str(login);
    let _ = writeln!(text, "To be written, once the connection is tried:");
    let _ = writeln!(text, "  {}", place.drop_in().display());
    let _ = writeln!(
        text,
        "  {}/e…/  authorities, log-in (root and group keros-agent alone)",
        place.tls().display()
    );
    let _ = write!(
        text,
        "  {}/  {} keys that may order jobs, {} that may make statements",
        place.trust().display(),
        issued.command_keys.len(),
        issued.statement_keys.len()
    );
    text
}

fn confirm(center: &Center, line: &EnrolLine) -> Result<(), EnrolError> {
    let ask = ConfirmRequest { eui: line.eui, token: line.token.to_string() };
    let mut last = Ok(());
    for _ in 0..CONFIRM_ATTEMPTS {
        last = center.post::<_, ()>(paths::CONFIRM, &ask);
        if last.is_ok() {
            break;
        }
    }
    last
}

/// The center knows: nothing of the attempt is needed any more.
fn finish(wanted: &Wanted<'_>, place: &Place, line: &EnrolLine) -> Result<(), EnrolError> {
    place.remove(&pending_key(place, line))?;
    restart(wanted)?;
    (wanted.tell)("Enrolled. See: keros-agent status");
    Ok(())
}

fn restart(wanted: &Wanted<'_>) -> Result<(), EnrolError> {
    if wanted.no_restart || wanted.config.is_some() {
        (wanted.tell)("The agent takes the new configuration when it is started anew.");
        return Ok(());
    }
    service::restart(wanted.tell)
}
