//! `docs/magic-link.md`, its two schemas and the code say the same.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test ends by panicking")]

use std::fs;
use std::path::{Path, PathBuf};

use keros_protocol::limits;
use keros_protocol::magic_link::{LinkConfig, Manifest, Title};
use serde_json::{Value, json};

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
}

fn validator(name: &str) -> jsonschema::Validator {
    let schema = serde_json::from_str(&fs::read_to_string(docs(name)).unwrap()).unwrap();
    jsonschema::draft202012::new(&schema).unwrap()
}

fn is_manifest(value: &Value) -> bool {
    Manifest::parse(&serde_json::to_vec(value).unwrap()).is_ok()
}

fn is_config(value: &Value) -> bool {
    LinkConfig::parse(&serde_json::to_vec(value).unwrap()).is_ok()
}

/// The page's manifest and config.
fn examples() -> (Value, Value) {
    let page = fs::read_to_string(docs("magic-link.md")).unwrap();
    let mut blocks = page.split("```json\n").skip(1).map(|block| block.split("```").next().unwrap());
    let mut next = || serde_json::from_str(blocks.next().unwrap()).unwrap();
    (next(), next())
}

type Change = (&'static str, Value);

/// The value with one place changed; a value of null takes the place away.
fn changed(value: &Value, (place, new): &Change) -> Value {
    let mut value = value.clone();
    let (parent, key) = place.rsplit_once('/').unwrap();
    let parent = value.pointer_mut(parent).unwrap_or_else(|| panic!("no place {place}"));
    match (parent, new) {
        (Value::Object(map), Value::Null) => drop(map.remove(key)),
        (Value::Object(map), new) => drop(map.insert(key.to_owned(), new.clone())),
        (Value::Array(list), new) => list[key.parse::<usize>().unwrap()] = new.clone(),
        _ => panic!("no place {place}"),
    }
    value
}

fn agree(example: &Value, schema: &str, changes: &[Change], is_valid: fn(&Value) -> bool, expected: bool) {
    let validator = validator(schema);
    for change in changes {
        let value = changed(example, change);
        assert_eq!(is_valid(&value), expected, "the code about {change:?}");
        assert_eq!(validator.is_valid(&value), expected, "the schema about {change:?}");
    }
}

#[test]
fn the_schema_of_a_config_agrees_with_the_code() {
    let (_, example) = examples();
    let good = [
        ("/name", json!("é".repeat(128))),
        ("/description", Value::Null),
        ("/description", json!("")),
        ("/gateways", json!(["70*"])),
        ("/gateways", json!(["7076FF005607012*"])),
        ("/keros", Value::Null),
        ("/keros", json!("=6.3.1")),
        ("/keros", json!(" 4||5 || >= 6.2 ,< 7\t")),
        ("/keros", json!("06")),
        ("/models", Value::Null),
        ("/models", json!([])),
        ("/models", json!(["A-b_c.1"])),
        ("/expires_at_unix_s", Value::Null),
        ("/expires_at_unix_s", json!(0)),
        ("/expires_at_unix_s", json!(u64::MAX)),
        ("/playbook", json!("a b/é/..c/.d/...")),
    ];
    agree(&example, "magic-link.config.schema.json", &good, is_config, true);
    let bad = [
        ("/name", Value::Null),
        ("/name", json!("")),
        ("/name", json!("é".repeat(129))),
        ("/name", json!("a\u{1b}b")),
        ("/name", json!("a\u{85}b")),
        ("/name", json!(5)),
        ("/description", json!("a".repeat(2049))),
        ("/gateways", Value::Null),
        ("/gateways", json!([])),
        ("/gateways", json!(["*"])),
        ("/gateways", json!(["7*"])),
        ("/gateways", json!(["7076ff0056070123"])),
        ("/gateways", json!(["7076FF0056070123*"])),
        ("/gateways", json!(["7076FF0056070123\n"])),
        ("/gateways", json!(["7076FF"])),
        ("/keros", json!("")),
        ("/keros", json!("~6")),
        ("/keros", json!("6.x")),
        ("/keros", json!("6.2.3.4")),
        ("/keros", json!("6 7")),
        ("/keros", json!("6,")),
        ("/keros", json!("||6")),
        ("/keros", json!("6|7")),
        ("/keros", json!("=>6")),
        ("/keros", json!(format!("{}6", " ".repeat(256)))),
        ("/keros", json!(6)),
        ("/models", json!(["w i"])),
        ("/models", json!([""])),
        ("/models", json!(["a".repeat(33)])),
        ("/models", json!(vec!["a"; 65])),
        ("/models", json!("wiis")),
        ("/expires_at_unix_s", json!(-1)),
        ("/expires_at_unix_s", json!(1.5)),
        ("/expires_at_unix_s", json!("2026-11-25")),
        ("/playbook", Value::Null),
        ("/playbook", json!("")),
        ("/playbook", json!("/a")),
        ("/playbook", json!("a/../b")),
        ("/playbook", json!("..")),
        ("/playbook", json!("a/.")),
        ("/playbook", json!("a//b")),
        ("/playbook", json!("a/")),
        ("/playbook", json!("a\\b")),
        ("/playbook", json!("a\nb")),
        ("/playbook", json!("a\n")),
        ("/playbook", json!("x".repeat(256))),
        ("/playbook", json!("a/".repeat(16) + "a")),
        ("/colour", json!("green")),
    ];
    agree(&example, "magic-link.config.schema.json", &bad, is_config, false);
}

#[test]
fn the_schema_of_a_manifest_agrees_with_the_code() {
    let (example, _) = examples();
    let good = [
        ("/annotations", json!({ "org.opencontainers.image.created": "2026-11-25" })),
        ("/subject", json!({ "digest": "x" })),
        ("/config/size", json!(1_048_576)),
        ("/config/annotations", json!({ "a": "b" })),
        ("/layers", json!([])),
        ("/layers/0/size", json!(0)),
        ("/layers/0/urls", json!(["https://elsewhere.example/x"])),
        ("/layers/0/annotations/a", json!("b")),
        ("/layers/1/annotations/vnd.keros.magic-link.executable", json!("false")),
    ];
    agree(&example, "magic-link.manifest.schema.json", &good, is_manifest, true);
    let layers: Vec<Value> = (0..=limits::MAX_BUNDLE_FILES)
        .map(|number| {
            let title = json!(number.to_string());
            changed(&example["layers"][0], &("/annotations/org.opencontainers.image.title", title))
        })
        .collect();
    let digest = example["config"]["digest"].as_str().unwrap();
    let bad = [
        ("/schemaVersion", json!(1)),
        ("/schemaVersion", Value::Null),
        ("/mediaType", json!("application/vnd.oci.image.index.v1+json")),
        ("/mediaType", Value::Null),
        ("/artifactType", json!("application/vnd.oci.empty.v1+json")),
        ("/artifactType", Value::Null),
        ("/manifests", json!([])),
        ("/config", Value::Null),
        ("/config/mediaType", json!("application/vnd.oci.image.config.v1+json")),
        ("/config/digest", json!(digest.to_uppercase())),
        ("/config/digest", json!("sha512:00")),
        ("/config/digest", Value::Null),
        ("/config/size", json!(1_048_577)),
        ("/config/size", json!(-1)),
        ("/config/size", json!("1")),
        ("/config/size", Value::Null),
        ("/layers", Value::Null),
        ("/layers", json!(layers)),
        ("/layers/0", json!("x")),
        ("/layers/0/mediaType", json!("application/vnd.oci.image.layer.v1.tar+gzip")),
        ("/layers/0/size", json!(limits::MAX_BUNDLE_BYTES + 1)),
        ("/layers/0/annotations", Value::Null),
        ("/layers/0/annotations/a", json!(5)),
        ("/layers/0/annotations/org.opencontainers.image.title", Value::Null),
        ("/layers/0/annotations/org.opencontainers.image.title", json!("../x")),
        ("/layers/1/annotations/vnd.keros.magic-link.executable", json!("yes")),
        ("/layers/1/annotations/vnd.keros.magic-link.executable", json!(true)),
    ];
    agree(&example, "magic-link.manifest.schema.json", &bad, is_manifest, false);
}

/// Each is named in the schema's description.
#[test]
fn what_a_schema_cannot_say_the_code_refuses() {
    let (manifest, config) = examples();
    let title = "/layers/0/annotations/org.opencontainers.image.title";
    let mut one_digest_two_sizes = changed(&manifest, &("/layers/0/size", json!(1)));
    one_digest_two_sizes["layers"][0]["digest"] = manifest["layers"][1]["digest"].clone();
    let of_manifest = [
        changed(&manifest, &(title, json!("modules/measure"))),
        changed(&manifest, &(title, json!("modules"))),
        changed(&manifest, &("/layers/0/size", json!(limits::MAX_BUNDLE_BYTES))),
        changed(&manifest, &(title, json!("é".repeat(200)))),
        changed(&manifest, &("/annotations", json!({ "a": "b".repeat(limits::MAX_MANIFEST_BYTES) }))),
        one_digest_two_sizes,
    ];
    let validator_of_manifest = validator("magic-link.manifest.schema.json");
    for value in of_manifest {
        assert!(validator_of_manifest.is_valid(&value) && !is_manifest(&value), "{value:.300}");
    }
    let of_config = [
        changed(&config, &("/description", json!("é".repeat(2000)))),
        changed(&config, &("/keros", json!("4294967296"))),
        changed(&config, &("/playbook", json!("é".repeat(200)))),
        changed(&config, &("/gateways", json!(vec!["70*"; 200_000]))),
        changed(&config, &("/expires_at_unix_s", json!(1e9))),
    ];
    let validator_of_config = validator("magic-link.config.schema.json");
    for value in of_config {
        assert!(validator_of_config.is_valid(&value) && !is_config(&value), "{value:.300}");
    }
}

#[test]
fn the_examples_of_the_page_are_what_code_and_schemas_say() {
    let (manifest, config) = examples();
    assert!(is_manifest(&manifest) && is_config(&config));
    assert!(validator("magic-link.manifest.schema.json").is_valid(&manifest));
    assert!(validator("magic-link.config.schema.json").is_valid(&config));
}

#[test]
fn the_page_states_the_limits_of_the_code() {
    let page = fs::read_to_string(docs("magic-link.md")).unwrap().replace(',', "");
    for number in [
        limits::MAX_MANIFEST_BYTES as u64,
        limits::MAX_LINK_CONFIG_BYTES as u64,
        limits::MAX_BUNDLE_FILES as u64,
        limits::MAX_BUNDLE_BYTES,
        limits::MAX_SCRIPT_BYTES as u64,
        limits::MAX_FETCH_TOKEN_BYTES as u64,
        limits::MAX_TEXT_BYTES as u64,
        Title::MAX_BYTES as u64,
        Title::MAX_PART_BYTES as u64,
        Title::MAX_PARTS as u64,
    ] {
        assert!(page.contains(&format!(" {number} ")), "{number}");
    }
}
