//! The gateway's private key, on P-256, and the request for its certificate (PKCS #10, RFC 2986). A request has one name and no
//! attributes, so it is put together by hand: a crate for all kinds of certificates brings much that is never used here.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keros_protocol::Eui;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject as _;

use super::error::EnrolError;

/// A key file has some 250 bytes, with a chain before it some KiB.
pub(super) const MAX_FILE_BYTES: u64 = 64 * 1024;

/// `AlgorithmIdentifier` of a key on P-256 (RFC 5480, section 2.1.1).
const EC_P256: &[u8] = &[
    0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07,
];
/// `AlgorithmIdentifier` of ECDSA with SHA-256 (RFC 5758, section 3.2).
const ECDSA_WITH_SHA256: &[u8] = &[0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// Object identifier 2.5.4.3, `commonName`.
const COMMON_NAME: &[u8] = &[0x06, 0x03, 0x55, 0x04, 0x03];

const SEQUENCE: u8 = 0x30;
const SET: u8 = 0x31;
const UTF8_STRING: u8 = 0x0c;
const BIT_STRING: u8 = 0x03;

/// A key pair.
pub(super) struct Key {
    pair: EcdsaKeyPair,
    pkcs8: Vec<u8>,
    random: SystemRandom,
}

impl Key {
    /// A new one.
    pub(super) fn make() -> Result<Self, EnrolError> {
        let made = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, &SystemRandom::new());
        let pkcs8 = made.map_err(|_| EnrolError::Key)?;
        Self::from_pkcs8(pkcs8.as_ref()).ok_or(EnrolError::Key)
    }

    /// The first private key of a PEM file, if it is one on P-256.
    pub(super) fn from_pem(pem: &str) -> Option<Self> {
        Self::from_pkcs8(PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).ok()?.secret_pkcs8_der())
    }

    fn from_pkcs8(pkcs8: &[u8]) -> Option<Self> {
        let random = SystemRandom::new();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_ASN1_SIGNING, pkcs8, &random).ok()?;
        Some(Self { pair, pkcs8: pkcs8.to_vec(), random })
    }

    /// PKCS #8, PEM.
    pub(super) fn to_pem(&self) -> String {
        let text = STANDARD.encode(&self.pkcs8);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", lines.join("\n"))
    }

    /// The public half: a point, 65 bytes.
    pub(super) fn point(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// A signature, ASN.1.
    pub(super) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, EnrolError> {
        let signature = self.pair.sign(&self.random, message).map_err(|_| EnrolError::Key)?;
        Ok(signature.as_ref().to_vec())
    }

    /// A request for a certificate, DER.
    pub(super) fn request(&self, eui: Eui) -> Result<Vec<u8>, EnrolError> {
        let name = der(UTF8_STRING, &[eui.to_string().as_bytes()]);
        let subject = der(SEQUENCE, &[&der(SET, &[&der(SEQUENCE, &[COMMON_NAME, &name])])]);
        let public = der(SEQUENCE, &[EC_P256, &der(BIT_STRING, &[&[0], self.point()])]);
        // Version 0, and no attributes.
        let signed = der(SEQUENCE, &[&[0x02, 0x01, 0x00], &subject, &public, &[0xa0, 0x00]]);
        let signature = der(BIT_STRING, &[&[0], &self.sign(&signed)?]);
        Ok(der(SEQUENCE, &[&signed, ECDSA_WITH_SHA256, &signature]))
    }

    /// The same in base 64.
    pub(super) fn request_text(&self, eui: Eui) -> Result<String, EnrolError> {
        Ok(STANDARD.encode(self.request(eui)?))
    }
}

/// An element with a length of up to 65,535 bytes (X.690, section 8.1.3).
fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let [high, low] = u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut out = match (high, low) {
        (0, 0..=0x7f) => vec![tag, low],
        (0, _) => vec![tag, 0x81, low],
        _ => vec![tag, 0x82, high, low],
    };
    out.extend(value);
    out
}

#[cfg(test)]
mod tests {
    use keros_protocol::certificate::CertificateRequest;

    use super::*;

    const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);

    #[test]
    fn a_request_is_read_by_the_center_and_only_whole() {
        let key = Key::make().unwrap();
        let request = key.request(EUI).unwrap();
        let read = CertificateRequest::verified(&request).unwrap();
        assert_eq!((read.common_name, read.point.as_slice()), (EUI.to_string(), key.point()));
        for at in 0..request.len() {
            let mut other = request.clone();
            other[at] ^= 1;
            assert_eq!(CertificateRequest::verified(&other), None, "byte {at}");
            assert_eq!(CertificateRequest::verified(&request[..at]), None, "cut at {at}");
        }
    }

    #[test]
    fn a_key_is_read_back_also_behind_a_certificate() {
        let key = Key::make().unwrap();
        let file = format!("-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n{}", key.to_pem());
        assert_eq!(Key::from_pem(&file).unwrap().point(), key.point());
        assert!(Key::from_pem("").is_none());
    }

    #[test]
    fn openssl_reads_request_and_key() {
        use std::io::Write as _;
        use std::process::{Command, Stdio};
        let key = Key::make().unwrap();
        for (arguments, input) in [
            (["req", "-verify", "-noout", "-inform", "DER"], key.request(EUI).unwrap()),
            (["pkey", "-check", "-noout", "-inform", "PEM"], key.to_pem().into_bytes()),
        ] {
            let mut command = Command::new("openssl");
            let command =
                command.args(arguments).stdin(Stdio::piped()).stderr(Stdio::piped()).stdout(Stdio::piped());
            let Ok(mut child) = command.spawn() else {
                return keros_skip::skipped("openssl is not installed");
            };
            child.stdin.take().unwrap().write_all(&input).unwrap();
            let output = child.wait_with_output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        }
    }
}
