//! From errors to their names.

use std::error::Error as _;
use std::io::{self, ErrorKind};

use rumqttc::v5::mqttbytes::v5::ConnectReturnCode;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use super::{Trouble, TroubleKind};
use crate::config::TlsSettings;
use crate::mqtt::chain;
use crate::tls::TlsError;

/// The C libraries have no error kinds: glibc's and musl's words for `EAI_AGAIN` and `EAI_FAIL`.
const SERVERS_FAIL: [&str; 3] = ["emporary failure", "Try again", "on-recoverable"];

pub(super) fn name(error: &io::Error) -> Trouble {
    let text = chain(error);
    let is_server = SERVERS_FAIL.iter().any(|words| text.contains(words));
    let kind = if is_server { TroubleKind::NameServers } else { TroubleKind::NameUnknown };
    Trouble::new(kind, text)
}

pub(super) fn tcp(error: &io::Error) -> Trouble {
    let kind = match error.kind() {
        ErrorKind::ConnectionRefused => TroubleKind::Refused,
        ErrorKind::NetworkUnreachable | ErrorKind::NetworkDown | ErrorKind::HostUnreachable => {
            TroubleKind::NoRoute
        }
        ErrorKind::AddrNotAvailable => TroubleKind::NoRoute,
        ErrorKind::PermissionDenied => TroubleKind::Forbidden,
        _ => TroubleKind::NoAnswer,
    };
    Trouble::new(kind, chain(error))
}

/// Our own certificates and key.
pub(super) fn tls_files(error: &TlsError) -> Trouble {
    let is_denied = |error: &io::Error| error.kind() == ErrorKind::PermissionDenied;
    let denied = match error {
        TlsError::Pem(_, rustls::pki_types::pem::Error::Io(error)) => is_denied(error),
        _ => false,
    };
    Trouble::new(if denied { TroubleKind::Unreadable } else { TroubleKind::TlsFiles }, chain(error))
}

pub(super) fn tls(error: &io::Error, settings: &TlsSettings) -> Trouble {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let kind = match inner {
        Some(error) => of_rustls(error, settings),
        None if error.kind() == ErrorKind::TimedOut => TroubleKind::NoAnswer,
        // A plain broker takes the first message for a broken CONNECT, and hangs up.
        None if error.source().is_none() => TroubleKind::NotTls,
        None => TroubleKind::TlsFailed,
    };
    Trouble::new(kind, chain(error))
}

fn of_rustls(error: &Error, settings: &TlsSettings) -> TroubleKind {
    match error {
        Error::InvalidCertificate(certificate) => of_certificate(certificate),
        Error::AlertReceived(alert) => of_alert(*alert, settings.client.is_some()),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
        ) => TroubleKind::NotTls,
        _ => TroubleKind::TlsFailed,
    }
}

fn of_certificate(error: &CertificateError) -> TroubleKind {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => TroubleKind::UnknownAuthority,
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TroubleKind::WrongName
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TroubleKind::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            TroubleKind::NotValidYet
        }
        _ => TroubleKind::BadCertificate,
    }
}

/// What the broker says of us.
fn of_alert(alert: AlertDescription, has_certificate: bool) -> TroubleKind {
    match alert {
        AlertDescription::CertificateRequired | AlertDescription::NoCertificate => {
            TroubleKind::ClientCertificateWanted
        }
        // TLS 1.2 has no name for it.
        AlertDescription::HandshakeFailure if !has_certificate => TroubleKind::ClientCertificateWanted,
        AlertDescription::CertificateExpired => TroubleKind::ClientCertificateExpired,
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateUnknown
        | AlertDescription::CertificateRevoked
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::AccessDenied
        | AlertDescription::DecryptError => TroubleKind::ClientCertificateRefused,
        _ => TroubleKind::TlsFailed,
    }
}

/// While MQTT is spoken; the alerts of TLS 1.3 come then.
pub(super) fn session(error: &io::Error, settings: Option<&TlsSettings>) -> Trouble {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    let kind = match (inner, settings) {
        (Some(error), Some(settings)) => of_rustls(error, settings),
        _ if error.kind() == ErrorKind::TimedOut => TroubleKind::NoAnswer,
        _ => TroubleKind::Closed,
    };
    Trouble::new(kind, chain(error))
}

/// Whether it is about the TLS step, although it came later.
pub(super) const fn is_of_tls(kind: TroubleKind) -> bool {
    matches!(
        kind,
        TroubleKind::ClientCertificateWanted
            | TroubleKind::ClientCertificateRefused
            | TroubleKind::ClientCertificateExpired
            | TroubleKind::TlsFailed
    )
}

/// The broker's answer to CONNECT.
pub(super) fn connack(code: ConnectReturnCode) -> Option<Trouble> {
    let kind = match code {
        ConnectReturnCode::Success => return None,
        ConnectReturnCode::BadUserNamePassword => TroubleKind::WrongPassword,
        ConnectReturnCode::NotAuthorized | ConnectReturnCode::Banned => TroubleKind::NotAuthorised,
        ConnectReturnCode::BadClientId | ConnectReturnCode::ClientIdentifierNotValid => TroubleKind::ClientId,
        ConnectReturnCode::RefusedProtocolVersion | ConnectReturnCode::UnsupportedProtocolVersion => {
            TroubleKind::OtherProtocol
        }
        ConnectReturnCode::ServerUnavailable
        | ConnectReturnCode::ServiceUnavailable
        | ConnectReturnCode::ServerBusy
        | ConnectReturnCode::QuotaExceeded
        | ConnectReturnCode::ConnectionRateExceeded => TroubleKind::Busy,
        _ => TroubleKind::LogInRefused,
    };
    Some(Trouble::new(kind, format!("the broker's answer is {code:?}")))
}
