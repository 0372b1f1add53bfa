//! Names of variables that a template or an expression mentions, by its text alone.
//!
//! It may find names that are none, such as the words of a quoted text, and must not miss one: for a dry run that is the
//! difference between "cannot be told" and a wrong answer.

/// Stands for every name: whoever asks for `@root` as a whole may look at anything.
pub(crate) const ANY: &str = "@root";

/// The names in the tags of a template.
pub(crate) fn in_template(text: &str) -> impl Iterator<Item = &str> {
    let tags = text.split("{{").skip(1);
    tags.flat_map(|tag| in_expression(tag.split("}}").next().unwrap_or_default()))
}

/// The names in an expression.
pub(crate) fn in_expression(text: &str) -> impl Iterator<Item = &str> {
    let is_end = |c: char| c.is_whitespace() || "(){}=\"'|~#&^!,;<>*".contains(c);
    text.split(is_end).filter_map(name_of)
}

/// `r` of `r.out`, `../r`, `@root/r`, `this.r` and `[r]`.
fn name_of(path: &str) -> Option<&str> {
    let mut parts = path.split(['.', '/', '[', ']']).filter(|part| !part.is_empty());
    match parts.next()? {
        "this" => parts.next(),
        ANY => parts.next().or(Some(ANY)),
        name => Some(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expression(text: &str) -> Vec<&str> {
        in_expression(text).collect()
    }

    #[test]
    fn every_way_to_name_a_variable_is_found() {
        for text in [
            "r",
            "r.out",
            "(eq r.rc 0)",
            "(not r)",
            "../r",
            "../../r.out",
            "@root.r",
            "@root/r.rc",
            "this.r",
            "[r]",
            "lookup @root \"r\"",
            "lookup m 'r'",
            "helper key=r.out",
            "(and(eq 1 2)(r))",
        ] {
            assert!(expression(text).contains(&"r"), "{text}: {:?}", expression(text));
        }
        assert!(expression("lookup @root x").contains(&ANY));
    }

    #[test]
    fn a_key_below_another_name_is_none() {
        for text in ["m.r", "m.[0].r", "(eq m.r 1)", "item/r", "rr", "@index"] {
            assert!(!expression(text).contains(&"r"), "{text}: {:?}", expression(text));
        }
    }

    #[test]
    fn only_the_tags_of_a_template_count() {
        let text = "r {{a}} r {{#if (eq b.c 1)}} r {{~d~}} {{{e}}} {{else if f}}{{/if}}{{> p x=g}}";
        let found: Vec<&str> = in_template(text).collect();
        for name in ["a", "b", "d", "e", "f", "g"] {
            assert!(found.contains(&name), "{name}: {found:?}");
        }
        assert!(!found.contains(&"r"), "{found:?}");
    }
}
