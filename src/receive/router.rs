//! Paths and methods, request ids, and the answer to a panic.

use std::any::Any;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::Method;
use axum::response::Response;
use axum::routing::any;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::request_id::{MakeRequestUuid, PropagateRequestIdLayer, SetRequestIdLayer};

use super::answer::{Answer, Unavailable};
use super::state::{Receiver, Source};
use super::{request_id, webhook};
use crate::config;
use crate::listener::Peer;

/// One route per source; everything else is 404, so that a wrong path is never taken for success.
pub fn router(receiver: Receiver, sources: &[config::Source]) -> Router {
    let receiver = Arc::new(receiver);
    let mut router = Router::new();
    for source in sources {
        let (receiver, state) = (Arc::clone(&receiver), Arc::new(Source::new(source)));
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

/// Said and counted: a wrong path in PingOne's webhook would otherwise look as if nothing came.
fn not_found(receiver: &Receiver, request: &Request) -> Response {
    receiver.metrics.requests.with_label_values(&["none", "404"]).inc();
    let peer = request.extensions().get::<Peer>();
    let now = (receiver.clock)();
    if let (&Method::POST, Some(_)) = (request.method(), peer) {
        let client = receiver.policy.current().client(peer, request.headers());
        if receiver.mentioned.count(client, now) == 1 && receiver.mentioned.may_say(now) {
            // Not which: a path may be a secret that was mistyped.
            let request_id = request_id::of(request.headers(), receiver.redaction.as_deref());
            tracing::warn!(
                %client, request_id = &*request_id,
                "answered 404: the path of a POST is none of the sources'"
            );
        }
    }
    Answer::NotFound.into_response()
}

/// The last resort: a webhook's handler has caught its own before.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a request handler panicked; answered 503, nothing was acknowledged");
    Answer::Unavailable(Unavailable::Panic).into_response()
}
