//! How a gateway joins a center: the one pasted [`EnrolLine`], and what the two say to each other over HTTPS.
//!
//! The line names the gateway, the entrance, the center's authority and a token that is good once. The gateway sends the token with a
//! certificate request ([`IssueRequest`]), gets all that its configuration needs ([`Issued`]), tries it, writes it, and only then confirms
//! ([`ConfirmRequest`]): until then it may ask again with the same token and key. [`RenewRequest`] asks for the next certificate.

mod line;
mod place;
mod token;
mod wire;

pub use line::{EnrolLine, LineError, Pin};
pub use place::{HostPort, HostPortError};
pub use token::EnrolToken;
pub use wire::{
    ANSWER_BYTES, ConfirmRequest, EnrolProblem, EnrolReason, IssueRequest, Issued, IssuedError, Login,
    REQUEST_BYTES, RenewRequest, Renewed, renewal_message,
};

/// Where the center takes these requests.
pub mod paths {
    /// [`super::IssueRequest`].
    pub const ISSUE: &str = "/enroll/v1/issue";
    /// [`super::ConfirmRequest`].
    pub const CONFIRM: &str = "/enroll/v1/confirm";
    /// [`super::RenewRequest`].
    pub const RENEW: &str = "/enroll/v1/renew";
}

/// Base 32 as Crockford has it: no letter that looks like a digit, either case is read.
mod base32 {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

    pub(super) fn encode(bytes: &[u8]) -> String {
        let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
        let (mut held, mut bits) = (0_u32, 0);
        for byte in bytes {
            held = (held << 8 | u32::from(*byte)) & 0xfff;
            bits += 8;
            while bits >= 5 {
                bits -= 5;
                text.push(char::from(DIGITS[(held >> bits & 31) as usize]));
            }
        }
        if bits > 0 {
            text.push(char::from(DIGITS[(held << (5 - bits) & 31) as usize]));
        }
        text
    }

    /// Exactly `N` bytes; what is left of the last digit must be zero.
    pub(super) fn decode<const N: usize>(text: &str) -> Option<[u8; N]> {
        if text.len() != (N * 8).div_ceil(5) {
            return None;
        }
        let mut bytes = [0; N];
        let (mut held, mut bits, mut at) = (0_u32, 0, 0);
        for digit in text.bytes() {
            held = (held << 5 | value(digit)?) & 0xfff;
            bits += 5;
            if bits >= 8 && at < N {
                bits -= 8;
                bytes[at] = (held >> bits & 0xff) as u8;
                at += 1;
            }
        }
        (held & ((1 << bits) - 1) == 0).then_some(bytes)
    }

    fn value(digit: u8) -> Option<u32> {
        let digit = match digit.to_ascii_uppercase() {
            b'O' => b'0',
            b'I' | b'L' => b'1',
            other => other,
        };
        DIGITS.iter().position(|known| *known == digit).and_then(|at| u32::try_from(at).ok())
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn bytes_come_back_and_a_wrong_last_digit_is_seen() {
            let bytes: [u8; 53] = std::array::from_fn(|at| (at * 37 + 200) as u8);
            let text = encode(&bytes);
            assert_eq!(text.len(), 85);
            assert_eq!(decode(&text), Some(bytes));
            assert_eq!(decode(&text.to_lowercase().replace('1', "l").replace('0', "o")), Some(bytes));
            assert_eq!(decode::<53>(&text[1..]), None);
            assert_eq!(decode::<1>("04"), Some([1]));
            assert_eq!(decode::<1>("05"), None);
            assert_eq!(decode::<1>("0U"), None);
        }
    }
}
