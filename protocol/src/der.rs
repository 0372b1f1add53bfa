//! Reads DER (X.690), as far as certificates and certificate requests need it. Lengths are definite, of up to four bytes.

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const UTF8_STRING: u8 = 0x0c;
pub(crate) const PRINTABLE_STRING: u8 = 0x13;
pub(crate) const UTC_TIME: u8 = 0x17;
pub(crate) const GENERALIZED_TIME: u8 = 0x18;
pub(crate) const SEQUENCE: u8 = 0x30;
pub(crate) const SET: u8 = 0x31;

/// Object identifier 2.5.4.3, `commonName`.
const COMMON_NAME: &[u8] = &[0x55, 0x04, 0x03];

/// One element.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Element<'a> {
    pub(crate) tag: u8,
    pub(crate) value: &'a [u8],
    /// With tag and length.
    pub(crate) whole: &'a [u8],
}

/// Elements, one behind the other.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Elements<'a>(pub(crate) &'a [u8]);

impl<'a> Elements<'a> {
    /// The next one.
    pub(crate) fn next(&mut self) -> Option<Element<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, rest) = match first {
            0..=0x7f => (usize::from(first), rest),
            0x81..=0x84 => {
                let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
                (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
            }
            _ => return None,
        };
        let (value, rest) = rest.split_at_checked(length)?;
        let (whole, _) = self.0.split_at_checked(self.0.len() - rest.len())?;
        self.0 = rest;
        Some(Element { tag, value, whole })
    }

    /// The next one, which must have this tag.
    pub(crate) fn take(&mut self, tag: u8) -> Option<Element<'a>> {
        self.next().filter(|element| element.tag == tag)
    }

    /// The next one's own elements.
    pub(crate) fn enter(&mut self, tag: u8) -> Option<Elements<'a>> {
        self.take(tag).map(|element| Elements(element.value))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The common name of a `Name` (RFC 5280, section 4.1.2.4); `None` when there is none, more than one, or one in an unusual encoding.
pub(crate) fn common_name(mut names: Elements<'_>) -> Option<String> {
    let mut found = None;
    while !names.is_empty() {
        let mut set = names.enter(SET)?;
        while !set.is_empty() {
            let mut attribute = set.enter(SEQUENCE)?;
            let kind = attribute.take(OBJECT_IDENTIFIER)?;
            if kind.value == COMMON_NAME && found.replace(text(attribute.next()?)?).is_some() {
                return None;
            }
        }
    }
    found
}

fn text(element: Element<'_>) -> Option<String> {
    let is_text = matches!(element.tag, UTF8_STRING | PRINTABLE_STRING);
    is_text.then(|| String::from_utf8(element.value.to_vec()).ok()).flatten()
}

/// The bytes of a bit string of whole bytes.
pub(crate) fn bits<'a>(element: &Element<'a>) -> Option<&'a [u8]> {
    match element.value.split_first() {
        Some((0, bytes)) if element.tag == BIT_STRING => Some(bytes),
        _ => None,
    }
}
