//! Shutdown signal as a value that is passed down; no globals, and every test has its own.

use tokio::sync::watch;

/// Receiver side: waits for the shutdown.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// Sender side: starts the shutdown, also when dropped.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// Creates a shutdown signal that has not started.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Starts the shutdown.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Returns whether the shutdown has started.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }
}

impl Shutdown {
    /// Returns whether the shutdown has started.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until the shutdown starts.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again at any time.
    pub async fn begun(&mut self) {
        // An error means that the trigger was dropped, which also starts the shutdown.
        drop(self.0.wait_for(|begun| *begun).await.map(|_| ()));
    }
}
