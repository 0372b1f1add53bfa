//! What the agent costs a gateway: memory, processor, bytes on the link, writes to the flash.

mod day;
mod flash;
mod idle;
mod site;
mod wire;

pub(crate) use day::run as day;
pub(crate) use idle::run as idle;
pub(crate) use wire::run as wire;
