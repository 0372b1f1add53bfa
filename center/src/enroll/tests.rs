//! Tokens, certificates and who is locked out, against a real store.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use keros_protocol::enroll::{ConfirmRequest, EnrolLine, EnrolReason, IssueRequest, Login};
use keros_protocol::{Eui, KeyPurpose, SigningKey};
use rcgen::{CertificateParams, DnType, KeyPair};

use super::office::Refused;
use super::{Logins, Office, Told, Way, create_authority};
use crate::access::Caller;
use crate::api::EnrolOrder;
use crate::broker::Gate;
use crate::store::Store;

const EUI: Eui = Eui::from_u64(0x7076_FF00_5607_0123);
const NOW: u64 = 1_795_000_000;
const VALID_S: u64 = 600;

/// An office, with certificates, in a folder of its own.
struct World {
    office: Office,
    _folder: tempfile::TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path(), None).await.unwrap();
        let authority = create_authority(&folder.path().join("ca"), NOW).unwrap();
        let logins = Logins { authority: Some(authority), password_file: None, certificate_life_s: 86_400 };
        let way = Way {
            entrance: "center.example:8443".parse().unwrap(),
            pin: [1; 32],
            broker: "center.example:8883".parse().unwrap(),
            authorities: Vec::new(),
        };
        let told = Told { way: Ok(way), topic_prefix: "keros".to_owned() };
        let key = SigningKey::from_pem(&SigningKey::pem_from_seed(&[1; 32])).unwrap().public();
        let keys = [(KeyPurpose::Command, key.clone()), (KeyPurpose::Statement, key)];
        let trust = folder.path().join("trust");
        let office = Office::new(store, told, logins, keys, trust, Arc::new(Gate::default()));
        Self { office, _folder: folder }
    }

    /// The token of a new line.
    async fn token(&self) -> String {
        let order = EnrolOrder { gateways: vec![EUI], valid_s: Some(VALID_S) };
        let lines = self.office.order(&Caller::root(), &order, NOW).await.unwrap();
        lines[0].line.parse::<EnrolLine>().unwrap().token.to_string()
    }

    async fn issue(&self, eui: Eui, token: &str, key: &KeyPair, now: u64) -> Result<String, Refused> {
        let ask = IssueRequest { eui, token: token.to_owned(), request: request(eui, key) };
        self.office.issue(&ask, now).await.unwrap().map(|issued| match issued.login {
            Login::Certificate { certificate } => certificate,
            Login::Password { .. } => unreachable!("this center gives certificates"),
        })
    }

    async fn confirm(&self, token: &str) -> Result<(), Refused> {
        let ask = ConfirmRequest { eui: EUI, token: token.to_owned() };
        self.office.confirm(&ask, NOW).await.unwrap()
    }
}

fn key() -> KeyPair {
    KeyPair::generate().unwrap()
}

fn request(eui: Eui, key: &KeyPair) -> String {
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, eui.to_string());
    STANDARD.encode(params.serialize_request(key).unwrap().der())
}

fn reason<T>(decided: Result<T, Refused>) -> Option<EnrolReason> {
    decided.err().map(|refused| refused.reason)
}

#[tokio::test]
async fn a_token_is_for_one_key_until_it_is_confirmed_and_for_none_then() {
    let world = World::new().await;
    let (token, own, other) = (world.token().await, key(), key());
    let first = world.issue(EUI, &token, &own, NOW).await.unwrap();
    assert_eq!(world.issue(EUI, &token, &own, NOW).await.unwrap(), first, "the same certificate again");
    let refused = world.issue(EUI, &token, &other, NOW).await.unwrap_err();
    assert_eq!(refused.reason, EnrolReason::OtherKey);
    assert!(refused.detail.contains("keros-center enroll revoke"), "{}", refused.detail);
    let stranger = Eui::from_u64(1);
    assert_eq!(reason(world.issue(stranger, &token, &own, NOW).await), Some(EnrolReason::OtherGateway));
    world.confirm(&token).await.unwrap();
    world.confirm(&token).await.unwrap();
    for key in [&own, &other] {
        assert_eq!(reason(world.issue(EUI, &token, key, NOW).await), Some(EnrolReason::Used));
    }
}

#[tokio::test]
async fn a_token_ends_with_its_time_and_when_it_was_tried_too_often() {
    let world = World::new().await;
    let (token, key) = (world.token().await, key());
    assert_eq!(reason(world.issue(EUI, &token, &key, NOW + VALID_S).await), Some(EnrolReason::Expired));
    for _ in 0..32 {
        world.issue(EUI, &token, &key, NOW + VALID_S - 1).await.unwrap();
    }
    assert_eq!(reason(world.issue(EUI, &token, &key, NOW).await), Some(EnrolReason::TooMany));
    for valid_s in [0, 30 * 86_400 + 1] {
        let order = EnrolOrder { gateways: vec![EUI], valid_s: Some(valid_s) };
        assert!(world.office.order(&Caller::root(), &order, NOW).await.is_err(), "{valid_s} s");
    }
}

#[tokio::test]
async fn a_line_that_was_taken_back_or_replaced_gives_nothing_and_confirms_nothing() {
    let world = World::new().await;
    let key = key();
    let (first, second) = (world.token().await, world.token().await);
    assert_eq!(reason(world.issue(EUI, &first, &key, NOW).await), Some(EnrolReason::UnknownToken));
    assert_eq!(reason(world.confirm(&second).await), Some(EnrolReason::UnknownToken), "nobody asked with it");
    world.issue(EUI, &second, &key, NOW).await.unwrap();
    world.office.cancel(&Caller::root(), EUI, NOW).await.unwrap();
    assert_eq!(reason(world.issue(EUI, &second, &key, NOW).await), Some(EnrolReason::UnknownToken));
    assert_eq!(reason(world.confirm(&second).await), Some(EnrolReason::UnknownToken));
    assert!(world.office.cancel(&Caller::root(), EUI, NOW).await.is_err(), "there is none any more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_ask_at_the_same_time_with_one_token_one_gets_in() {
    let world = World::new().await;
    for _ in 0..10 {
        let (token, one, other) = (world.token().await, key(), key());
        let (a, b) = tokio::join!(world.issue(EUI, &token, &one, NOW), world.issue(EUI, &token, &other, NOW));
        assert!(a.is_ok() != b.is_ok(), "{a:?} {b:?}");
        assert_eq!(reason(a).or(reason(b)), Some(EnrolReason::OtherKey));
        world.office.lock_out(&Caller::root(), EUI, NOW).await.unwrap();
    }
}
