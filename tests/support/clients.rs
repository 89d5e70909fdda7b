//! Clients that behave like PingOne: each sends its next batch only after the last one is acknowledged, however often
//! the service restarts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reqwest::Client;
use serde_json::Value;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::oracle::{Batch, Oracle};
use super::service::Service;

/// Running clients.
pub struct Clients {
    url: watch::Sender<String>,
    done: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Clients {
    /// Starts the clients. They wait until they get an address.
    pub fn start(count: u64, oracle: &Arc<Oracle>, random: &mut StdRng) -> Clients {
        Clients::paced(count, Duration::ZERO, oracle, random)
    }

    /// Does the same as [`start`](Clients::start), with a pause after each batch.
    pub fn paced(
        count: u64,
        pause: Duration,
        oracle: &Arc<Oracle>,
        random: &mut StdRng,
    ) -> Clients {
        let (url, known) = watch::channel(String::new());
        let done = Arc::new(AtomicBool::new(false));
        let tasks = (0..count)
            .map(|client| {
                let random = StdRng::seed_from_u64(random.random());
                let (done, oracle) = (Arc::clone(&done), Arc::clone(oracle));
                tokio::spawn(post_until(done, client, pause, known.clone(), oracle, random))
            })
            .collect();
        Clients { url, done, tasks }
    }

    pub fn post_to(&self, service: &Service) {
        self.post_to_url(&service.url);
    }

    pub fn post_to_url(&self, url: &str) {
        self.url.send_replace(url.to_owned());
    }

    /// Waits until the current batches are acknowledged, and stops the clients.
    pub async fn finish(self, service: &Service) {
        self.finish_at(&service.url).await;
    }

    /// Does the same as [`finish`](Clients::finish), at an address.
    pub async fn finish_at(self, url: &str) {
        self.done.store(true, Ordering::Relaxed);
        self.post_to_url(url);
        for client in self.tasks {
            client.await.expect("a client ends well");
        }
    }
}

async fn post_until(
    done: Arc<AtomicBool>,
    client: u64,
    pause: Duration,
    mut url: watch::Receiver<String>,
    oracle: Arc<Oracle>,
    mut random: StdRng,
) {
    let http = Client::builder().timeout(Duration::from_secs(10)).build().expect("a client");
    while !done.load(Ordering::Relaxed) {
        tokio::time::sleep(pause).await;
        let size = [1, 3, 20, 100][random.random_range(0..4)];
        let mut batch = oracle.mint(client, size);
        loop {
            let target = url.borrow_and_update().clone();
            if !target.is_empty() {
                batch.attempts += 1;
                if let Some(answer) = attempt(&http, &target, &batch).await {
                    oracle.acknowledge(&batch, &answer);
                    break;
                }
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

async fn attempt(http: &Client, url: &str, batch: &Batch) -> Option<Value> {
    let response = http.post(url).body(batch.body.clone()).send().await.ok()?;
    if response.status() != 200 {
        // A proxy answers 502 or 504 while the service is down.
        let status = response.status().as_u16();
        assert!(
            [502, 503, 504].contains(&status),
            "never a 4xx for a fault of the server: {status}"
        );
        return None;
    }
    response.json().await.ok()
}
