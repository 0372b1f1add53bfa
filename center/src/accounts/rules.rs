//! Who may give which role, and who may change whom. Pure.

use crate::access::permissions::allows;
use crate::access::{Action, Caller, Grant, Reach};

/// Nobody gives or takes more than he has himself there.
pub(super) fn may_give(caller: &Caller, grant: Grant) -> bool {
    let may = |action| match grant.reach {
        Reach::All => caller.may_everywhere(action),
        Reach::One(customer) => caller.may(action, &customer),
    };
    may(Action::EditUsers) && Action::ALL.into_iter().filter(|action| allows(grant.role, *action)).all(may)
}

/// Whoever may change a user (a new set-up link, disabling) can become him: so only one who may give all that the user has.
pub(super) fn may_change(caller: &Caller, grants: &[Grant]) -> bool {
    !grants.is_empty() && grants.iter().all(|grant| may_give(caller, *grant))
        || grants.is_empty() && caller.may_everywhere(Action::EditUsers)
}

/// A log-in name as it is kept: in lower case, so that it is the same however it is written.
pub(super) fn login_of(text: &str) -> Option<String> {
    let login = text.trim().to_lowercase();
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-@+".contains(c);
    ((1..=64).contains(&login.len()) && login.chars().all(fits)).then_some(login)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::{CustomerId, Role, TokenScopes, UserId};

    fn with(grants: &[Grant]) -> Caller {
        Caller::user(UserId::new(), "ada".to_owned(), grants.to_vec(), TokenScopes::ALL)
    }

    #[test]
    fn nobody_gives_more_than_he_has() {
        let (mine, other) = (CustomerId::new(), CustomerId::new());
        let on = |customer, role| Grant { reach: Reach::One(customer), role };
        for holder in Role::ALL {
            let ada = with(&[on(mine, holder)]);
            for role in Role::ALL {
                let expected = match holder {
                    Role::ChannelAdministrator => true,
                    Role::CustomerAdministrator => {
                        matches!(role, Role::CustomerAdministrator | Role::ServiceViewer)
                    }
                    _ => false,
                };
                assert_eq!(may_give(&ada, on(mine, role)), expected, "{holder} gives {role}");
                assert!(!may_give(&ada, on(other, role)), "{holder} gives {role} on another customer");
                assert!(!may_give(&ada, Grant { reach: Reach::All, role }), "{holder} gives {role} on all");
            }
        }
    }

    #[test]
    fn who_holds_two_roles_gives_either() {
        let mine = CustomerId::new();
        let on = |role| Grant { reach: Reach::One(mine), role };
        let ada = with(&[on(Role::CustomerAdministrator), on(Role::ServiceAdministrator)]);
        assert!(may_give(&ada, on(Role::ServiceAdministrator)) && may_give(&ada, on(Role::ServiceOperator)));
        assert!(!may_give(&ada, on(Role::ChannelAdministrator)));
    }

    #[test]
    fn a_customers_administrator_does_not_change_who_has_more() {
        let (mine, other) = (CustomerId::new(), CustomerId::new());
        let on = |customer, role| Grant { reach: Reach::One(customer), role };
        let ada = with(&[on(mine, Role::CustomerAdministrator)]);
        assert!(may_change(&ada, &[on(mine, Role::ServiceViewer)]));
        assert!(!may_change(&ada, &[on(mine, Role::ServiceViewer), on(other, Role::ServiceViewer)]));
        assert!(!may_change(&ada, &[on(mine, Role::ChannelAdministrator)]));
        assert!(!may_change(&ada, &[]));
        assert!(may_change(&Caller::root(), &[]));
    }

    #[test]
    fn a_log_in_name_is_the_same_however_it_is_written() {
        for (text, login) in [
            ("Ada", Some("ada")),
            (" ada@example.org ", Some("ada@example.org")),
            ("", None),
            ("a b", None),
            ("<script>", None),
            ("é", None),
        ] {
            assert_eq!(login_of(text).as_deref(), login, "{text:?}");
        }
        assert_eq!(login_of(&"a".repeat(65)), None);
    }
}
