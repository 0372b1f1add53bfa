//! Goes through the steps; each has what is left of its own limit and of the whole.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rumqttc::tokio_rustls::TlsConnector;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout_at};

use super::{Login, Step, StepOutcome, StepResult, Target, Trouble, TroubleKind, judge, login};
use crate::config::TlsSettings;
use crate::tls;

/// A name server is asked twice, 5 s each, by most C libraries.
const NAME_LIMIT: Duration = Duration::from_secs(8);
/// Three SYN packets: at 0, 1 and 3 s.
const TCP_LIMIT: Duration = Duration::from_secs(6);
/// Two round trips; a slow cellular link needs a second for each.
const TLS_LIMIT: Duration = Duration::from_secs(8);
const LOG_IN_LIMIT: Duration = Duration::from_secs(6);
/// Addresses of one name that are tried.
const MAX_ADDRESSES: usize = 4;

const ALL: [Step; 5] = [Step::Name, Step::Tcp, Step::Tls, Step::LogIn, Step::Topic];

/// All steps, each with its result.
pub(super) async fn walk(target: &Target<'_>, limit: Duration) -> Vec<StepResult> {
    let end = Instant::now() + limit;
    let results = Walk { target, end, attempt: 0, results: Vec::new() }.go().await;
    let by_time = super::failure(&results)
        .is_some_and(|(_, trouble)| matches!(trouble.kind, TroubleKind::Expired | TroubleKind::NotValidYet));
    // A clock that is far ahead is believed in every other attempt of the daemon.
    if by_time && target.time.for_certificates(0) != target.time.for_certificates(1) {
        return Walk { target, end, attempt: 1, results: Vec::new() }.go().await;
    }
    results
}

struct Walk<'a> {
    target: &'a Target<'a>,
    end: Instant,
    attempt: u64,
    results: Vec<StepResult>,
}

impl Walk<'_> {
    async fn go(mut self) -> Vec<StepResult> {
        if let Err((step, trouble)) = self.steps().await {
            // With TLS 1.3 the broker's verdict on our certificate comes after the hand-shake.
            self.results.retain(|result| result.step != step);
            self.results.push(StepResult { step, outcome: StepOutcome::Failed(trouble) });
            for later in ALL.into_iter().skip_while(|later| *later != step).skip(1) {
                self.not_tried(later, "an earlier step failed");
            }
        }
        self.results
    }

    fn passed(&mut self, step: Step, text: impl Into<String>) {
        self.results.push(StepResult { step, outcome: StepOutcome::Passed(text.into()) });
    }

    fn not_tried(&mut self, step: Step, why: &str) {
        self.results.push(StepResult { step, outcome: StepOutcome::NotTried(why.to_owned()) });
    }

    fn until(&self, limit: Duration) -> Instant {
        self.end.min(Instant::now() + limit)
    }

    async fn steps(&mut self) -> Result<(), (Step, Trouble)> {
        let broker = self.target.broker;
        let addresses = self.resolve().await.map_err(|trouble| (Step::Name, trouble))?;
        let (stream, address) = self.connect(&addresses).await.map_err(|trouble| (Step::Tcp, trouble))?;
        self.passed(Step::Tcp, format!("connected to {address}"));
        match &broker.tls {
            None => {
                self.not_tried(Step::Tls, "the configuration has no `broker.tls`");
                self.log_in(stream).await
            }
            Some(settings) => {
                let until = self.until(TLS_LIMIT);
                let stream = self.secure(settings, stream, until).await.map_err(|t| (Step::Tls, t))?;
                let (_, session) = stream.get_ref();
                let version = session.protocol_version().map_or_else(String::new, |v| format!("{v:?}"));
                let kind = if settings.client.is_some() { "mutual " } else { "" };
                self.passed(Step::Tls, format!("{kind}{}", version.replace("TLSv1_", "TLS 1.")));
                self.log_in(stream).await
            }
        }
    }

    async fn resolve(&mut self) -> Result<Vec<SocketAddr>, Trouble> {
        let (host, port) = (&self.target.broker.host, self.target.broker.port);
        if let Ok(address) = host.parse::<IpAddr>() {
            self.passed(Step::Name, "`broker.host` is an address");
            return Ok(vec![SocketAddr::from((address, port))]);
        }
        let looked_up = tokio::net::lookup_host((host.as_str(), port));
        let found = timeout_at(self.until(NAME_LIMIT), looked_up).await;
        let found = found.map_err(|_| Trouble::new(TroubleKind::NameServers, "no answer in time"))?;
        let found: Vec<_> = found.map_err(|error| judge::name(&error))?.take(MAX_ADDRESSES).collect();
        if found.is_empty() {
            return Err(Trouble::new(TroubleKind::NameUnknown, "the name has no address"));
        }
        let texts: Vec<_> = found.iter().map(|address| address.ip().to_string()).collect();
        self.passed(Step::Name, format!("{host} is {}", texts.join(", ")));
        Ok(found)
    }

    /// The first address that answers; the last one's error, where none does.
    async fn connect(&self, addresses: &[SocketAddr]) -> Result<(TcpStream, SocketAddr), Trouble> {
        let mut trouble = Trouble::new(TroubleKind::NoAnswer, "no answer in time");
        let limit = TCP_LIMIT / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        for address in addresses {
            match timeout_at(self.until(limit.max(TCP_LIMIT / 2)), TcpStream::connect(address)).await {
                Ok(Ok(stream)) => return Ok((stream, *address)),
                Ok(Err(error)) => trouble = judge::tcp(&error),
                Err(_) => trouble = Trouble::new(TroubleKind::NoAnswer, "no answer in time"),
            }
        }
        Err(trouble)
    }

    async fn secure(
        &self,
        settings: &TlsSettings,
        stream: TcpStream,
        until: Instant,
    ) -> Result<rumqttc::tokio_rustls::client::TlsStream<TcpStream>, Trouble> {
        let config = tls::client_config(settings, self.target.time, self.attempt);
        let config = config.map_err(|error| judge::tls_files(&error))?;
        let name = ServerName::try_from(self.target.broker.host.clone());
        let name = name.map_err(|error| Trouble::new(TroubleKind::WrongName, error.to_string()))?;
        let shaken = timeout_at(until, TlsConnector::from(Arc::new(config)).connect(name, stream)).await;
        let shaken = shaken.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        shaken.map_err(|error| judge::tls(&error, settings))
    }

    async fn log_in(&mut self, stream: impl login::Stream) -> Result<(), (Step, Trouble)> {
        if self.target.login == Login::No {
            self.not_tried(Step::LogIn, "the agent is logged in");
            self.not_tried(Step::Topic, "the agent is logged in");
            return Ok(());
        }
        let until = self.until(LOG_IN_LIMIT);
        let mut session = login::log_in(self.target, stream, until).await?;
        self.passed(Step::LogIn, "the broker lets this gateway in");
        let until = self.until(LOG_IN_LIMIT);
        session.subscribe(until).await.map_err(|trouble| (Step::Topic, trouble))?;
        self.passed(Step::Topic, format!("{} can be heard", session.topic()));
        session.leave(until).await;
        Ok(())
    }
}
