//! TLS: whom a gateway believes, and by which time it judges.

use std::process::Command;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::bundle::Bundle;
use super::server::{Asked, Counts, Server, Stream, say};
use super::*;

/// An authority of its own, and a certificate of it for `localhost` that is good for so many days.
pub(crate) struct Pki(tempfile::TempDir);

impl Pki {
    pub(crate) fn new(days: u32) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let script = format!(
            "set -e
            openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -subj /CN=ca -days 400
            openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out csr.pem -subj /CN=localhost
            printf 'subjectAltName=DNS:localhost\\nbasicConstraints=critical,CA:FALSE' > ext
            openssl x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -out cert.pem -days {days} -extfile ext
            cat ca.pem >> cert.pem"
        );
        let output =
            Command::new("/bin/sh").args(["-c", &script]).current_dir(folder.path()).output().unwrap();
        if !output.status.success() {
            keros_skip::skipped("there is no openssl to make certificates with");
            return None;
        }
        Some(Self(folder))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn serve(&self, bundle: &Bundle) -> Server {
        let bundle = bundle.clone();
        self.answering(move |asked, stream, counts| bundle.serve(asked, stream, counts))
    }

    pub(crate) fn answering(
        &self,
        answer: impl Fn(&Asked, &mut dyn Stream, &Counts) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Server {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let certificates = CertificateDer::pem_file_iter(self.path("cert.pem")).unwrap();
        let certificates = certificates.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(self.path("key.pem")).unwrap();
        let config =
            ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_no_client_auth().with_single_cert(certificates, key).unwrap());
        Server::wrapped(answer, move |stream| {
            let connection = ServerConnection::new(Arc::clone(&config)).ok()?;
            Some(Box::new(StreamOwned::new(connection, stream)) as Box<dyn Stream>)
        })
    }
}

fn attempt(gateway: &mut Gateway, bundle: &Bundle, server: &Server) -> FetchEnd {
    let source = format!("https://localhost:{}/v2/links", server.address.port());
    let order = Order { source: Some(source.parse().unwrap()), ..gateway.order(bundle, server) };
    gateway.attempt(order)
}

#[test]
fn a_source_is_believed_by_its_authority_and_the_judged_time() {
    let Some(pki) = Pki::new(300) else { return };
    let bundle = Bundle::of_length(300_000);
    let server = pki.serve(&bundle);
    // The test's clock is behind the time floor, as that of a gateway without a battery.
    assert!(crate::clock::wall_clock() < NOW_UNIX_S);
    let mut gateway = Gateway::with(|means| means.settings.ca_file = Some(pki.path("ca.pem")));
    assert_eq!(attempt(&mut gateway, &bundle, &server), FetchEnd::Complete);

    // Of the machine's own authorities none has signed it.
    let mut gateway = Gateway::new();
    let (message, _) = failed(attempt(&mut gateway, &bundle, &server));
    assert!(message.contains("TLS") || message.contains("ca-certificates"), "{message}");
    let mut gateway = Gateway::with(|means| means.settings.ca_file = Some("/nonexistent".into()));
    let (message, _) = failed(attempt(&mut gateway, &bundle, &server));
    assert!(message.contains("/nonexistent"), "{message}");

    // By the wall clock it would still be good.
    let Some(pki) = Pki::new(1) else { return };
    let server = pki.serve(&bundle);
    let mut gateway = Gateway::with(|means| means.settings.ca_file = Some(pki.path("ca.pem")));
    let (message, _) = failed(attempt(&mut gateway, &bundle, &server));
    assert!(message.contains("expired"), "{message}");
}

#[test]
fn nothing_leads_from_tls_to_plain_http() {
    let Some(pki) = Pki::new(300) else { return };
    let bundle = Bundle::of_length(1000);
    let served = bundle.clone();
    let plain = Server::start(move |asked, stream, counts| served.serve(asked, stream, counts));
    let to = plain.address;
    let lying = pki.answering(move |asked, stream, _| {
        say(stream, "302 Found", &format!("Location: http://{to}{}\r\n", asked.path), b"")
    });
    let mut gateway = Gateway::with(|means| {
        means.settings.ca_file = Some(pki.path("ca.pem"));
        means.settings.redirect_hosts = vec![to.to_string()];
    });
    let (message, _) = failed(attempt(&mut gateway, &bundle, &lying));
    assert!(message.contains("not encrypted"), "{message}");
    assert_eq!(plain.paths(), [] as [String; 0]);
}
