//! State of the receiver that requests share, and the sources by their paths.

use std::fmt;
use std::num::NonZero;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::in_flight::InFlight;
use super::policy::SharedPolicy;
use super::throttle::Throttle;
use crate::metrics::SharedMetrics;
use crate::observe::Observer;
use crate::receive::{LimitsConfig, SourceConfig};
use crate::redact::{RedactConfig, Redaction};
use crate::shutdown::Shutdown;
use crate::spool::{Clock, Spool};

/// Settings of the receiver that no reload changes.
#[derive(Debug, Clone)]
pub struct ReceiverConfig {
    /// `[limits]`
    pub limits: LimitsConfig,
    /// `[redact]`
    pub redact: Option<RedactConfig>,
}

/// What every webhook request needs.
pub struct Receiver {
    pub(super) spool: Arc<Spool>,
    pub(super) limits: LimitsConfig,
    pub(super) redaction: Option<Arc<Redaction>>,
    pub(super) in_flight: Arc<InFlight>,
    /// Large bodies are decoded by as many threads as there are processors: more would only take memory.
    pub(super) decoding: Arc<Semaphore>,
    pub(super) policy: Arc<SharedPolicy>,
    pub(super) wrong_logins: Throttle,
    /// What is not logged more than once a minute for an address.
    pub(super) mentioned: Throttle,
    pub(super) metrics: SharedMetrics,
    pub(super) observer: Arc<Observer>,
    pub(super) clock: Clock,
    pub(super) shutdown: Shutdown,
}

/// A source, as its route knows it. Who may post to it is in the policy.
pub(super) struct Source {
    pub(super) name: Arc<str>,
}

impl Receiver {
    /// A receiver that stores into `spool`, and answers 503 from the start of `shutdown` on.
    pub fn new(
        spool: Arc<Spool>,
        config: ReceiverConfig,
        policy: Arc<SharedPolicy>,
        metrics: SharedMetrics,
        observer: Arc<Observer>,
        clock: Clock,
        shutdown: Shutdown,
    ) -> Receiver {
        let ReceiverConfig { limits, redact } = config;
        let redaction = redact.as_ref().map(Redaction::new).map(Arc::new);
        let in_flight = InFlight::new(limits.in_flight);
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let decoding = Arc::new(Semaphore::new(processors));
        Receiver {
            spool,
            limits,
            redaction,
            in_flight,
            decoding,
            policy,
            wrong_logins: Throttle::new(),
            mentioned: Throttle::new(),
            metrics,
            observer,
            clock,
            shutdown,
        }
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Receiver").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Source {
    pub(super) fn new(source: &SourceConfig) -> Source {
        Source { name: source.name.as_str().into() }
    }
}
