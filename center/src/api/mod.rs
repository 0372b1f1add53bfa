//! The JSON of the REST API, for the server and for the command line that asks it. All paths are below `/api/v1`; every request
//! but `GET /health` needs `Authorization: Bearer TOKEN`; errors are RFC 9457 problem details. `GET`, `HEAD` and `PUT
//! /blobs/{digest}` carry plain bytes.

mod accounts;
mod enrolments;
mod fleet;
mod gateways;
mod groups;
mod lines;
mod links;
mod plan;
mod preview;
mod problem;
mod scripts;
mod updates;
mod webhooks;

pub(crate) use accounts::*;
pub(crate) use enrolments::*;
pub(crate) use fleet::*;
pub(crate) use gateways::*;
pub(crate) use groups::*;
pub(crate) use lines::*;
pub(crate) use links::*;
pub(crate) use plan::*;
pub(crate) use preview::*;
pub(crate) use problem::*;
pub(crate) use scripts::*;
pub(crate) use updates::*;
pub(crate) use webhooks::*;
