//! Why a template cannot be used.

use crate::findings::Findings;
use crate::yaml::Position;

/// A template or condition that cannot be used.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TemplateFault {
    pub(crate) message: String,
    pub(crate) too_large: bool,
}

impl TemplateFault {
    pub(super) fn syntax(message: String) -> Self {
        Self { message, too_large: false }
    }

    pub(super) fn size(message: String) -> Self {
        Self { message, too_large: true }
    }

    pub(crate) fn report(&self, at: Position, prefix: &str, findings: &mut Findings) {
        let message = format!("{prefix}{}", self.message);
        if self.too_large { findings.too_large(at, &message) } else { findings.invalid(at, &message) }
    }
}
