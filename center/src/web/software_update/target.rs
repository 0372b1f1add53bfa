//! For whom an update is: a group or one gateway, in the words of the page.

use keros_protocol::Eui;

use super::super::place;
use crate::service::Addressed;

/// A group or a gateway that an update is for.
#[derive(Debug, Clone)]
pub(crate) enum Target {
    /// A group of so many gateways.
    Group { id: String, name: String, gateways: u32 },
    /// One gateway.
    Gateway { eui: Eui, name: String },
}

impl Target {
    /// What the page says of the addressee.
    pub(super) fn new(to: &Addressed) -> Self {
        let name = to.name.clone();
        match to.gateway() {
            Some(eui) => Self::Gateway { eui, name },
            None => {
                let id = to.group_id.as_ref().map(ToString::to_string).unwrap_or_default();
                Self::Group { id, name, gateways: to.count }
            }
        }
    }

    /// Whether it is a group.
    pub(crate) fn is_group(&self) -> bool {
        matches!(self, Self::Group { .. })
    }

    /// The page of the group or gateway.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Group { id, .. } => place("/groups", id),
            Self::Gateway { eui, .. } => format!("/gateways/{eui}"),
        }
    }

    /// The page that lists its like.
    pub(crate) fn list_place(&self) -> &'static str {
        match self {
            Self::Group { .. } => "/groups",
            Self::Gateway { .. } => "/gateways",
        }
    }

    /// What that page is called.
    pub(crate) fn list_name(&self) -> &'static str {
        match self {
            Self::Group { .. } => "Groups",
            Self::Gateway { .. } => "Gateways",
        }
    }

    /// Its name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Group { name, .. } | Self::Gateway { name, .. } => name,
        }
    }

    /// The words after "Send": `to the 12 gateways of group “north”`.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Group { name, gateways: 1, .. } => format!("to the one gateway of group “{name}”"),
            Self::Group { name, gateways, .. } => format!("to the {gateways} gateways of group “{name}”"),
            Self::Gateway { eui, name } => format!("to gateway “{name}” ({eui})"),
        }
    }

    /// A sentence that says where the update goes.
    pub(crate) fn sentence(&self) -> String {
        format!("An update goes {}.", self.words())
    }
}
