//! The center's own small authority for the certificates by which gateways log in at a broker: one key on P-256, one certificate. It
//! signs nothing else, and is no authority for the certificates of servers.

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use keros_protocol::certificate::{Certificate, CertificateRequest};
use keros_protocol::{Eui, UnixSeconds};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PublicKeyData, SerialNumber, SignatureAlgorithm,
};
use ring::rand::{SecureRandom as _, SystemRandom};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use time::OffsetDateTime;

use crate::files;
use crate::settings::read_secret;

const CERTIFICATE_FILE: &str = "gateways-ca.pem";
const KEY_FILE: &str = "gateways-ca.key.pem";

/// The authority's own life: 20 years. It is replaced by hand, which nobody should have to do often.
const LIFE_S: u64 = 20 * 365 * 86_400;

/// Certificates are valid from so long before they are made: a broker's clock may be late.
const BACK_S: u64 = 3600;

/// The authority.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
}

/// What was issued.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Made {
    /// Upper-case hex, without zeros in front.
    pub(crate) serial: String,
    /// The certificate.
    pub(crate) pem: String,
}

/// Where it is in a data folder.
pub(crate) fn folder(data_folder: &Path) -> PathBuf {
    data_folder.join("ca")
}

/// Makes an authority in a folder; one that is there is never overwritten.
///
/// # Errors
/// When there is one, or a file cannot be made.
pub(crate) fn create(folder: &Path, now: UnixSeconds) -> anyhow::Result<Authority> {
    let (certificate_file, key_file) = (folder.join(CERTIFICATE_FILE), folder.join(KEY_FILE));
    if certificate_file.exists() {
        bail!("there is an authority in {} already: `keros-center ca show` tells of it", folder.display());
    }
    files::create_private_folder(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    // A key without a certificate is what a broken run left.
    if !key_file.exists() {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).context("cannot make a key")?;
        files::create_new(&key_file, key.serialize_pem().as_bytes(), 0o600)
            .with_context(|| format!("cannot make {}", key_file.display()))?;
    }
    let key = read_key(&key_file)?;
    let mut number = [0; 4];
    random(&mut number)?;
    let name = format!("KerOS gateways {:08x}", u32::from_be_bytes(number));
    let mut params = params(&name);
    params.not_before = moment(now.saturating_sub(BACK_S))?;
    params.not_after = moment(now + LIFE_S)?;
    params.serial_number = Some(serial()?);
    let certificate = params.self_signed(&key).context("cannot make the authority's certificate")?;
    files::create_new(&certificate_file, certificate.pem().as_bytes(), 0o644)
        .with_context(|| format!("cannot make {}", certificate_file.display()))?;
    Authority::open(folder)?.context("the authority that was just made is not there")
}

impl Authority {
    /// The authority in a folder; `None` when there is none.
    ///
    /// # Errors
    /// When its files cannot be used.
    pub(crate) fn open(folder: &Path) -> anyhow::Result<Option<Self>> {
        let path = Self::certificate_path(folder);
        if !path.exists() {
            return Ok(None);
        }
        let pem =
            std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        let der = CertificateDer::from_pem_slice(pem.as_bytes())
            .with_context(|| format!("no certificate in {}", path.display()))?;
        let certificate = Certificate::parse(&der);
        let name = certificate.as_ref().and_then(|certificate| certificate.common_name.clone());
        let name =
            name.with_context(|| format!("{} is not made by `keros-center ca create`", path.display()))?;
        let key = read_key(&folder.join(KEY_FILE))?;
        let own = certificate.map(|certificate| certificate.public_key);
        if own != Some(key.subject_public_key_info()) {
            bail!("the key beside {} is another one's", path.display());
        }
        Ok(Some(Self { issuer: Issuer::new(params(&name), key) }))
    }

    /// Where its certificate is, for brokers.
    pub(crate) fn certificate_path(folder: &Path) -> PathBuf {
        folder.join(CERTIFICATE_FILE)
    }

    /// Where its key is.
    pub(crate) fn key_path(folder: &Path) -> PathBuf {
        folder.join(KEY_FILE)
    }

    /// A gateway's certificate for the key of its request.
    ///
    /// # Errors
    /// When the library refuses.
    pub(crate) fn issue(
        &self,
        eui: Eui,
        request: &CertificateRequest,
        now: UnixSeconds,
        life_s: u64,
    ) -> anyhow::Result<Made> {
        let mut params = CertificateParams::default();
        params.distinguished_name = name(&eui.to_string());
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        params.use_authority_key_identifier_extension = true;
        params.not_before = moment(now.saturating_sub(BACK_S))?;
        params.not_after = moment(now + life_s)?;
        params.serial_number = Some(serial()?);
        let key = Point(request.point.clone());
        let certificate = params.signed_by(&key, &self.issuer).context("cannot make a certificate")?;
        let read = Certificate::parse(certificate.der()).context("a certificate cannot be read back")?;
        Ok(Made { serial: read.serial, pem: certificate.pem() })
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Authority")
    }
}

/// The key of a request.
struct Point(Vec<u8>);

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_ECDSA_P256_SHA256
    }
}

/// What names the authority in the certificates that it issues; its times and number are its own certificate's alone.
fn params(common_name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = name(common_name);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    name
}

fn read_key(path: &Path) -> anyhow::Result<KeyPair> {
    KeyPair::from_pem(&read_secret(path)?).with_context(|| format!("no key in {}", path.display()))
}

/// 127 random bits: positive, and not 0.
fn serial() -> anyhow::Result<SerialNumber> {
    let mut bytes = [0; 16];
    random(&mut bytes)?;
    bytes[0] = bytes[0] & 0x7f | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn random(bytes: &mut [u8]) -> anyhow::Result<()> {
    SystemRandom::new().fill(bytes).map_err(|_| anyhow::anyhow!("the system has no random numbers"))
}

fn moment(unix_s: UnixSeconds) -> anyhow::Result<OffsetDateTime> {
    let seconds = i64::try_from(unix_s).context("the clock is wrong")?;
    OffsetDateTime::from_unix_timestamp(seconds).context("the clock is wrong")
}
