//! Limits the open connections. At the limit, the connection that has waited longest for a request
//! is closed in favour of the new one. So idle connections are closed first, and a sender with a
//! request is always admitted.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Limits the connections of one listener.
#[derive(Debug)]
pub(super) struct ConnectionLimiter {
    limit: usize,
    taken: Mutex<LimiterState>,
}

#[derive(Debug, Default)]
struct LimiterState {
    open: usize,
    /// Connections without a request, the longest waiting first.
    waiting: BTreeMap<u64, Arc<Notify>>,
    next: u64,
}

/// Permit of one connection, released on drop.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    limiter: Arc<ConnectionLimiter>,
    gives_way: Arc<Notify>,
    state: Mutex<PermitState>,
}

#[derive(Debug, Clone, Copy)]
struct PermitState {
    in_flight: usize,
    /// Key in `waiting`; `None` while a request is in flight.
    turn: Option<u64>,
    waits_since: Instant,
}

impl ConnectionLimiter {
    pub(super) fn new(limit: usize) -> Arc<ConnectionLimiter> {
        Arc::new(ConnectionLimiter { limit, taken: Mutex::default() })
    }

    /// Returns a permit for a new connection. Returns `None` if all connections at the limit have
    /// requests in flight.
    pub(super) fn take(self: &Arc<ConnectionLimiter>) -> Option<ConnectionPermit> {
        let mut taken = lock(&self.taken);
        if taken.open >= self.limit {
            let (_, longest) = taken.waiting.pop_first()?;
            longest.notify_one();
        }
        taken.open += 1;
        let gives_way = Arc::new(Notify::new());
        let turn = taken.wait(&gives_way);
        let state = PermitState { in_flight: 0, turn: Some(turn), waits_since: Instant::now() };
        Some(ConnectionPermit { limiter: Arc::clone(self), gives_way, state: Mutex::new(state) })
    }
}

impl LimiterState {
    fn wait(&mut self, who: &Arc<Notify>) -> u64 {
        let turn = self.next;
        self.next += 1;
        self.waiting.insert(turn, Arc::clone(who));
        turn
    }
}

impl ConnectionPermit {
    /// Marks the start of a request. Until its end, the permit is not given to another connection.
    pub(super) fn begin(&self) {
        let mut state = lock(&self.state);
        state.in_flight += 1;
        if let Some(turn) = state.turn.take() {
            lock(&self.limiter.taken).waiting.remove(&turn);
        }
    }

    /// Marks the end of a request.
    pub(super) fn end(&self) {
        let mut state = lock(&self.state);
        state.in_flight -= 1;
        if state.in_flight == 0 {
            state.turn = Some(lock(&self.limiter.taken).wait(&self.gives_way));
            state.waits_since = Instant::now();
        }
    }

    /// Waits until another connection needs the permit.
    pub(super) async fn is_needed(&self) {
        self.gives_way.notified().await;
    }

    /// Waits until no request was in flight for `timeout`.
    pub(super) async fn is_idle(&self, timeout: Duration) {
        loop {
            let now = Instant::now();
            match self.waits_since() {
                Some(since) if since + timeout <= now => return,
                since => sleep_until(since.unwrap_or(now) + timeout).await,
            }
        }
    }

    /// Returns since when no request is in flight; `None` if one is.
    fn waits_since(&self) -> Option<Instant> {
        let PermitState { in_flight, waits_since, .. } = *lock(&self.state);
        (in_flight == 0).then_some(waits_since)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        let turn = lock(&self.state).turn;
        let mut taken = lock(&self.limiter.taken);
        taken.open -= 1;
        if let Some(turn) = turn {
            taken.waiting.remove(&turn);
        }
    }
}

/// Locks a mutex. No code panics while it holds one of these locks.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    fn is_needed(permit: &ConnectionPermit) -> bool {
        permit.is_needed().now_or_never().is_some()
    }

    #[test]
    fn the_one_that_has_waited_longest_gives_way() {
        let limiter = ConnectionLimiter::new(3);
        let take = || limiter.take().expect("a permit");
        let (first, second, third) = (take(), take(), take());
        assert!(![&first, &second, &third].into_iter().any(is_needed), "there was room");
        first.begin();
        let _fourth = take();
        assert!(is_needed(&second), "the first has a request in flight");
        assert!(!is_needed(&first) && !is_needed(&third));
        drop(second);
        first.end();
        let _fifth = take();
        assert!(is_needed(&third) && !is_needed(&first), "the first began to wait later");
    }

    #[test]
    fn requests_in_flight_are_never_given_up() {
        let limiter = ConnectionLimiter::new(2);
        let (first, second) =
            (limiter.take().expect("a permit"), limiter.take().expect("a permit"));
        first.begin();
        first.begin();
        second.begin();
        assert!(limiter.take().is_none(), "both are busy");
        first.end();
        assert!(limiter.take().is_none(), "one of two streams is still busy");
        first.end();
        assert!(limiter.take().is_some() && is_needed(&first));
        drop((first, second));
        assert_eq!(lock(&limiter.taken).open, 0);
    }

    #[test]
    fn waiting_begins_with_the_end_of_the_last_request() {
        let permit = ConnectionLimiter::new(1).take().expect("a permit");
        let since = permit.waits_since().expect("it waits from the beginning");
        permit.begin();
        permit.begin();
        permit.end();
        assert_eq!(permit.waits_since(), None);
        permit.end();
        assert!(permit.waits_since().is_some_and(|again| again > since));
    }

    #[tokio::test]
    async fn only_a_place_without_a_request_is_idle() {
        let permit = ConnectionLimiter::new(1).take().expect("a permit");
        permit.is_idle(Duration::ZERO).await;
        permit.begin();
        assert!(permit.is_idle(Duration::from_secs(3600)).now_or_never().is_none());
        permit.end();
        permit.is_idle(Duration::from_nanos(1)).await;
    }
}
