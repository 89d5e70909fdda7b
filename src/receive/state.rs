//! What every webhook request needs, and what each source adds.

use std::fmt;
use std::num::NonZero;
use std::sync::{Arc, PoisonError, RwLock};

use ipnet::IpNet;
use tokio::sync::Semaphore;

use super::auth::Credentials;
use super::client::Proxies;
use super::in_flight::InFlight;
use super::throttle::Throttle;
use crate::config::{self, Config, Limits, OnUnparseable};
use crate::metrics::SharedMetrics;
use crate::observe::Observer;
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
    pub(super) proxies: Proxies,
    pub(super) wrong_logins: Throttle,
    /// What is not logged more than once a minute for an address.
    pub(super) mentioned: Throttle,
    pub(super) metrics: SharedMetrics,
    pub(super) observer: Arc<Observer>,
    pub(super) clock: Clock,
    pub(super) shutdown: Shutdown,
}

/// A source, ready to check requests.
pub(super) struct Source {
    pub(super) name: Arc<str>,
    pub(super) path: String,
    pub(super) strict: bool,
    pub(super) on_unparseable: OnUnparseable,
    access: RwLock<Arc<Access>>,
}

/// Who may post to a source.
pub(super) struct Access {
    pub(super) credentials: Credentials,
    pub(super) allow_from: Vec<IpNet>,
}

/// All sources. Who may post to them can change while they are served.
#[derive(Clone)]
pub struct Sources(pub(super) Arc<[Arc<Source>]>);

impl Receiver {
    /// A receiver that stores into `spool`, and answers 503 from the start of `shutdown` on.
    pub fn new(
        spool: Arc<Spool>,
        config: &Config,
        metrics: SharedMetrics,
        observer: Arc<Observer>,
        clock: Clock,
        shutdown: Shutdown,
    ) -> Receiver {
        let limits = config.limits.clone();
        let redaction = config.redact.as_ref().map(Redaction::new).map(Arc::new);
        let in_flight = InFlight::new(limits.in_flight);
        let processors = std::thread::available_parallelism().map_or(1, NonZero::get);
        let decoding = Arc::new(Semaphore::new(processors));
        let proxies = Proxies {
            trusted: config.listen.trusted_proxies.clone(),
            header: config.listen.forwarded_header,
        };
        Receiver {
            spool,
            limits,
            redaction,
            in_flight,
            decoding,
            proxies,
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

impl Sources {
    /// Those that are configured.
    pub fn new(sources: &[config::Source]) -> Sources {
        Sources(sources.iter().map(|source| Arc::new(Source::new(source))).collect())
    }

    /// From now on, who may post is what `sources` say. Returns the names of those that are in one of
    /// the two only, which nothing was done about.
    pub fn replace_access(&self, sources: &[config::Source]) -> Vec<String> {
        let mut unknown: Vec<String> = Vec::new();
        for source in self.0.iter() {
            match sources.iter().find(|other| *other.name == *source.name) {
                Some(other) => {
                    let access = Arc::new(Access::new(other));
                    *source.access.write().unwrap_or_else(PoisonError::into_inner) = access;
                }
                None => unknown.push(source.name.to_string()),
            }
        }
        let is_new =
            |other: &&config::Source| !self.0.iter().any(|source| *source.name == *other.name);
        unknown.extend(sources.iter().filter(is_new).map(|source| source.name.clone()));
        unknown
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_list().entries(self.0.iter().map(|source| &source.name)).finish()
    }
}

impl Source {
    fn new(source: &config::Source) -> Source {
        Source {
            name: source.name.as_str().into(),
            path: source.path.clone(),
            strict: source.strict,
            on_unparseable: source.on_unparseable,
            access: RwLock::new(Arc::new(Access::new(source))),
        }
    }

    /// Who may post to it now.
    pub(super) fn access(&self) -> Arc<Access> {
        Arc::clone(&self.access.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Access {
    fn new(source: &config::Source) -> Access {
        Access {
            credentials: Credentials::new(&source.credentials),
            allow_from: source.allow_from.clone(),
        }
    }
}
