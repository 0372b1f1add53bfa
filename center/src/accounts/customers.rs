//! Customers.

use keros_protocol::UnixSeconds;
use sqlx::AnyConnection;

use super::shell::Accounts;
use crate::access::{Action, Caller, CustomerId, Grant, Reach, Role};
use crate::api::{CustomerOrder, CustomerView};
use crate::bounds::MAX_CUSTOMERS;
use crate::service::{OrderError, What, audit, check_description, check_name, no_customer, still_as_seen};
use crate::store::{Customer, StoreError, customers, users};

impl Accounts {
    /// The customers that the caller has to do with.
    pub(crate) async fn customers(&self, caller: &Caller) -> Result<Vec<CustomerView>, OrderError> {
        let visible = caller.where_may(Action::SeeCustomers);
        Ok(customers::list(&mut *self.store.read().await?, &visible).await?)
    }

    /// One customer, by id or name.
    pub(crate) async fn customer(&self, caller: &Caller, name: &str) -> Result<CustomerView, OrderError> {
        let mut connection = self.store.read().await?;
        let found = find(&mut connection, caller, name, Action::SeeCustomers).await?;
        view(&mut connection, found.id).await
    }

    /// The name of the customer of something that the caller sees.
    pub(crate) async fn customer_name(&self, id: CustomerId) -> Result<String, OrderError> {
        let found = customers::find(&mut *self.store.read().await?, id).await?;
        Ok(found.map_or_else(|| id.to_string(), |customer| customer.name))
    }

    /// Makes a customer. Who does not administer all customers becomes its channel administrator.
    pub(crate) async fn create_customer(
        &self,
        caller: &Caller,
        order: CustomerOrder,
        now: UnixSeconds,
    ) -> Result<CustomerView, OrderError> {
        caller.require_somewhere(Action::EditCustomers)?;
        let name = order.name.unwrap_or_default();
        let description = order.description.unwrap_or_default();
        check(&name, &description)?;
        let mut transaction = self.store.begin().await?;
        let sees_all = caller.may_everywhere(Action::SeeCustomers);
        let is_taken = customers::is_taken(&mut transaction, &name, None);
        if self.is_taken(caller, sees_all, is_taken, now).await? {
            return Err(taken(&name));
        }
        if customers::count(&mut transaction).await? >= MAX_CUSTOMERS {
            return Err(OrderError::Conflict(format!("there are {MAX_CUSTOMERS} customers already")));
        }
        let id = CustomerId::new();
        customers::insert(&mut transaction, id, &name, &description, now).await?;
        if let (false, Some(user)) = (caller.may_everywhere(Action::EditCustomers), caller.user) {
            let grant = Grant { reach: Reach::One(id), role: Role::ChannelAdministrator };
            users::give(&mut transaction, user, grant).await?;
        }
        let what = What::of(id, format!("customer {name:?}"), "made");
        audit(&mut transaction, caller, Action::EditCustomers, what).await?;
        let view = view(&mut transaction, id).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(view)
    }

    /// Names or describes a customer anew.
    pub(crate) async fn change_customer(
        &self,
        caller: &Caller,
        name: &str,
        order: CustomerOrder,
        now: UnixSeconds,
    ) -> Result<CustomerView, OrderError> {
        let mut transaction = self.store.begin().await?;
        let found = find(&mut transaction, caller, name, Action::EditCustomers).await?;
        let old = view(&mut transaction, found.id).await?;
        still_as_seen(caller, &old)?;
        let name = order.name.unwrap_or(old.name);
        let description = order.description.unwrap_or(old.description);
        check(&name, &description)?;
        let sees_all = caller.may_everywhere(Action::SeeCustomers);
        let is_taken = customers::is_taken(&mut transaction, &name, Some(found.id));
        if self.is_taken(caller, sees_all, is_taken, now).await? {
            return Err(taken(&name));
        }
        customers::keep(&mut transaction, found.id, &name, &description).await?;
        let what =
            What::of(found.id, format!("customer {:?}", found.name), format!("is {name:?} from now on"));
        audit(&mut transaction, caller, Action::EditCustomers, what).await?;
        let view = view(&mut transaction, found.id).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        Ok(view)
    }

    /// Removes a customer that has nothing.
    pub(crate) async fn remove_customer(&self, caller: &Caller, name: &str) -> Result<(), OrderError> {
        let mut transaction = self.store.begin().await?;
        let found = find(&mut transaction, caller, name, Action::EditCustomers).await?;
        still_as_seen(caller, &view(&mut transaction, found.id).await?)?;
        if found.id == CustomerId::MAIN {
            return Err(OrderError::Conflict(
                "this is the customer of gateways that are first heard of: it stays, and may be named anew"
                    .to_owned(),
            ));
        }
        if let Some(what) = customers::has(&mut transaction, found.id).await? {
            return Err(OrderError::Conflict(format!(
                "the customer {:?} has {what}: only one that has, and had, nothing is removed",
                found.name
            )));
        }
        customers::remove(&mut transaction, found.id).await?;
        let what = What::of(found.id, format!("customer {:?}", found.name), "removed");
        audit(&mut transaction, caller, Action::EditCustomers, what).await?;
        Ok(transaction.commit().await.map_err(StoreError::from)?)
    }
}

async fn find(
    connection: &mut AnyConnection,
    caller: &Caller,
    name: &str,
    action: Action,
) -> Result<Customer, OrderError> {
    let found = customers::named(connection, name, &caller.visible()).await?;
    let found = found.ok_or_else(|| no_customer(name))?;
    caller.require(action, &found.id)?;
    Ok(found)
}

async fn view(connection: &mut AnyConnection, id: CustomerId) -> Result<CustomerView, OrderError> {
    let only = crate::access::Visible::Only(vec![id]);
    customers::list(connection, &only).await?.pop().ok_or_else(|| no_customer(&id.to_string()))
}

fn check(name: &str, description: &str) -> Result<(), OrderError> {
    check_name("a customer's name", name)?;
    if name == "*" {
        return Err(OrderError::Invalid("* stands for all customers".to_owned()));
    }
    check_description(description)
}

fn taken(name: &str) -> OrderError {
    OrderError::Conflict(format!("the name {name:?} is taken"))
}
