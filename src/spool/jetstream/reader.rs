//! One sink's own way to read, in either order.
//!
//! Reading is a task of its own: whoever waits for it may stop waiting, and what the servers have sent by then
//! is not lost, nor asked for again.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Mutex, watch};
use tokio_util::task::AbortOnDropHandle;

use super::permissions::Denials;
use super::{error_chain, ordered, parallel};
use crate::spool::{Read, ReadError};

/// One sink's own way to read.
#[derive(Debug)]
pub struct JetStreamReader {
    source: Arc<DeliveryOrderReader>,
    denials: Arc<Denials>,
    under_way: Mutex<Option<Reading>>,
}

#[derive(Debug)]
pub(super) enum DeliveryOrderReader {
    /// By position.
    Ordered(ordered::OrderedReader),
    /// Whatever comes next of what all receivers share.
    Parallel(parallel::ParallelReader),
}

#[derive(Debug)]
struct Reading {
    after: u64,
    task: AbortOnDropHandle<Result<Vec<Read>, ReadError>>,
}

impl JetStreamReader {
    pub(super) fn new(source: DeliveryOrderReader, denials: Arc<Denials>) -> JetStreamReader {
        JetStreamReader { source: Arc::new(source), denials, under_way: Mutex::default() }
    }

    /// See [`crate::spool::Reader::head`].
    pub fn head(&self) -> watch::Receiver<u64> {
        match &*self.source {
            DeliveryOrderReader::Ordered(reader) => reader.head(),
            DeliveryOrderReader::Parallel(reader) => reader.head(),
        }
    }

    /// See [`crate::spool::Reader::read`].
    ///
    /// # Cancel safety
    ///
    /// What is read meanwhile is there for the next call.
    pub async fn read(&self, after: u64, max_bytes: usize) -> Result<Vec<Read>, ReadError> {
        let mut under_way = self.under_way.lock().await;
        let is_ordered = matches!(&*self.source, DeliveryOrderReader::Ordered(_));
        if under_way.as_ref().is_some_and(|reading| is_ordered && reading.after != after) {
            *under_way = None;
        }
        let reading = under_way.get_or_insert_with(|| {
            let (source, denials) = (Arc::clone(&self.source), Arc::clone(&self.denials));
            let task = tokio::spawn(async move {
                let began = Instant::now();
                let read = match &*source {
                    DeliveryOrderReader::Ordered(reader) => reader.read(after, max_bytes).await,
                    DeliveryOrderReader::Parallel(reader) => reader.read(max_bytes).await,
                };
                read.map_err(|ReadError(error)| {
                    ReadError(denials.explain(error_chain(&*error), began).into())
                })
            });
            Reading { after, task: AbortOnDropHandle::new(task) }
        });
        let read = (&mut reading.task).await;
        *under_way = None;
        read.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }
}
