//! Paths and methods, request ids, and the answer to a panic.

use std::fmt;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::Version;
use axum::response::Response;
use axum::routing::any;
use ipnet::IpNet;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};

use super::answer::{Answer, Unavailable};
use super::auth::Credentials;
use super::in_flight::InFlight;
use super::webhook;
use crate::config::{self, Limits, OnUnparseable};
use crate::metrics::SharedMetrics;
use crate::shutdown::Shutdown;
use crate::spool::{Clock, Spool};

/// What every webhook request needs.
pub struct Receiver {
    pub(super) spool: Arc<Spool>,
    pub(super) limits: Limits,
    pub(super) in_flight: Arc<InFlight>,
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
        limits: Limits,
        metrics: SharedMetrics,
        clock: Clock,
        shutdown: Shutdown,
    ) -> Receiver {
        let in_flight = InFlight::new(limits.in_flight);
        Receiver { spool, limits, in_flight, metrics, clock, shutdown }
    }
}

impl fmt::Debug for Receiver {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Receiver").field("limits", &self.limits).finish_non_exhaustive()
    }
}

/// One route per source; everything else is 404, so that a wrong path is never taken for success.
pub fn router(receiver: Receiver, sources: &[config::Source]) -> Router {
    let receiver = Arc::new(receiver);
    let mut router = Router::new();
    for source in sources {
        let receiver = Arc::clone(&receiver);
        let state = Arc::new(Source {
            name: source.name.as_str().into(),
            credentials: Credentials::new(&source.credentials),
            allow_from: source.allow_from.clone(),
            strict: source.strict,
            on_unparseable: source.on_unparseable,
        });
        let handle = move |request: Request| {
            webhook::handle(Arc::clone(&receiver), Arc::clone(&state), request)
        };
        router = router.route(&source.path, any(handle));
    }
    router
        .fallback(not_found)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
}

async fn not_found(request: Request) -> Response {
    tracing::debug!("answered 404");
    Answer::NotFound.into_response(request.version() <= Version::HTTP_11)
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a request handler panicked; answered 503, nothing was acknowledged");
    Answer::Unavailable(Unavailable::Panic).into_response(true)
}
