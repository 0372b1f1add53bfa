//! The steps by name, what can go wrong with each, and what to do about it.

use serde::Serialize;

use crate::config::BrokerSettings;

/// One step of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    /// From the host's name to its addresses.
    Name,
    /// A TCP connection to one of them.
    Tcp,
    /// The TLS hand-shake.
    Tls,
    /// MQTT CONNECT.
    LogIn,
    /// Subscribing to the topic on which the center speaks to this gateway.
    Topic,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct StepResult {
    pub(crate) step: Step,
    #[serde(flatten)]
    pub(crate) outcome: StepOutcome,
}

/// What became of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "detail", rename_all = "snake_case")]
pub(crate) enum StepOutcome {
    /// It worked; what was seen.
    Passed(String),
    /// It did not.
    Failed(Trouble),
    /// It was not tried, why.
    NotTried(String),
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Trouble {
    /// By name.
    pub(crate) kind: TroubleKind,
    /// The underlying error, in its own words.
    pub(crate) error: String,
}

impl Trouble {
    pub(crate) fn new(kind: TroubleKind, error: impl Into<String>) -> Self {
        Self { kind, error: error.into() }
    }
}

/// What can be wrong, by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum TroubleKind {
    /// The name servers know no such name.
    NameUnknown,
    /// No name server answers, or there is none.
    NameServers,
    /// There is no way to the address.
    NoRoute,
    /// The machine is there, and nobody listens on that port.
    Refused,
    /// Nothing came back in time.
    NoAnswer,
    /// This machine does not allow to connect there.
    Forbidden,
    /// A PEM file of this gateway cannot be used.
    TlsFiles,
    /// This user may not read a file that the agent can read.
    Unreadable,
    /// The broker's certificate is signed by an authority that is not in `ca_file`.
    UnknownAuthority,
    /// The broker's certificate is for another name.
    WrongName,
    /// The broker's certificate has expired, by the judged time.
    Expired,
    /// The broker's certificate is not valid yet, by the judged time.
    NotValidYet,
    /// The broker's certificate is bad otherwise.
    BadCertificate,
    /// The broker wants a client certificate, and none is set.
    ClientCertificateWanted,
    /// The broker does not believe the client certificate.
    ClientCertificateRefused,
    /// The client certificate has expired, by the broker's clock.
    ClientCertificateExpired,
    /// Whatever answers does not speak TLS.
    NotTls,
    /// TLS failed otherwise.
    TlsFailed,
    /// The password file cannot be read.
    PasswordFile,
    /// The broker says that the password is wrong.
    WrongPassword,
    /// The broker does not let this gateway in. Brokers do not say whether they do not know it, or its password is wrong.
    NotAuthorised,
    /// The broker does not take this client identifier.
    ClientId,
    /// Whatever answers does not speak MQTT 5.
    OtherProtocol,
    /// The broker ended the connection without a word.
    Closed,
    /// The broker takes nobody in now.
    Busy,
    /// The broker refuses for another reason.
    LogInRefused,
    /// The broker does not let this gateway hear its own topic.
    TopicRefused,
    /// Something on this machine that has nothing to do with the broker.
    Machine,
}

impl TroubleKind {
    /// What is wrong, in a sentence without its end.
    pub(crate) fn says(self, broker: &BrokerSettings) -> String {
        let (host, port) = (&broker.host, broker.port);
        match self {
            Self::NameUnknown => format!("the name {host} is not known"),
            Self::NameServers => format!("no name server answers, so {host} cannot be found"),
            Self::NoRoute => format!("there is no way to {host}: the network of this gateway is down"),
            Self::Refused => format!("{host} is there, but nobody listens on port {port}"),
            Self::NoAnswer => format!("no answer from {host}, port {port}"),
            Self::Forbidden => format!("this gateway does not allow to connect to {host}, port {port}"),
            Self::TlsFiles => "a file with certificates or a key cannot be used".to_owned(),
            Self::Unreadable => "this user may not read a file that the agent reads".to_owned(),
            Self::UnknownAuthority => {
                format!("the certificate of {host} is not signed by an authority that this gateway trusts")
            }
            Self::WrongName => format!("the certificate that the broker shows is not for the name {host}"),
            Self::Expired => format!("the certificate of {host} has expired"),
            Self::NotValidYet => format!("the certificate of {host} is not valid yet"),
            Self::BadCertificate => format!("the certificate of {host} cannot be used"),
            Self::ClientCertificateWanted => {
                "the broker wants a certificate of this gateway, and none is set".to_owned()
            }
            Self::ClientCertificateRefused => {
                "the broker does not believe this gateway's certificate".to_owned()
            }
            Self::ClientCertificateExpired => "this gateway's certificate has expired".to_owned(),
            Self::NotTls => format!("what answers on port {port} does not speak TLS"),
            Self::TlsFailed => format!("no TLS with {host}, port {port}"),
            Self::PasswordFile => "the password file cannot be read".to_owned(),
            Self::WrongPassword => "the broker says that user name or password is wrong".to_owned(),
            Self::NotAuthorised => {
                "the broker does not let this gateway in: it does not know it, or its password is wrong"
                    .to_owned()
            }
            Self::ClientId => "the broker does not take this client identifier".to_owned(),
            Self::OtherProtocol => format!("what answers on port {port} does not speak MQTT 5"),
            Self::Closed => "the broker ended the connection without a word".to_owned(),
            Self::Busy => "the broker takes nobody in at this moment".to_owned(),
            Self::LogInRefused => "the broker refuses the log-in".to_owned(),
            Self::TopicRefused => {
                "the broker does not let this gateway hear its own topic, so no command can come".to_owned()
            }
            Self::Machine => "something on this gateway keeps it from trying".to_owned(),
        }
    }

    /// What to do, where the files of `broker` are named.
    pub(crate) fn advice(self, broker: &BrokerSettings, eui: &str) -> String {
        let (host, port) = (&broker.host, broker.port);
        let ca = broker.tls.as_ref().map(|tls| tls.ca_file.display().to_string()).unwrap_or_default();
        match self {
            Self::NameUnknown => format!(
                "correct `broker.host` in the configuration, then: sudo systemctl restart keros-agent; or have the \
                 name {host} entered at the name server"
            ),
            Self::NameServers => {
                "is the network up? See: ip address; cat /etc/resolv.conf. A line `nameserver \
                 ADDRESS` there must name a server that this gateway can reach"
                    .to_owned()
            }
            Self::NoRoute => {
                "plug in the cable, or see to Wi-Fi, SIM card and APN. See: ip address; ip route. There \
                 must be an address, and a line that begins with `default`"
                    .to_owned()
            }
            Self::Refused => format!(
                "is `broker.port` {port} right? At the center: is the broker running, and does it listen on this port?"
            ),
            Self::NoAnswer => format!(
                "a firewall may be in the way: on this gateway, in its network, or at the center. Try with another \
                 link: nc -vz {host} {port}"
            ),
            Self::Forbidden => format!(
                "let TCP out to port {port} in /etc/iptables/iptables.d, then: sudo systemctl restart iptables"
            ),
            Self::TlsFiles => {
                "put a good file in its place, or name another one under `broker.tls`; enrol anew: sudo \
                 keros-agent enroll"
                    .to_owned()
            }
            Self::Unreadable => "run with sudo".to_owned(),
            Self::UnknownAuthority => format!(
                "put the certificate of the authority that signed the broker's into {ca}; compare with the center's: \
                 openssl x509 -noout -fingerprint -sha256 -in {ca}. If nobody at the center knows of a change, do not \
                 trust this network"
            ),
            Self::WrongName => format!(
                "set `broker.host` to a name that is in the broker's certificate, or have {host} entered into it at \
                 the center"
            ),
            Self::Expired => {
                "renew the broker's certificate at the center. If it is good there, this gateway's clock \
                 is wrong: see the line `clock`"
                    .to_owned()
            }
            Self::NotValidYet => {
                "this gateway's clock is behind, or the center's was ahead: see the line `clock`, and \
                 compare with: date -u"
                    .to_owned()
            }
            Self::BadCertificate => "have the center make a new certificate for its broker".to_owned(),
            Self::ClientCertificateWanted => "enrol this gateway (sudo keros-agent enroll), or set \
                 `broker.tls.client_cert_file` and `broker.tls.client_key_file`"
                .to_owned(),
            Self::ClientCertificateRefused => format!(
                "have the center sign a certificate for {eui} with the authority that its broker trusts; enrol anew: \
                 sudo keros-agent enroll"
            ),
            Self::ClientCertificateExpired => {
                "enrol this gateway anew: sudo keros-agent enroll. Is the center's clock right?".to_owned()
            }
            Self::NotTls => format!(
                "is `broker.port` {port} the broker's TLS port? It is usually 8883. Without TLS: take `broker.tls` out \
                 of the configuration"
            ),
            Self::TlsFailed => format!("at the center: see the broker's log for {eui} at this moment"),
            Self::PasswordFile => {
                let file = broker.password_file.as_ref().map(|file| file.display().to_string());
                format!(
                    "write the password that `keros-center broker-user add {eui}` prints into {}, then: sudo chown \
                     root:keros-agent and sudo chmod 640 that file",
                    file.unwrap_or_default()
                )
            }
            Self::WrongPassword | Self::NotAuthorised => not_authorised(broker, eui),
            Self::ClientId => format!("the broker must allow a client identifier that contains {eui}"),
            Self::OtherProtocol => format!(
                "is `broker.port` {port} the port of an MQTT 5 broker? A TLS port needs `broker.tls.ca_file`"
            ),
            Self::Closed if broker.tls.is_none() => format!(
                "a TLS port hangs up on who does not speak TLS: if {port} is one, set `broker.tls.ca_file`. Otherwise see \
                 the broker's log for {eui} at this moment"
            ),
            Self::Closed | Self::Busy | Self::LogInRefused => {
                format!("at the center: see the broker's log for {eui} at this moment; try again in a minute")
            }
            Self::TopicRefused => format!(
                "the broker takes this gateway for another one, or its access list lacks it: at the center, compare \
                 {eui} with the name in its certificate or account, and `broker.topic_prefix` with the center's"
            ),
            Self::Machine => "restart the gateway if it stays so".to_owned(),
        }
    }
}

/// By password or by certificate: both are given at the center.
fn not_authorised(broker: &BrokerSettings, eui: &str) -> String {
    match &broker.password_file {
        Some(file) => format!(
            "at the center: keros-center broker-user add {eui}. Write the password that it prints into {} here, as its \
             first line; the agent reads it at its next attempt",
            file.display()
        ),
        None if broker.tls.as_ref().is_some_and(|tls| tls.client.is_some()) => format!(
            "the certificate must have {eui} as its common name, and the center must know this gateway; enrol anew: \
             sudo keros-agent enroll"
        ),
        None => format!(
            "no log-in is set: at the center, keros-center broker-user add {eui}; here, name a file with the password \
             that it prints as `broker.password_file`"
        ),
    }
}
