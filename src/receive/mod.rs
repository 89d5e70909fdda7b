//! Receives webhook requests and answers after a durable commit. Knows decode and spool, but no
//! sink.
//!
//! | file | content |
//! | --- | --- |
//! | [`request_id`] | the request id in logs, quarantine and spans |
//! | [`router`](mod@router) | paths and methods, request ids, the answer to a panic |
//! | [`client`] | the client address behind proxies |
//! | [`admission`] | check of address and credentials before the body is read |
//! | [`auth`] | comparison of credentials |
//! | [`throttle`] | counts per address and minute |
//! | [`body`] | reading and inflating a body within its limits |
//! | [`in_flight`] | the limit on all bodies together |
//! | [`ingest`] | elements → batch (pure) |
//! | [`intake`] | decoding while the body arrives (pure) |
//! | [`redacted`] | the stored form of received bytes (pure) |
//! | [`prepare`] | inflating, decoding and packing |
//! | [`policy`] | the access policy, replaced as one value by a reload |
//! | [`state`] | shared state of all requests, and the sources by path |
//! | [`webhook`] | the handler that combines these |
//! | [`answer`] | every answer and its condition |
//! | [`fetched`] | events that were fetched from PingOne |
//! | [`retry`] | retry of quarantine entries |

mod admission;
mod answer;
mod auth;
mod body;
mod client;
pub(crate) mod config;
mod fetched;
#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod in_flight;
mod ingest;
mod intake;
mod policy;
mod prepare;
mod redacted;
mod request_id;
pub(crate) mod retry;
mod router;
mod state;
mod throttle;
mod webhook;

pub(crate) use auth::Credentials;
pub(crate) use config::{Credential, LimitsConfig, OnUnparseable, PinnedCertificate, SourceConfig};
pub(crate) use config::{DEFAULT_SOURCE, credential_problems};
pub(crate) use fetched::{FetchedError, FetchedIntake};
#[cfg(test)]
pub(crate) use policy::AccessDecision;
pub(crate) use policy::{Policy, SharedPolicy};
pub(crate) use router::router;
pub(crate) use state::{Receiver, ReceiverConfig};
pub(crate) use throttle::Throttle;

#[cfg(test)]
mod tests;
