//! What every webhook request needs, and what each source adds.

use std::fmt;
use std::num::NonZero;
use std::sync::Arc;

use ipnet::IpNet;
use tokio::sync::Semaphore;

use super::auth::Credentials;
use super::in_flight::InFlight;
use crate::config::{self, Config, Limits, OnUnparseable};
use crate::metrics::SharedMetrics;
use crate::redact::Redaction;
use crate::shutdown::Shutdown;
use crate::spool::{Clock, Spool};

/// What every webhook request needs.
pub struct Receiver {
    pub(super) spool: Arc<Spool>,
    pub(super) limits: Limits,
    pub(super) redaction: Option<Arc<Redaction>>,
    pub(super) in_flight: Arc<InFlight>,
    /// Large bodies are decoded by as many threads as there are processors: more would only take memory.
    pub(super) decoding: Arc<Semaphore>,
    pub(super) metrics: SharedMetrics,
    pub(super) clock: Clock,
    pub(super) shutdown: Shutdown,
}

/// A source, ready to check requests.
pub(super) struct Source {
    pub(super) name: Arc<str>,
    pub(super) credentials: Credentials,
    pub(super) allow_from: Vec<IpNet>,
    pub(super) strict: bool,
    pub(super) on_unparseable: OnUnparseable,
}

impl Receiver {
    /// A receiver that stores into `spool`, and answers 503 from the start of `shutdown` on.
    pub fn new(
        spool: Arc<Spool>,
        config: &Config,
        metrics: SharedMetrics,
        clock: Clock,
        shutdown: Shutdown,
    ) -> Receiver {
        let limits = config.limits.clone();
        let redaction = config.redact.as_ref().map(Redaction::new).map(Arc::new);
        let in_flight = InFlight::new(limits.in_flight);
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let decoding = Arc::new(Semaphore::new(processors));
        Receiver { spool, limits, redaction, in_flight, decoding, metrics, clock, shutdown }
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Receiver").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Source {
    pub(super) fn new(source: &config::Source) -> Source {
        Source {
            name: source.name.as_str().into(),
            credentials: Credentials::new(&source.credentials),
            allow_from: source.allow_from.clone(),
            strict: source.strict,
            on_unparseable: source.on_unparseable,
        }
    }
}
