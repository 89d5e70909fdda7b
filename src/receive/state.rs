//! Shared state of all requests, and the sources by path.

use std::fmt;
use std::num::NonZero;
use std::sync::Arc;

use tokio::sync::Semaphore;

use super::in_flight::InFlightBytes;
use super::policy::SharedPolicy;
use super::throttle::Throttle;
use crate::event::OutcomeWords;
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
    /// `[outcomes]`
    pub outcomes: Arc<OutcomeWords>,
    /// `[redact]`
    pub redact: Option<RedactConfig>,
}

/// Shared state of all webhook requests.
pub(crate) struct Receiver {
    pub(super) spool: Arc<Spool>,
    pub(super) limits: LimitsConfig,
    pub(super) outcomes: Arc<OutcomeWords>,
    pub(super) redaction: Option<Arc<Redaction>>,
    pub(super) in_flight: Arc<InFlightBytes>,
    /// Permits to decode large bodies, one per processor. More threads would only use more memory.
    pub(super) decoding: Arc<Semaphore>,
    pub(super) policy: Arc<SharedPolicy>,
    pub(super) wrong_logins: Throttle,
    /// Counts log lines that appear at most once per minute and address.
    pub(super) logged: Throttle,
    pub(super) metrics: SharedMetrics,
    pub(super) observer: Arc<Observer>,
    pub(super) clock: Clock,
    pub(super) shutdown: Shutdown,
}

/// A source as its route knows it. The policy decides who may post to it.
pub(super) struct RouteSource {
    pub(super) name: Arc<str>,
}

impl Receiver {
    /// Creates a receiver that stores into `spool`, and answers 503 after the start of `shutdown`.
    pub(crate) fn new(
        spool: Arc<Spool>,
        config: ReceiverConfig,
        policy: Arc<SharedPolicy>,
        metrics: SharedMetrics,
        observer: Arc<Observer>,
        clock: Clock,
        shutdown: Shutdown,
    ) -> Receiver {
        let ReceiverConfig { limits, outcomes, redact } = config;
        let redaction = redact.as_ref().map(Redaction::new).map(Arc::new);
        let in_flight = InFlightBytes::new(limits.in_flight);
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let decoding = Arc::new(Semaphore::new(processors));
        Receiver {
            spool,
            limits,
            outcomes,
            redaction,
            in_flight,
            decoding,
            policy,
            wrong_logins: Throttle::new(),
            logged: Throttle::new(),
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

impl RouteSource {
    pub(super) fn new(source: &SourceConfig) -> RouteSource {
        RouteSource { name: source.name.as_str().into() }
    }
}
