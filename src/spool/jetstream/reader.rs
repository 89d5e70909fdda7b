//! One sink's own way to read, in either order.

use tokio::sync::watch;

use super::{ordered, parallel};
use crate::spool::{Read, ReadError};

/// One sink's own way to read.
#[derive(Debug)]
pub enum Reader {
    /// By position.
    Ordered(ordered::Reader),
    /// Whatever comes next of what all receivers share.
    Parallel(parallel::Reader),
}

impl Reader {
    /// See [`crate::spool::Reader::head`].
    pub fn head(&self) -> watch::Receiver<u64> {
        match self {
            Reader::Ordered(reader) => reader.head(),
            Reader::Parallel(reader) => reader.head(),
        }
    }

    /// See [`crate::spool::Reader::read`].
    pub async fn read(&self, after: u64, max_bytes: usize) -> Result<Vec<Read>, ReadError> {
        match self {
            Reader::Ordered(reader) => reader.read(after, max_bytes).await,
            Reader::Parallel(reader) => reader.read(max_bytes).await,
        }
    }
}
