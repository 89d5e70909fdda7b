//! Comparison of PingOne's own records with the events that were received.
//!
//! PingOne lists audit events by id, and flow runs by `interactionId`. Each is looked up in the spool, in the remembered
//! ids and in the quarantine. Reads the spool read-only, also while services use it, and writes only a resume point, where
//! told.
//!
//! | file | content |
//! | --- | --- |
//! | [`config`] | `[reconcile]`: the schedule |
//! | [`network`] | blocking requests to PingOne that end at shutdown |
//! | [`local`] | ids in the spool and in the quarantine |
//! | [`class`] | class of one event (pure) |
//! | [`audit`] | comparison of audit events |
//! | [`runs`] | comparison of flow runs |
//! | [`take_in`] | the missing events, passed to the running service |
//! | [`report`] | counts and lists |
//! | [`resume_point`] | the file from which an ended comparison continues |
//! | [`schedule`] | comparisons by the running service |

mod audit;
mod class;
mod config;
mod local;
mod network;
mod report;
mod resume_point;
mod runs;
pub(crate) mod schedule;
mod take_in;

use std::ops::Range;
use std::path::PathBuf;

use thiserror::Error;

use crate::http_client::RequestError;
use crate::pingone::{PingOneConfig, PingOneError};
use crate::spool::{Millis, OpenError, ReadError, SpoolConfig};
pub(crate) use config::ReconcileConfig;
pub(crate) use network::Network;
pub(crate) use report::{ListedRecord, ReconcileReport, RecordCounts, time_text};
pub(crate) use take_in::{TakeIn, TakenIn};

use local::LocalIndex;
use resume_point::ResumePoint;
pub(crate) use resume_point::stored_range;

/// One comparison.
#[derive(Debug)]
pub(crate) struct Comparison<'a> {
    /// Source whose events are compared.
    pub(crate) source: &'a str,
    /// Path of the source's webhook.
    pub(crate) path: &'a str,
    /// Time range by `recordedAt`, in ms since the Unix epoch.
    pub(crate) range: Range<Millis>,
    pub(crate) spool: &'a SpoolConfig,
    pub(crate) pingone: &'a PingOneConfig,
    /// File from which an ended comparison continues.
    pub(crate) resume: Option<PathBuf>,
}

/// Progress of a comparison.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Progress {
    /// Positions of the spool that are read, and all positions.
    Spool(u64, u64),
    /// Records of PingOne that are compared so far.
    Records(u64),
}

/// Reason why a comparison ends early.
#[derive(Debug, Error)]
pub(crate) enum ReconcileError {
    /// PingOne gives no answer.
    #[error("{0}")]
    PingOne(#[from] PingOneError),
    /// The client cannot be made.
    #[error("PingOne cannot be asked: {0}")]
    Client(#[from] RequestError),
    /// The spool cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The spool cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The running service does not take the missing events in.
    #[error("the missing events are not taken in: {0}")]
    TakeIn(String),
    /// The resume point cannot be used.
    #[error("{0}")]
    Resume(String),
    /// The process ends.
    #[error("interrupted by the shutdown")]
    Interrupted,
}

/// Compares PingOne's records with the received events. With `take_in`, passes the missing audit events on.
///
/// Blocks; call it outside of asynchronous code.
///
/// # Errors
///
/// See [`ReconcileError`]. What was compared before is in the resume point.
pub(crate) fn compare(
    comparison: &Comparison<'_>,
    network: &mut Network,
    take_in: Option<&mut TakeIn<'_>>,
    progress: &mut dyn FnMut(Progress),
) -> Result<ReconcileReport, ReconcileError> {
    let mut resume_point = ResumePoint::open(comparison)?;
    let subscribed = audit::subscribed(comparison, network, &mut resume_point.report)?;
    let mut local = LocalIndex::read(comparison, progress)?;
    resume_point.report.searched_events = local.searched_events;
    resume_point.report.unsearched_entries = local.unsearched_entries;
    audit::compare(
        comparison,
        network,
        &subscribed,
        &mut local,
        take_in,
        &mut resume_point,
        progress,
    )?;
    runs::compare(
        comparison,
        network,
        &subscribed,
        &mut local,
        &mut resume_point.report,
        progress,
    )?;
    resume_point.finish()
}
