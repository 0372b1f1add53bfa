//! What earlier tasks of a dry run would have made of services, packages and the like, which no file tells.

use std::collections::BTreeMap;

/// States by kind and name, e.g. (`package`, `curl`) is `7.88.1`.
#[derive(Debug, Default)]
pub(crate) struct Imagined(BTreeMap<(&'static str, String), String>);

impl Imagined {
    /// What a thing would be by now; `None`: as the machine says.
    pub(crate) fn get(&self, kind: &'static str, name: &str) -> Option<&str> {
        self.0.get(&(kind, name.to_owned())).map(String::as_str)
    }

    /// From here on the thing is thought to be so.
    pub(crate) fn set(&mut self, kind: &'static str, name: &str, state: &str) {
        self.0.insert((kind, name.to_owned()), state.to_owned());
    }
}
