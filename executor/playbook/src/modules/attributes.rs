//! Owner, group and mode of file, directory, copy and template.

use keros_protocol::executor::Change;

use super::{Scope, change};
use crate::fields::Fields;
use crate::system::{Attributes, Metadata, System, SystemError};
use crate::template::Text;

/// `attributes: { owner, group, mode }`; each may be left out.
#[derive(Debug, Default)]
pub(super) struct AttributeFields {
    owner: Option<Text>,
    group: Option<Text>,
    mode: Option<Text>,
}

impl AttributeFields {
    pub(super) fn parse(fields: &mut Fields<'_, '_>) -> Self {
        let Some(node) = fields.node("attributes") else { return Self::default() };
        let mut inner = Fields::of(node, "`attributes`", fields.findings);
        let (owner, group, mode) = (inner.text("owner"), inner.text("group"), inner.text("mode"));
        if let Some(text) = mode.as_ref().filter(|text| text.is_literal())
            && let Err(message) = parse_mode(text.source.trim())
        {
            inner.findings.invalid(text.at, &message);
        }
        inner.finish();
        Self { owner, group, mode }
    }

    pub(super) fn prepare(&self, scope: &Scope<'_>) -> Result<Wanted, String> {
        let mode = self.mode.as_ref().map(|text| scope.text(text).and_then(|mode| parse_mode(&mode)));
        let (owner, group) =
            (scope.optional_word(self.owner.as_ref())?, scope.optional_word(self.group.as_ref())?);
        Ok(Wanted { owner, group, mode: mode.transpose()? })
    }
}

/// `644`, `0644`, `0o644` and `0o0644` are the same.
fn parse_mode(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let mode = u32::from_str_radix(digits, 8).ok().filter(|mode| *mode <= 0o7777 && !digits.starts_with('+'));
    mode.ok_or_else(|| format!("field (mode) must be an octal number such as 0o644, was {text}"))
}

/// What a task wants, names not looked up yet.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    owner: Option<String>,
    group: Option<String>,
    mode: Option<u32>,
}

impl Wanted {
    /// Looks the names up on the machine: an earlier task may have made the user.
    pub(super) fn resolve(&self, system: &mut dyn System) -> Result<Attributes, SystemError> {
        let uid = self.owner.as_deref().map(|owner| system.user_id(owner)).transpose()?;
        let gid = self.group.as_deref().map(|group| system.group_id(group)).transpose()?;
        Ok(Attributes { uid, gid, mode: self.mode })
    }
}

/// What of the attributes is not as it is, and that as changes.
pub(super) fn drift(wanted: Attributes, is: &Metadata, system: &mut dyn System) -> (Attributes, Vec<Change>) {
    let mut changes = Vec::new();
    let uid = wanted.uid.filter(|uid| *uid != is.uid);
    if let Some(uid) = uid {
        changes.push(change("owner", Some(system.user_name(is.uid)), Some(system.user_name(uid))));
    }
    let gid = wanted.gid.filter(|gid| *gid != is.gid);
    if let Some(gid) = gid {
        changes.push(change("group", Some(system.group_name(is.gid)), Some(system.group_name(gid))));
    }
    // A change of owner takes set-id bits away, so that the mode is set again after it.
    let differs = wanted.mode.is_some_and(|mode| mode != is.mode);
    let mode = wanted.mode.filter(|_| differs || uid.is_some() || gid.is_some());
    if let Some(mode) = wanted.mode.filter(|_| differs) {
        changes.push(change("mode", Some(shown_mode(is.mode)), Some(shown_mode(mode))));
    }
    (Attributes { uid, gid, mode }, changes)
}

pub(super) fn shown_mode(mode: u32) -> String {
    format!("0o{mode:o}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_to_write_a_mode_mean_the_same() {
        for text in ["644", "0644", "0o644", "0o0644"] {
            assert_eq!(parse_mode(text), Ok(0o644), "{text}");
        }
        assert_eq!(parse_mode("4755"), Ok(0o4755));
        for text in ["", "9", "u+x", "77777", "+644", "0x1"] {
            assert!(parse_mode(text).is_err(), "{text}");
        }
    }
}
