//! The one table of permissions: which role may do what on a customer. `docs/permissions.md` is made from it.

use super::Role;
use super::Role::{
    ChannelAdministrator, CustomerAdministrator, ServiceAdministrator, ServiceOperator, ServiceViewer,
};

/// How much of a permission an API token's scopes have to hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    /// Looks, changes nothing.
    Read,
    /// Changes gateways, groups, links; sends and cancels updates.
    Update,
    /// Changes who may do what.
    Administer,
}

#[cfg(test)]
impl Needs {
    /// The scope's name.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Update => "update",
            Self::Administer => "administer",
        }
    }
}

/// Something that is done on a customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Action {
    /// Gateways, their telemetry and their history.
    SeeGateways,
    /// Declare, name, describe, label, retire gateways.
    EditGateways,
    /// Move gateways to or from the customer.
    MoveGateways,
    /// Ask a gateway for telemetry now.
    AskTelemetry,
    /// Groups and their members.
    SeeGroups,
    /// Make, change, remove groups and their members.
    EditGroups,
    /// Updates, their dashboards, outputs and diffs.
    SeeUpdates,
    /// Send, schedule, retry updates.
    SendUpdates,
    /// Cancel updates.
    CancelUpdates,
    /// Magic Links and their files.
    SeeLinks,
    /// Put Magic Links into the store, remove them.
    EditLinks,
    /// Sign a command that a person carries to a gateway.
    SignByHand,
    /// Users of the customer and their roles.
    SeeUsers,
    /// Make, change, disable users of the customer; give and take roles.
    EditUsers,
    /// The customer's name and description.
    SeeCustomers,
    /// Make, change, remove customers.
    EditCustomers,
    /// The audit log.
    SeeAudit,
    /// Make and take back lines with which gateways join.
    Enrol,
    /// Lock a gateway out.
    LockOut,
    /// Webhooks, and what was sent to them.
    SeeWebhooks,
    /// Make, change, remove webhooks.
    EditWebhooks,
    /// One's own log-in, password and API tokens.
    OwnAccount,
}

impl Action {
    /// All of them, in the order of the documentation.
    pub(crate) const ALL: [Self; 22] = [
        Self::SeeGateways,
        Self::EditGateways,
        Self::MoveGateways,
        Self::AskTelemetry,
        Self::SeeGroups,
        Self::EditGroups,
        Self::SeeUpdates,
        Self::SendUpdates,
        Self::CancelUpdates,
        Self::SeeLinks,
        Self::EditLinks,
        Self::SignByHand,
        Self::SeeUsers,
        Self::EditUsers,
        Self::SeeCustomers,
        Self::EditCustomers,
        Self::SeeAudit,
        Self::Enrol,
        Self::LockOut,
        Self::SeeWebhooks,
        Self::EditWebhooks,
        Self::OwnAccount,
    ];

    /// Its name in the audit log and in messages.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::SeeGateways => "see gateways",
            Self::EditGateways => "edit gateways",
            Self::MoveGateways => "move gateways",
            Self::AskTelemetry => "ask for telemetry",
            Self::SeeGroups => "see groups",
            Self::EditGroups => "edit groups",
            Self::SeeUpdates => "see updates",
            Self::SendUpdates => "send updates",
            Self::CancelUpdates => "cancel updates",
            Self::SeeLinks => "see Magic Links",
            Self::EditLinks => "edit Magic Links",
            Self::SignByHand => "sign commands carried by hand",
            Self::SeeUsers => "see users",
            Self::EditUsers => "edit users",
            Self::SeeCustomers => "see customers",
            Self::EditCustomers => "edit customers",
            Self::SeeAudit => "see the audit log",
            Self::Enrol => "enrol gateways",
            Self::LockOut => "lock gateways out",
            Self::SeeWebhooks => "see webhooks",
            Self::EditWebhooks => "edit webhooks",
            Self::OwnAccount => "change one's own account",
        }
    }

    /// What an API token needs for it.
    pub(crate) const fn needs(self) -> Needs {
        match self {
            Self::SeeGateways | Self::SeeGroups | Self::SeeUpdates | Self::SeeLinks | Self::SeeCustomers => {
                Needs::Read
            }
            Self::EditGateways
            | Self::AskTelemetry
            | Self::EditGroups
            | Self::SendUpdates
            | Self::CancelUpdates
            | Self::EditLinks
            | Self::SignByHand => Needs::Update,
            Self::MoveGateways
            | Self::SeeUsers
            | Self::EditUsers
            | Self::EditCustomers
            | Self::SeeAudit
            | Self::Enrol
            | Self::LockOut
            | Self::SeeWebhooks
            | Self::EditWebhooks
            | Self::OwnAccount => Needs::Administer,
        }
    }
}

/// The table. Only the vendor's two administrators may update or cancel.
pub(crate) const fn allows(role: Role, action: Action) -> bool {
    match action {
        // Everybody who has a role on the customer sees what is there; a customer's administrator has to know whom he gives what.
        Action::SeeGateways
        | Action::SeeGroups
        | Action::SeeUpdates
        | Action::SeeLinks
        | Action::SeeCustomers
        | Action::OwnAccount => true,
        // Monitoring: the answer is telemetry that would come anyway within the hour.
        Action::AskTelemetry => matches!(role, ServiceOperator | ServiceAdministrator | ChannelAdministrator),
        Action::EditGateways
        | Action::EditGroups
        | Action::SendUpdates
        | Action::CancelUpdates
        | Action::EditLinks
        | Action::SignByHand
        | Action::Enrol
        | Action::LockOut
        | Action::SeeWebhooks
        | Action::EditWebhooks => matches!(role, ServiceAdministrator | ChannelAdministrator),
        Action::SeeUsers | Action::EditUsers => matches!(role, CustomerAdministrator | ChannelAdministrator),
        Action::SeeAudit => match role {
            ServiceViewer | ServiceOperator => false,
            ServiceAdministrator | CustomerAdministrator | ChannelAdministrator => true,
        },
        Action::MoveGateways | Action::EditCustomers => matches!(role, ChannelAdministrator),
    }
}
