//! Cases that no client can cause over a socket, because hyper closes idle connections at shutdown.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use tower::ServiceExt;

use super::*;
use crate::app::system_clock;
use crate::metrics::Metrics;
use crate::observe::Observer;
use crate::shutdown;
use crate::spool::Spool;

#[tokio::test]
async fn a_batch_that_comes_while_the_service_ends_stays_with_the_sender() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut config = crate::config::parse("", None, std::iter::empty()).expect("the defaults");
    config.spool.directory = folder.path().to_owned();
    let spool = Arc::new(Spool::open(&config.spool, system_clock()).expect("opened"));
    let metrics = Arc::new(Metrics::new().expect("registered"));
    let (trigger, shutdown) = shutdown::channel();
    let observer = Arc::new(Observer::new(std::iter::empty(), Arc::clone(&metrics), 0));
    let policy = Policy::new(&config.listen, &config.sources, None);
    let receiver = Receiver::new(
        Arc::clone(&spool),
        config.receiver(),
        Arc::new(SharedPolicy::new(policy)),
        metrics,
        observer,
        system_clock(),
        shutdown,
    );
    let router = router(receiver, &config.sources);
    let post = || {
        let body =
            Body::from(r#"[{"id":"a","recordedAt":"2024-01-01T00:00:00Z","action":{"type":"X"}}]"#);
        let request = Request::builder().method(Method::POST).uri("/webhooks/pingone").body(body);
        router.clone().oneshot(request.expect("a request"))
    };
    trigger.begin();
    let Ok(response) = post().await;
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(response.headers()[header::RETRY_AFTER], "5");
    assert_eq!(spool.stats().await.expect("stats").head, 0, "nothing of it is kept");
    spool.close();
}
