//! Whether a gateway that enrols would believe the entrance: judged as the gateway will, before a line is printed that cannot work.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, Error, RootCertStore};

/// Judges the certificates that the entrance shows, by the one that gateways are told; `Err`: why it would not do, and what to do.
pub(super) fn believed(
    shown: &[CertificateDer<'static>],
    authority: &CertificateDer<'static>,
    host: &str,
) -> Result<(), String> {
    match verify(shown, authority, host) {
        Ok(()) => Ok(()),
        Err(Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature)) => Err(
            "gateways would not believe this center: who signed --cert is not known. Name the authority's certificate \
             with --ca FILE, or append it to the file of --cert, and start the center anew"
                .to_owned(),
        ),
        Err(Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => Err(format!(
            "gateways would not believe this center: its certificate (--cert) is not for {host}. Name an address that it \
             is for with --enroll-at HOST:PORT, or have one made for {host}, and start the center anew"
        )),
        Err(error) => Err(format!(
            "gateways would not believe this center: {error}. Mend the file of --cert or --ca, and start the center anew"
        )),
    }
}

fn verify(
    shown: &[CertificateDer<'static>],
    authority: &CertificateDer<'static>,
    host: &str,
) -> Result<(), Error> {
    let general = |error: &dyn std::error::Error| Error::General(error.to_string());
    let (leaf, others) = shown.split_first().ok_or_else(|| Error::General("it has none".to_owned()))?;
    let mut roots = RootCertStore::empty();
    roots.add(authority.clone())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier = verifier.map_err(|error| general(&error))?;
    let name = ServerName::try_from(host).map_err(|error| general(&error))?;
    verifier.verify_server_cert(leaf, others, &name, &[], UnixTime::now()).map(drop)
}

#[cfg(test)]
mod tests {
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};

    use super::*;

    /// A certificate by an authority, and the authority's.
    fn issued(name: &str, change: impl Fn(&mut CertificateParams)) -> [CertificateDer<'static>; 2] {
        let (key, own) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = params.self_signed(&own).unwrap();
        let mut leaf = CertificateParams::new(vec![name.to_owned()]).unwrap();
        change(&mut leaf);
        let leaf = leaf.signed_by(&key, &Issuer::new(params, own)).unwrap();
        [leaf.der().clone(), authority.der().clone()]
    }

    #[test]
    fn a_line_is_made_only_for_an_entrance_that_a_gateway_would_believe() {
        let [leaf, authority] = issued("center.example", |_| {});
        let shown = [leaf.clone(), authority.clone()];
        assert_eq!(believed(&shown, &authority, "center.example"), Ok(()));
        let said = |shown: &[_], authority, host| believed(shown, authority, host).unwrap_err();
        // Without --ca the last of the file of --cert is taken for the authority: here a leaf of another one.
        assert!(said(&shown[..1], &leaf, "center.example").contains("--ca FILE"));
        let [_, other] = issued("x", |_| {});
        assert!(said(&shown, &other, "center.example").contains("--ca FILE"));
        assert!(said(&shown, &authority, "10.0.0.1").contains("not for 10.0.0.1"));
        let [old, authority] = issued("center.example", |params| {
            params.not_after = time::OffsetDateTime::UNIX_EPOCH + time::Duration::days(9000);
        });
        assert!(said(&[old], &authority, "center.example").contains("expired"));
    }
}
