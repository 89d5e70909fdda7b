//! Receiving: from a connection to a durable answer. Knows decode and spool, never a sink.
//!
//! | file | what |
//! | --- | --- |
//! | [`request_id`] | what a request is called in logs, quarantine and spans |
//! | [`router`](mod@router) | paths and methods, request ids, the answer to a panic |
//! | [`client`] | whom a request comes from, where proxies are in between |
//! | [`admission`] | address and credentials, before one byte of the body is read |
//! | [`auth`] | comparing credentials |
//! | [`throttle`] | how often an address does something in a minute |
//! | [`body`] | reading and inflating a body within its limits |
//! | [`in_flight`] | the bound on all bodies together |
//! | [`ingest`] | body → batch (pure) |
//! | [`redacted`] | what is stored in place of what came (pure) |
//! | [`prepare`] | inflating, decoding and packing, off the async threads |
//! | [`policy`] | who may send events; replaced as one value by a reload |
//! | [`state`] | state that requests share, and the sources by their paths |
//! | [`webhook`] | the one handler that puts these together |
//! | [`answer`] | every answer there is, and why |
//! | [`retry`] | quarantine entries on their way back |

mod admission;
mod answer;
mod auth;
mod body;
mod client;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod in_flight;
mod ingest;
mod policy;
mod prepare;
mod redacted;
mod request_id;
pub mod retry;
mod router;
mod state;
mod throttle;
mod webhook;

pub(crate) use auth::Credentials;
#[cfg(test)]
pub(crate) use policy::Judgement;
pub use policy::{Policy, SharedPolicy};
pub use router::router;
pub use state::Receiver;
pub(crate) use throttle::Throttle;

#[cfg(test)]
mod tests;
