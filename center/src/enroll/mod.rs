//! How gateways join: tokens that are good once, log-ins by password or by certificates of an authority of the center's own, and the
//! HTTPS entrance where gateways ask. The wire forms are in `keros_protocol::enroll`; `docs/enroll.md` tells the whole of it.
//!
//! Reading order: [`Told`] (what gateways are told), [`Authority`], [`Office`] (decides), [`Entrance`](entrance) (HTTP).

mod attempts;
mod authority;
mod entrance;
mod office;
#[cfg(test)]
mod tests;
mod told;

pub(crate) use authority::{Authority, create as create_authority, folder as authority_folder};
pub(crate) use entrance::router;
pub(crate) use office::{Logins, Office};
pub(crate) use told::{Told, Way, pin};
