//! What earlier tasks of a dry run would have made of services, packages and the like, which no file tells.

use std::collections::BTreeMap;

/// The kind of packages, by name.
pub(crate) const PACKAGE: &str = "package";
/// The kind of programs that would have been run; they have no names.
pub(crate) const PROGRAM: &str = "program";

/// States by kind and name, e.g. (`package`, `curl`) is `7.88.1`.
#[derive(Debug, Default)]
pub(crate) struct Imagined(BTreeMap<(&'static str, String), String>);

impl Imagined {
    /// What a thing would be by now; `None`: as the machine says.
    pub(crate) fn get(&self, kind: &'static str, name: &str) -> Option<&str> {
        self.0.get(&(kind, name.to_owned())).map(String::as_str)
    }

    /// Whether an earlier task would have installed a package or run a program: it may have brought what is not there yet.
    pub(crate) fn may_bring_more(&self) -> bool {
        self.0.keys().any(|(kind, _)| matches!(*kind, PACKAGE | PROGRAM))
    }

    /// From here on the thing is thought to be so.
    pub(crate) fn set(&mut self, kind: &'static str, name: &str, state: &str) {
        self.0.insert((kind, name.to_owned()), state.to_owned());
    }
}
