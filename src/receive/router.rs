//! Routes requests by path and method, sets request ids, and answers a panic.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::response::Response;
use axum::routing::any;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};

use super::answer::{Unavailable, WebhookAnswer};
use super::state::{Receiver, RouteSource};
use super::{request_id, webhook};
use crate::listener::Peer;
use crate::receive::SourceConfig;

/// Builds one route per source. Any other path is 404, so that a wrong path never looks like
/// success.
pub(crate) fn router(receiver: Receiver, sources: &[SourceConfig]) -> Router {
    let receiver = Arc::new(receiver);
    let mut router = Router::new();
    for source in sources {
        let (receiver, state) = (Arc::clone(&receiver), Arc::new(RouteSource::new(source)));
        let handle = move |request: Request| {
            webhook::handle(Arc::clone(&receiver), Arc::clone(&state), request)
        };
        router = router.route(&source.path, any(handle));
    }
    router
        .fallback(move |request: Request| async move { not_found(&receiver, &request) })
        .layer(CatchPanicLayer::custom(panicked))
        .layer(PropagateRequestIdLayer::x_request_id())
        .layer(SetRequestIdLayer::x_request_id(MakeRequestUuid))
}

/// Logs and counts an unknown path. Otherwise a wrong path in PingOne's webhook would look like
/// missing events.
fn not_found(receiver: &Receiver, request: &Request) -> Response {
    receiver.metrics.requests.with_label_values(&["none", "404"]).inc();
    let peer = request.extensions().get::<Peer>();
    let now = (receiver.clock)();
    if let (&Method::POST, Some(_)) = (request.method(), peer) {
        let client = receiver.policy.current().client(peer, request.headers());
        if receiver.logged.count(client, now) == 1 && receiver.logged.may_log(now) {
            // Without the path, which may contain a mistyped secret.
            let request_id = request_id::of(request.headers(), receiver.redaction.as_deref());
            tracing::warn!(
                %client, request_id = &*request_id,
                "answered 404: the path of a POST is none of the sources'"
            );
        }
    }
    WebhookAnswer::NotFound.into_response()
}

/// Answers a panic outside of the webhook handler, which catches its own.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a request handler panicked; answered 503, nothing was acknowledged");
    WebhookAnswer::Unavailable(Unavailable::Panic).into_response()
}
