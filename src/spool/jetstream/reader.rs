//! Reader of one sink, in either order.
//!
//! Reading runs as its own task: a caller may stop waiting, and messages received by then are neither lost nor
//! requested again.

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::{Mutex, watch};
use tokio_util::task::AbortOnDropHandle;

use super::permissions::Denials;
use super::{error_chain, ordered, parallel};
use crate::spool::{Read, ReadError};

/// Reader of one sink.
#[derive(Debug)]
pub struct JetStreamReader {
    source: Arc<DeliveryOrderReader>,
    denials: Arc<Denials>,
    under_way: Mutex<Option<Reading>>,
}

#[derive(Debug)]
pub(super) enum DeliveryOrderReader {
    /// Reads by position.
    Ordered(ordered::OrderedReader),
    /// Reads the next messages that all receivers share.
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
    pub(crate) fn head(&self) -> watch::Receiver<u64> {
        match &*self.source {
            DeliveryOrderReader::Ordered(reader) => reader.head(),
            DeliveryOrderReader::Parallel(reader) => reader.head(),
        }
    }

    /// See [`crate::spool::Reader::read`].
    ///
    /// # Cancel safety
    ///
    /// Events that are read in the meantime are returned by the next call.
    pub(crate) async fn read(&self, after: u64, max_bytes: usize) -> Result<Vec<Read>, ReadError> {
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
