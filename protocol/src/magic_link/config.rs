//! The config blob: for whom a Magic Link is, and where it begins.

use serde::{Deserialize, Serialize};

use super::{GatewayPattern, KerosRange, Title};
use crate::eligibility::Refusal;
use crate::limits::{MAX_LINK_CONFIG_BYTES, MAX_TEXT_BYTES};
use crate::{RefusalReason, UnixSeconds};

/// The content of the config blob. A field that this version does not know is refused, not passed over: it may be one more
/// condition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkConfig {
    /// What it is called, for people: 1 to 128 characters, no control characters.
    pub name: String,
    /// What it does, for people; at most [`MAX_TEXT_BYTES`].
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The gateways that it is declared for: at least one.
    pub gateways: Vec<GatewayPattern>,
    /// The KerOS versions that it fits; absent: any, also none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keros: Option<KerosRange>,
    /// The hardware that it fits, by code name (`wiis`); empty: any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub models: Vec<String>,
    /// From this second on it is not started any more, whatever command brings it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at_unix_s: Option<UnixSeconds>,
    /// The bundle's file that is run.
    pub playbook: Title,
}

const MAX_NAME_CHARS: usize = 128;
const MAX_MODELS: usize = 64;
const MAX_MODEL_BYTES: usize = 32;

impl LinkConfig {
    /// Reads and checks a config blob.
    ///
    /// # Errors
    /// `too_large`, `unparsable`, `unsupported` (a field that this version does not know), `not_declared` (no gateway at all).
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        if bytes.len() > MAX_LINK_CONFIG_BYTES {
            let detail = format!("the config has {} bytes, at most {MAX_LINK_CONFIG_BYTES}", bytes.len());
            return Err(Refusal::new(RefusalReason::TooLarge, detail));
        }
        let config: Self = serde_json::from_slice(bytes).map_err(|error| {
            let message = error.to_string();
            let reason = match message.starts_with("unknown field") {
                true => RefusalReason::Unsupported,
                false => RefusalReason::Unparsable,
            };
            Refusal::new(reason, format!("the config: {message}"))
        })?;
        config
            .check()
            .map_err(|what| Refusal::new(RefusalReason::Unparsable, format!("the config: {what}")))?;
        if config.gateways.is_empty() {
            return Err(Refusal::new(
                RefusalReason::NotDeclared,
                "the Magic Link declares no gateway at all",
            ));
        }
        Ok(config)
    }

    fn check(&self) -> Result<(), String> {
        let length = self.name.chars().count();
        if !(1..=MAX_NAME_CHARS).contains(&length) || self.name.chars().any(char::is_control) {
            return Err(format!(
                "`name` has 1 to {MAX_NAME_CHARS} characters, none of them a control character"
            ));
        }
        if self.description.len() > MAX_TEXT_BYTES {
            return Err(format!("`description` has at most {MAX_TEXT_BYTES} bytes"));
        }
        let is_model = |model: &String| {
            (1..=MAX_MODEL_BYTES).contains(&model.len())
                && model.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        };
        if self.models.len() > MAX_MODELS || !self.models.iter().all(is_model) {
            return Err(format!(
                "`models` has at most {MAX_MODELS} names of 1 to {MAX_MODEL_BYTES} letters, digits, `-`, `_` or `.`"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"{"name":"forwarder 4.2","gateways":["7076FF0056070123","7276FF*"],"keros":">=6.2, <7",
        "models":["wiis"],"expires_at_unix_s":1795604800,"playbook":"site.yml"}"#;

    #[test]
    fn a_config_is_read() {
        let config = LinkConfig::parse(GOOD.as_bytes()).unwrap();
        assert_eq!((config.gateways.len(), config.playbook.as_str()), (2, "site.yml"));
        let again = serde_json::to_vec(&config).unwrap();
        assert_eq!(LinkConfig::parse(&again).unwrap(), config);
    }

    #[test]
    fn what_is_wrong_is_named() {
        let with = |from: &str, to: &str| GOOD.replace(from, to);
        for (text, reason, word) in [
            (String::new(), RefusalReason::Unparsable, "EOF"),
            ("[]".to_owned(), RefusalReason::Unparsable, ""),
            (with("\"keros\"", "\"colour\""), RefusalReason::Unsupported, "colour"),
            (with("site.yml", "../site.yml"), RefusalReason::Unparsable, ".."),
            (with(">=6.2, <7", "~6"), RefusalReason::Unparsable, "~6"),
            (with("7276FF*", "*"), RefusalReason::Unparsable, "declared by"),
            (with("[\"7076FF0056070123\",\"7276FF*\"]", "[]"), RefusalReason::NotDeclared, "no gateway"),
            (with("forwarder 4.2", "a\\u001bb"), RefusalReason::Unparsable, "name"),
            (with("wiis", "w i"), RefusalReason::Unparsable, "models"),
            (with("\"name\"", "\"playbook\":\"x\",\"name\""), RefusalReason::Unparsable, "duplicate"),
            (" ".repeat(MAX_LINK_CONFIG_BYTES + 1), RefusalReason::TooLarge, "at most"),
        ] {
            let refusal = LinkConfig::parse(text.as_bytes()).unwrap_err();
            assert_eq!(refusal.reason, reason, "{}", refusal.detail);
            assert!(refusal.detail.contains(word), "{}", refusal.detail);
        }
    }
}
