//! Who asks a registry.

use keros_protocol::magic_link::basic_authorization;

/// A user and a password.
#[derive(Clone)]
pub(crate) struct Login {
    /// The user.
    pub(crate) user: String,
    /// The password.
    pub(crate) password: String,
}

impl std::fmt::Debug for Login {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Login({}, …)", self.user)
    }
}

impl Login {
    /// As the header `Authorization` has it.
    pub(super) fn basic(&self) -> String {
        basic_authorization(&self.user, &self.password)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_printed() {
        let login = Login { user: "Aladdin".to_owned(), password: "open sesame".to_owned() };
        assert!(!format!("{login:?}").contains("sesame"));
    }
}
