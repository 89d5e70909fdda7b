//! Blocking requests to PingOne. Reads of the spool block, too, so a comparison runs on a thread of its own.

use std::collections::HashSet;

use tokio::runtime::Handle;

use super::ReconcileError;
use crate::http_client::RequestError;
use crate::pingone::{Page, PingOneClient, PingOneConfig, PingOneError};
use crate::shutdown::Shutdown;

/// Client of PingOne outside of asynchronous code. Each request ends when the shutdown begins.
#[derive(Debug)]
pub(crate) struct Network {
    runtime: Handle,
    client: PingOneClient,
    shutdown: Shutdown,
}

impl Network {
    /// Creates a client that waits on `runtime`.
    ///
    /// # Errors
    /// A certificate or secret cannot be read.
    pub(crate) fn new(
        config: &PingOneConfig,
        runtime: Handle,
        shutdown: Shutdown,
    ) -> Result<Network, RequestError> {
        Ok(Network { runtime, client: PingOneClient::open(config)?, shutdown })
    }

    /// Passes each element of a list to `take`, page by page, until a page is empty.
    pub(super) fn each<T>(
        &mut self,
        path: &str,
        query: String,
        name: &str,
        mut take: impl FnMut(Vec<T>) -> Result<(), ReconcileError>,
        mut read: impl FnMut(Box<serde_json::value::RawValue>) -> Option<T>,
    ) -> Result<u64, ReconcileError> {
        let (mut next, mut unreadable) = (Some(query), 0);
        // A list that leads in a circle would never end.
        let mut asked = HashSet::new();
        while let Some(query) = next.filter(|query| asked.insert(query.clone())) {
            let Page { elements, next: after } = self.page(path, &query, name)?;
            if elements.is_empty() {
                break;
            }
            let count = elements.len();
            let found: Vec<T> = elements.into_iter().filter_map(&mut read).collect();
            unreadable += (count - found.len()) as u64;
            take(found)?;
            next = after;
        }
        Ok(unreadable)
    }

    fn page(&mut self, path: &str, query: &str, name: &str) -> Result<Page, ReconcileError> {
        let Network { runtime, client, shutdown } = self;
        runtime.block_on(async {
            tokio::select! {
                biased;
                () = shutdown.begun() => Err(ReconcileError::Interrupted),
                page = client.page(path, query, name) => Ok(page?),
            }
        })
    }
}

impl ReconcileError {
    /// Returns the reason why PingOne does not offer a list to this application, if that is the error.
    pub(super) fn refusal(&self) -> Option<&str> {
        match self {
            ReconcileError::PingOne(
                PingOneError::Forbidden(message) | PingOneError::Unsupported(message),
            ) => Some(message),
            _ => None,
        }
    }
}
