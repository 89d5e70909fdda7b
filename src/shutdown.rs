//! Shutdown as a value that is passed down: no globals, and every test has its own.

use tokio::sync::watch;

/// The end of the service, for those who wait for it.
#[derive(Debug, Clone)]
pub struct Shutdown(watch::Receiver<bool>);

/// Begins a shutdown; dropping it does so too.
#[derive(Debug)]
pub struct Trigger(watch::Sender<bool>);

/// A shutdown that has not begun.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(false);
    (Trigger(sender), Shutdown(receiver))
}

impl Trigger {
    /// Begins the shutdown.
    pub fn begin(&self) {
        self.0.send_replace(true);
    }

    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow()
    }
}

impl Shutdown {
    /// Whether it has begun.
    pub fn has_begun(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }

    /// Waits until it begins.
    ///
    /// # Cancel safety
    ///
    /// May be dropped and called again at any time.
    pub async fn begun(&mut self) {
        // An error means that the trigger is gone, which begins it as well.
        drop(self.0.wait_for(|begun| *begun).await.map(|_| ()));
    }
}
