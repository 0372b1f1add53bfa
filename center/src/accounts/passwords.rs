//! Passwords that people choose: what they have to be, and how they are kept (Argon2id).

use argon2::password_hash::{PasswordHash, PasswordHasher as _, PasswordVerifier as _, SaltString};
use argon2::{Algorithm, Argon2, Params, Version};
use ring::rand::{SecureRandom as _, SystemRandom};

use crate::service::OrderError;

/// Characters at least, and bytes at most: no rules about kinds of characters, which make passwords worse (NIST SP 800-63B, 5.1.1.2).
const MIN_CHARS: usize = 12;
pub(super) const MAX_BYTES: usize = 512;

/// Memory in KiB, passes, lanes: the first choice of OWASP's cheat sheet. 19 MiB and some 40 ms of one core for each log-in; two at a time
/// (bounds.rs) are 38 MiB.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;

/// Those of 12 characters and more that lists of stolen passwords have first. Beside them, what repeats itself or counts is refused.
const COMMON: [&str; 12] = [
    "123456789012",
    "password1234",
    "passwordpassword",
    "password12345",
    "qwertyuiopas",
    "qwertyuiop123",
    "administrator",
    "administrator1",
    "iloveyou1234",
    "letmeinletmein",
    "changemechangeme",
    "correcthorsebatterystaple",
];

/// Refuses a password that is too easy to guess for the user of this log-in name.
pub(crate) fn check(password: &str, login: &str) -> Result<(), OrderError> {
    let refuse = |why: &str| Err(OrderError::Invalid(format!("the password {why}")));
    if password.chars().count() < MIN_CHARS {
        return refuse(&format!(
            "has at least {MIN_CHARS} characters: a few words in a row are easy to remember"
        ));
    }
    if password.len() > MAX_BYTES {
        return refuse(&format!("has at most {MAX_BYTES} bytes"));
    }
    let lower = password.to_lowercase();
    if COMMON.contains(&lower.as_str()) || repeats_or_counts(&lower) {
        return refuse("is among the first that anybody would guess: choose another one");
    }
    if login.chars().count() >= 4 && lower.contains(login) && lower.len() < login.len() + MIN_CHARS {
        return refuse("has the log-in name in it: choose another one");
    }
    Ok(())
}

/// `aaaaaaaaaaaa`, `abababababab`, `abcdefghijkl`, `210987654321`.
fn repeats_or_counts(text: &str) -> bool {
    let codes: Vec<i64> = text.chars().map(|c| i64::from(u32::from(c))).collect();
    let repeats = |period: usize| codes.iter().zip(codes.iter().skip(period)).all(|(a, b)| a == b);
    let steps: Vec<i64> = codes.iter().zip(codes.iter().skip(1)).map(|(a, b)| b - a).collect();
    // From 9 to 0 and back counting goes on.
    let counts = |step: i64| steps.iter().all(|found| *found == step || *found == -9 * step);
    (1..=4).any(repeats) || counts(1) || counts(-1)
}

/// What is kept of a password, in the PHC form. It takes some 40 ms: not in a thread that serves others.
pub(crate) fn hash(password: &str) -> Result<String, OrderError> {
    let unavailable = |what: String| OrderError::Unavailable(format!("the password cannot be kept: {what}"));
    let mut salt = [0; 16];
    SystemRandom::new().fill(&mut salt).map_err(|_| unavailable("no random numbers".to_owned()))?;
    let salt = SaltString::encode_b64(&salt).map_err(|error| unavailable(error.to_string()))?;
    let params =
        Params::new(MEMORY_KIB, PASSES, LANES, None).map_err(|error| unavailable(error.to_string()))?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let kept = argon2.hash_password(password.as_bytes(), &salt);
    Ok(kept.map_err(|error| unavailable(error.to_string()))?.to_string())
}

/// Whether it is the password that this was kept of, whatever parameters it was kept with.
pub(super) fn is_same(password: &str, kept: &str) -> bool {
    if password.len() > MAX_BYTES {
        return false;
    }
    let Ok(kept) = PasswordHash::new(kept) else { return false };
    Argon2::default().verify_password(password.as_bytes(), &kept).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_long_and_not_the_first_guess() {
        for (password, good) in [
            ("correct horse battery", true),
            ("ein kühler Morgen", true),
            ("short", false),
            ("eleven char", false),
            ("aaaaaaaaaaaa", false),
            ("abababababab", false),
            ("abcdefghijkl", false),
            ("123456789012", false),
            ("Passwordpassword", false),
            ("ada.lovelace1", false),
            ("ada.lovelace is a long sentence", true),
        ] {
            assert_eq!(check(password, "ada.lovelace").is_ok(), good, "{password}");
        }
        assert!(check(&"é€x".repeat(100), "ada").is_err(), "600 bytes");
    }

    #[test]
    fn a_password_is_known_again_and_no_other_one_is() {
        let kept = hash("correct horse battery").unwrap();
        assert!(kept.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{kept}");
        assert!(is_same("correct horse battery", &kept));
        for other in ["correct horse batterz", "", "Correct horse battery"] {
            assert!(!is_same(other, &kept), "{other}");
        }
        assert_ne!(kept, hash("correct horse battery").unwrap(), "each has its own salt");
    }
}
