//! What somebody saw of a thing before he changed it.

/// The tags under which he knows it: it is changed only while it has one of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AsSeen(String);

impl AsSeen {
    /// A list of tags with commas between, as `If-Match` has it (RFC 9110, section 13.1.1); `*` is any. Text that is no list has no tag in it.
    pub(crate) fn new(list: impl Into<String>) -> Self {
        Self(list.into())
    }

    /// Whether this tag is among them. A weak one of the same text is not: it says that the two are alike, not that they are the same.
    pub(crate) fn has(&self, tag: &str) -> bool {
        self.0.split(',').map(str::trim).any(|one| one == "*" || one == tag)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_looked_for_in_the_list() {
        for (list, expected) in [
            ("\"a\"", true),
            ("\"b\", \"a\"", true),
            ("*", true),
            ("W/\"a\"", false),
            ("\"b\"", false),
            ("a", false),
            ("", false),
            (",,", false),
        ] {
            assert_eq!(AsSeen::new(list).has("\"a\""), expected, "{list}");
        }
    }
}
