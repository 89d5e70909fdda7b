//! Client of PingOne's management API, as far as `reconcile` and `doctor` read it. It changes nothing there.
//!
//! | file | content |
//! | --- | --- |
//! | [`config`] | `[pingone]`: environment, region, credentials |
//! | [`client`] | requests with a token, at a limited rate, with retries |
//! | [`token`] | the access token of the worker application |
//! | [`verdict`] | consequence of an answer (pure) |
//! | [`page`] | one page of a list, and the query of the next one (pure) |
//! | [`records`] | audit events, flows, flow runs and webhooks (pure) |
//!
//! <https://developer.pingidentity.com/pingone-api/>

mod client;
mod config;
mod page;
mod records;
mod token;
mod verdict;

pub(crate) use client::{PingOneClient, PingOneError};
pub(crate) use config::PingOneConfig;
pub(crate) use page::{Page, encoded};
pub(crate) use records::{Activity, FlowRun, Subscription, flow_id};
