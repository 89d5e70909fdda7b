//! An honest sender during an attack: one batch after the other, each on a connection of its own, each repeated until
//! it is acknowledged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use reqwest::Client;

use super::PATIENCE;
use super::events::{batch, ids};

/// A running sender.
pub struct Honest {
    done: Arc<AtomicBool>,
    thread: JoinHandle<Sent>,
}

/// Results of a sender.
#[derive(Debug, Default)]
pub struct Sent {
    /// Batches that were acknowledged, of 20 events each.
    pub batches: u32,
    /// Answers other than 200, and connections that broke.
    pub repeats: u32,
}

impl Honest {
    /// Starts to send. `make` returns an HTTP client for each attempt.
    pub fn start(url: &str, password: &str, make: impl Fn() -> Client + Send + 'static) -> Honest {
        let done = Arc::new(AtomicBool::new(false));
        let (url, password, ends) = (url.to_owned(), password.to_owned(), Arc::clone(&done));
        let thread = std::thread::spawn(move || {
            super::block_on(async {
                let mut sent = Sent::default();
                // At least one batch after the end of the attack.
                while !ends.load(Ordering::Relaxed) || sent.batches < 2 {
                    let body = batch(ids(20));
                    while !acknowledged(&make(), &url, &password, &body).await {
                        sent.repeats += 1;
                    }
                    sent.batches += 1;
                }
                sent
            })
        });
        Honest { done, thread }
    }

    pub fn finish(self) -> Sent {
        self.done.store(true, Ordering::Relaxed);
        self.thread.join().expect("an honest sender ends well")
    }
}

async fn acknowledged(client: &Client, url: &str, password: &str, body: &str) -> bool {
    let post = client.post(url).basic_auth("pingone", Some(password)).body(body.to_owned());
    match post.timeout(PATIENCE).send().await {
        Ok(answer) => answer.status() == 200,
        Err(error) => {
            assert!(!error.is_timeout(), "an honest sender waits in vain");
            false
        }
    }
}
