//! The floors: axum handlers that a durable receiver cannot beat by being careless.
//!
//! | floor | work for each request |
//! | --- | --- |
//! | bare | reads the body, answers 200 |
//! | durable | reads the body; one thread appends all waiting bodies to a file as they are and calls `fdatasync` once; answers 200 |

use std::fs::File;
use std::io::Write;
use std::sync::mpsc;

use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use bytes::Bytes;
use tokio::sync::oneshot;

/// A body to be stored, and the answer to its handler.
type Append = (Bytes, oneshot::Sender<()>);

/// Bytes of bodies in one sync, at most; as in the embedded engine.
const GROUP_BYTES: usize = 4 * 1024 * 1024;

/// Serves one of the floors in the working directory.
pub(crate) async fn serve(is_durable: bool) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("bound");
    let address = listener.local_addr().expect("an address");
    eprintln!("{{\"message\":\"ready\",\"listen\":\"{address}\"}}");
    let handler = if is_durable {
        let (appends, waiting) = mpsc::channel();
        std::thread::spawn(move || write(&waiting));
        post(async move |body: Bytes| {
            let (stored, answer) = oneshot::channel();
            let answered = answer_to(&body);
            appends.send((body, stored)).expect("the writer lives");
            answer.await.expect("stored");
            answered
        })
    } else {
        post(async |body: Bytes| answer_to(&body))
    };
    let router =
        axum::Router::new().route("/webhooks/pingone", handler).layer(DefaultBodyLimit::disable());
    axum::serve(listener, router).await.expect("served");
}

fn answer_to(body: &Bytes) -> String {
    format!("{{\"received\":{}}}", body.len())
}

/// Appends bodies until no handler is left.
fn write(waiting: &mpsc::Receiver<Append>) {
    let mut file = File::create("floor.raw").expect("created");
    while let Ok(first) = waiting.recv() {
        let mut size = first.0.len();
        let mut group = vec![first];
        while size < GROUP_BYTES
            && let Ok(next) = waiting.try_recv()
        {
            size += next.0.len();
            group.push(next);
        }
        for (body, _) in &group {
            file.write_all(body).expect("written");
        }
        file.sync_data().expect("synced");
        for (_, stored) in group {
            stored.send(()).expect("its handler waits");
        }
    }
}
