//! Percent-encoded text of requests: paths, queries, forms. What is no text for the databases, and for people, is refused before anybody looks
//! at it: bytes that are no UTF-8, and NUL (U+0000), which PostgreSQL does not take.

use std::borrow::Cow;

use axum::http::Uri;

/// Whether a path and a query are text once they are decoded.
pub(crate) fn is_text_uri(uri: &Uri) -> bool {
    is_text(uri.path()) && uri.query().is_none_or(is_text)
}

/// Whether this is text once it is decoded.
pub(crate) fn is_text(encoded: &str) -> bool {
    std::str::from_utf8(&decoded(encoded)).is_ok_and(|text| !text.contains('\0'))
}

/// The pairs of a query or a form; a value that is no UTF-8 is `None`.
pub(super) fn pairs(query: &str) -> impl Iterator<Item = (String, Option<String>)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let name = String::from_utf8_lossy(&decoded(name)).into_owned();
        (name, String::from_utf8(decoded(value).into_owned()).ok())
    })
}

/// `%` without two hex digits stands for itself, `+` for a blank (in a path it stands for itself, and is text either way).
fn decoded(text: &str) -> Cow<'_, [u8]> {
    let bytes = text.as_bytes();
    if !bytes.iter().any(|byte| matches!(byte, b'%' | b'+')) {
        return Cow::Borrowed(bytes);
    }
    let digit = |at: usize| bytes.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.extend(u8::try_from(high * 16 + low));
                at += 2;
            }
            (b'+', ..) => out.push(b' '),
            (byte, ..) => out.push(*byte),
        }
        at += 1;
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_is_text_or_it_is_not() {
        for (encoded, expected) in [
            ("", true),
            ("a=b&c=%20+d", true),
            ("%C3%A9", true),
            ("%zz%", true),
            ("%e", true),
            ("é", true),
            ("%00", false),
            ("a=%FF", false),
            ("%C3", false),
            ("\0", false),
        ] {
            assert_eq!(is_text(encoded), expected, "{encoded:?}");
        }
    }

    #[test]
    fn pairs_are_decoded() {
        let found: Vec<_> = pairs("a=1&&b&c%3D=%C3%A9+x&d=%FF&=e").collect();
        let pair = |name: &str, value: Option<&str>| (name.to_owned(), value.map(str::to_owned));
        let expected = [
            pair("a", Some("1")),
            pair("b", Some("")),
            pair("c=", Some("é x")),
            pair("d", None),
            pair("", Some("e")),
        ];
        assert_eq!(found, expected);
    }
}
