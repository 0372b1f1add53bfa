//! Groups and their members.

use keros_protocol::Eui;

use super::center::{Center, check_description, check_name};
use super::gateways::no_gateway;
use super::order::OrderError;
use crate::api::GroupView;
use crate::store::{StoreError, gateways, groups};

/// Groups at most.
const MAX_GROUPS: u32 = 1000;

impl Center {
    /// All groups.
    pub(crate) async fn groups(&self) -> Result<Vec<GroupView>, OrderError> {
        Ok(groups::list(&mut *self.store.read().await?).await?)
    }

    /// One group.
    pub(crate) async fn group(&self, name: &str) -> Result<GroupView, OrderError> {
        groups::find(&mut *self.store.read().await?, name).await?.ok_or_else(|| no_group(name))
    }

    /// Makes a group, with its members.
    pub(crate) async fn create_group(&self, group: &GroupView) -> Result<GroupView, OrderError> {
        check_name("a group's name", &group.name)?;
        check_description(&group.description)?;
        let mut transaction = self.store.begin().await?;
        if groups::find(&mut transaction, &group.name).await?.is_some() {
            return Err(OrderError::Conflict(format!("there is a group {:?} already", group.name)));
        }
        if groups::count(&mut transaction).await? >= MAX_GROUPS {
            return Err(OrderError::Conflict(format!("there are {MAX_GROUPS} groups: remove one first")));
        }
        groups::create(&mut transaction, &group.name, &group.description).await?;
        for eui in &group.gateways {
            gateways::find(&mut transaction, *eui).await?.ok_or_else(|| no_gateway(*eui))?;
            groups::add_member(&mut transaction, &group.name, *eui).await?;
        }
        transaction.commit().await.map_err(StoreError::from)?;
        self.group(&group.name).await
    }

    /// Removes a group. Updates that were sent to it go on.
    pub(crate) async fn remove_group(&self, name: &str) -> Result<(), OrderError> {
        let mut transaction = self.store.begin().await?;
        let found = groups::remove(&mut transaction, name).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        if found { Ok(()) } else { Err(no_group(name)) }
    }

    /// Puts a gateway into a group.
    pub(crate) async fn add_member(&self, name: &str, eui: Eui) -> Result<GroupView, OrderError> {
        let mut transaction = self.store.begin().await?;
        groups::find(&mut transaction, name).await?.ok_or_else(|| no_group(name))?;
        gateways::find(&mut transaction, eui).await?.ok_or_else(|| no_gateway(eui))?;
        groups::add_member(&mut transaction, name, eui).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        self.group(name).await
    }

    /// Takes a gateway out of a group.
    pub(crate) async fn remove_member(&self, name: &str, eui: Eui) -> Result<GroupView, OrderError> {
        let mut transaction = self.store.begin().await?;
        groups::find(&mut transaction, name).await?.ok_or_else(|| no_group(name))?;
        let found = groups::remove_member(&mut transaction, name, eui).await?;
        transaction.commit().await.map_err(StoreError::from)?;
        if !found {
            return Err(OrderError::NotFound(format!("gateway {eui} is not in the group {name:?}")));
        }
        self.group(name).await
    }
}

fn no_group(name: &str) -> OrderError {
    OrderError::NotFound(format!("there is no group {name:?}: `keros-center groups` lists them"))
}
