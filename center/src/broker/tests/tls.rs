//! TLS and client certificates: made by `openssl`, as an operator would.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use keros_protocol::topics::Leaf;
use rumqttc::v5::mqttbytes::v5::{ConnectReturnCode, PubAckReason, SubscribeReasonCode};
use rumqttc::v5::{ConnectionError, MqttOptions};
use rumqttc::{TlsConfiguration, Transport};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::client::{TestClient, options, with_password};
use super::*;
use crate::broker::TlsFiles;

/// An authority in a folder.
struct Authority(tempfile::TempDir);

impl Authority {
    /// `None` when openssl is not installed.
    fn new() -> Option<Self> {
        let authority = Self(tempfile::tempdir().unwrap());
        let made = authority.openssl(&format!(
            "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=authority \
             -keyout {} -out {}",
            authority.path("ca.key").display(),
            authority.path("ca.pem").display()
        ));
        made.then_some(authority)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// A certificate for this subject, good for the name localhost too.
    fn issue(&self, file: &str, subject: &str) -> (PathBuf, PathBuf) {
        let [key, request, cert, extensions] =
            ["key", "csr", "pem", "ext"].map(|kind| self.path(&format!("{file}.{kind}")));
        std::fs::write(&extensions, "subjectAltName = IP:127.0.0.1\n").unwrap();
        assert!(self.openssl(&format!(
            "req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj {subject} -keyout {} -out {}",
            key.display(),
            request.display()
        )));
        assert!(self.openssl(&format!(
            "x509 -req -in {} -CA {} -CAkey {} -CAcreateserial -days 2 -extfile {} -out {}",
            request.display(),
            self.path("ca.pem").display(),
            self.path("ca.key").display(),
            extensions.display(),
            cert.display()
        )));
        (cert, key)
    }

    fn openssl(&self, arguments: &str) -> bool {
        let output = match Command::new("openssl").args(arguments.split_whitespace()).output() {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                keros_skip::skipped("openssl is not installed");
                return false;
            }
            output => output.unwrap(),
        };
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        true
    }
}

async fn broker(authority: &Authority, password_file: Option<&Path>) -> Running {
    let (cert, key) = authority.issue("broker", "/CN=broker");
    let tls = TlsFiles { cert, key, client_cas: vec![authority.path("ca.pem")] };
    start(BrokerSettings {
        listen: vec![Listener { address: ([127, 0, 0, 1], 0).into(), tls: Some(tls) }],
        topic_prefix: Prefix::default(),
        gateways: GatewayAccess { password_file: password_file.map(Path::to_owned) },
        gate: std::sync::Arc::default(),
    })
    .await
    .unwrap()
}

fn tls_options(
    running: &Running,
    trusted: &Authority,
    client_id: &str,
    client: Option<(PathBuf, PathBuf)>,
) -> MqttOptions {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted.path("ca.pem")).unwrap()).unwrap();
    let config = rustls::ClientConfig::builder().with_root_certificates(roots);
    let config = match client {
        None => config.with_no_client_auth(),
        Some((cert, key)) => {
            let chain = vec![CertificateDer::from_pem_file(cert).unwrap()];
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
        }
    };
    let mut options = options(running.addresses[0], client_id);
    options.set_transport(Transport::Tls(TlsConfiguration::Rustls(Arc::new(config))));
    options
}

fn is_refused(result: Result<TestClient, ConnectionError>) -> bool {
    matches!(result, Err(ConnectionError::ConnectionRefused(ConnectReturnCode::NotAuthorized)))
}

#[tokio::test]
async fn a_certificate_is_its_gateway_and_no_other() {
    let Some(authority) = Authority::new() else { return };
    let running = broker(&authority, None).await;
    let own = authority.issue("own", &format!("/O=fleet/CN={OWN}"));
    let mut gateway =
        TestClient::connect(tls_options(&running, &authority, &OWN.to_string(), Some(own.clone())))
            .await
            .unwrap();
    assert!(matches!(gateway.subscribe(&topic(OWN, Leaf::Down)).await, SubscribeReasonCode::Success(_)));
    assert_eq!(gateway.subscribe(&topic(OTHER, Leaf::Down)).await, SubscribeReasonCode::NotAuthorized);
    assert_eq!(gateway.publish(&topic(OTHER, Leaf::Report), "{}").await, PubAckReason::NotAuthorized);

    let as_other = tls_options(&running, &authority, &OTHER.to_string(), Some(own.clone()));
    assert!(is_refused(TestClient::connect(as_other).await), "another's client identifier");
    let options = tls_options(&running, &authority, &OWN.to_string(), Some(own));
    let named_other = with_password(options, &OTHER.to_string(), "");
    assert!(is_refused(TestClient::connect(named_other).await), "another's user name");
}

#[tokio::test]
async fn a_certificate_that_names_no_gateway_is_refused() {
    let Some(authority) = Authority::new() else { return };
    let running = broker(&authority, None).await;
    for (number, subject) in
        ["/CN=center", "/CN=7076ff0056070123", "/O=7076FF0056070123"].into_iter().enumerate()
    {
        let client = authority.issue(&format!("odd{number}"), subject);
        let options = tls_options(&running, &authority, &OWN.to_string(), Some(client));
        assert!(TestClient::connect(options).await.is_err(), "{subject}");
    }
}

#[tokio::test]
async fn a_foreign_authoritys_certificate_does_not_get_in() {
    let (Some(authority), Some(foreign)) = (Authority::new(), Authority::new()) else { return };
    let running = broker(&authority, None).await;
    let forged = foreign.issue("forged", &format!("/CN={OWN}"));
    let options = tls_options(&running, &authority, &OWN.to_string(), Some(forged));
    assert!(TestClient::connect(options).await.is_err());
    let without = tls_options(&running, &authority, &OWN.to_string(), None);
    assert!(is_refused(TestClient::connect(without).await), "no certificate, no password");
}

#[tokio::test]
async fn passwords_work_over_tls_and_a_silent_client_holds_up_nobody() {
    let Some(authority) = Authority::new() else { return };
    let path = authority.path("passwords");
    let password = passwords::set_new_password(&path, OWN).unwrap();
    let running = broker(&authority, Some(&path)).await;
    // They connect and never begin the handshake.
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(tokio::net::TcpStream::connect(running.addresses[0]).await.unwrap());
    }
    let options = tls_options(&running, &authority, &OWN.to_string(), None);
    let mut gateway = TestClient::connect(with_password(options, &OWN.to_string(), &password)).await.unwrap();
    let answer = gateway.publish(&topic(OWN, Leaf::Telemetry), "{}").await;
    assert!(matches!(answer, PubAckReason::Success | PubAckReason::NoMatchingSubscribers));
}
