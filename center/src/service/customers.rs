//! Customers: finding the one that an order is for.

use sqlx::AnyConnection;

use super::order::{OrderError, invalid};
use crate::access::{Action, Caller, CustomerId, Visible};
use crate::store::{Customer, customers};

/// The customer that is named by id or name; when none is: the caller's only one, else `main` where he sees it. He may do this there.
pub(crate) async fn customer_for(
    connection: &mut AnyConnection,
    caller: &Caller,
    name: Option<&str>,
    action: Action,
) -> Result<Customer, OrderError> {
    caller.require_somewhere(action)?;
    let visible = caller.visible();
    let found = match (name, &visible) {
        (Some(name), visible) => {
            customers::named(connection, name, visible).await?.ok_or_else(|| no_customer(name))?
        }
        (None, visible) => {
            let id = match visible {
                Visible::Only(list) if list.len() == 1 => list.first().copied(),
                visible => Some(CustomerId::MAIN).filter(|main| visible.has(main)),
            };
            let id =
                id.ok_or_else(|| invalid("say for which customer it is: `customer` is its id or its name"))?;
            customers::find(connection, id).await?.ok_or_else(|| no_customer(&id.to_string()))?
        }
    };
    caller.require(action, &found.id)?;
    Ok(found)
}

pub(crate) fn no_customer(name: &str) -> OrderError {
    OrderError::NotFound(format!("there is no customer {name:?}: `keros-center customers` lists them"))
}
