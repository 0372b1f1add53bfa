//! Where a thing of the audit log is looked at: the log keeps in words what was done to what, since things go and lines stay. Pure.

use keros_protocol::magic_link::Digest;
use keros_protocol::{Eui, UpdateId};

use super::place;

/// Its page, when it has one. Of what was removed or named anew since, the page says that it is not there.
pub(crate) fn page_of(subject: &str) -> Option<String> {
    let (kind, rest) = subject.split_once(' ')?;
    let first = rest.split(' ').next()?;
    match kind {
        "gateway" => first.parse::<Eui>().ok().map(|eui| place("/gateways", &eui.to_string())),
        "update" => first.parse::<UpdateId>().ok().map(|id| place("/updates", &id.to_string())),
        "group" => quoted(rest).map(|name| place("/groups", name)),
        "user" => quoted(rest).map(|login| place("/users", login)),
        "Magic" => {
            let digest = rest.strip_prefix("Link ")?.split(' ').next()?.parse::<Digest>().ok()?;
            Some(place("/magic-links", &digest.to_string()))
        }
        _ => None,
    }
}

/// A name in quotation marks, unless some of it was written in another way.
fn quoted(text: &str) -> Option<&str> {
    let name = text.strip_prefix('"')?.strip_suffix('"')?;
    (!name.is_empty() && !name.contains(['\\', '"'])).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_a_page_is_led_to() {
        let digest = "sha256:41e79610619d693363f1f6e5172e48eb20d1592a982d02e119985c3338743a01";
        for (subject, page) in [
            ("gateway 7076FF0000000001".to_owned(), Some("/gateways/7076FF0000000001".to_owned())),
            ("gateway 7076FF0000000001 and more".to_owned(), Some("/gateways/7076FF0000000001".to_owned())),
            ("gateways from a file".to_owned(), None),
            ("gateway javascript:alert(1)".to_owned(), None),
            (
                "update 01a21756-8d25-7690-aab4-63216d330309".to_owned(),
                Some("/updates/01a21756-8d25-7690-aab4-63216d330309".to_owned()),
            ),
            ("group \"the north\"".to_owned(), Some("/groups/the%20north".to_owned())),
            ("group \"a\\\"b\"".to_owned(), None),
            ("user \"anna\"".to_owned(), Some("/users/anna".to_owned())),
            (format!("Magic Link {digest} \"base\""), Some(place("/magic-links", digest))),
            ("Magic Link".to_owned(), None),
            ("log-in".to_owned(), None),
            (String::new(), None),
        ] {
            assert_eq!(page_of(&subject), page, "{subject}");
        }
    }
}
