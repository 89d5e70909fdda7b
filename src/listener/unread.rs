//! Request bodies that are not read to their end before the request is answered (401, 404, 413, a `HEAD`
//! with a body).
//!
//! Over HTTP/1, such an answer closes the connection, and [`super::linger`] lets the client read it
//! first. Over HTTP/2, dropping the body resets the stream. RFC 9113 §8.1 allows `NO_ERROR` after a
//! complete answer, but clients report the reset instead of the answer (curl 7.88: exit code 92;
//! httpx: `RemoteProtocolError`). Therefore the rest of the body is read and discarded before the
//! stream is dropped.
//!
//! Draining is bounded per stream in time and bytes, per connection by `MAX_STREAMS`, and per
//! listener by [`DrainLimiter`]. It needs no memory beyond the connection's flow-control windows
//! and holds no connection permit: the connection counts as waiting, and its drains end with it.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::linger::{MAX_LINGER_BYTES, MAX_LINGER_TIME};

/// Body of a request. If it is dropped before its end, the rest goes to [`UnreadBody`].
pub(super) struct TrackedBody<B: Body> {
    body: Option<B>,
    unread: UnreadBody<B>,
}

/// Rest of a request's body that its handler did not read.
pub(super) struct UnreadBody<B>(Arc<Mutex<Option<B>>>);

impl<B: Body + Unpin> TrackedBody<B> {
    pub(super) fn new(body: B) -> (TrackedBody<B>, UnreadBody<B>) {
        let rest = Arc::new(Mutex::new(None));
        (TrackedBody { body: Some(body), unread: UnreadBody(Arc::clone(&rest)) }, UnreadBody(rest))
    }
}

impl<B> UnreadBody<B> {
    /// Takes the rest of the body after the handler has dropped it.
    pub(super) fn take(&self) -> Option<B> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl<B: Body + Unpin> Body for TrackedBody<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = ready!(Pin::new(body).poll_frame(cx));
        // No frame follows an error.
        if !matches!(frame, Some(Ok(_))) {
            self.body = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl<B: Body> Drop for TrackedBody<B> {
    fn drop(&mut self) {
        let rest = self.body.take().filter(|body| !body.is_end_stream());
        *self.unread.0.lock().unwrap_or_else(PoisonError::into_inner) = rest;
    }
}

/// Limits the concurrent drains of one listener.
#[derive(Debug, Clone)]
pub(super) struct DrainLimiter(Arc<Semaphore>);

impl DrainLimiter {
    pub(super) fn new(limit: usize) -> DrainLimiter {
        DrainLimiter(Arc::new(Semaphore::new(limit)))
    }

    /// Starts to read and discard the rest of a body, and calls `then` at the end. Above the limit
    /// the body is dropped at once, which resets its stream.
    pub(super) fn begin<B>(&self, body: B, then: impl FnOnce() + Send + 'static)
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Send,
    {
        let Ok(permit) = Arc::clone(&self.0).try_acquire_owned() else { return then() };
        tokio::spawn(async move {
            drop(timeout(MAX_LINGER_TIME, drain(body)).await);
            drop(permit);
            then();
        });
    }
}

/// Reads a body to its end, or until it exceeds [`MAX_LINGER_BYTES`].
async fn drain<B: Body<Data = Bytes> + Unpin>(mut body: B) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > MAX_LINGER_BYTES {
            break;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::FutureExt;
    use http_body_util::{Full, StreamBody};

    use super::*;

    /// Returns a body of `count` MiB, and a counter of the MiB that were read.
    fn mebibytes(
        count: usize,
    ) -> (impl Body<Data = Bytes, Error = Infallible> + Unpin, Arc<Mutex<usize>>) {
        let read = Arc::new(Mutex::new(0));
        let counted = Arc::clone(&read);
        let frames = (0..count).map(move |_| {
            *counted.lock().expect("not poisoned") += 1;
            Ok(Frame::data(Bytes::from_static(&[0; 1 << 20])))
        });
        (StreamBody::new(futures_util::stream::iter(frames)), read)
    }

    #[test]
    fn only_a_body_that_is_dropped_before_its_end_is_unread() {
        let full = || TrackedBody::new(Full::new(Bytes::from_static(b"[]")));
        let (body, unread) = full();
        assert!(unread.take().is_none(), "still being read");
        drop(body);
        assert!(unread.take().is_some());
        let (mut body, unread) = full();
        assert!(body.frame().now_or_never().flatten().is_some());
        drop(body);
        assert!(unread.take().is_none(), "read to its end");
        let (body, unread) = TrackedBody::new(Full::new(Bytes::new()));
        drop(body);
        assert!(unread.take().is_none(), "there was none");
    }

    #[test]
    fn draining_ends_with_the_body_or_at_the_bound() {
        let (short, read) = mebibytes(3);
        drain(short).now_or_never().expect("no waiting");
        assert_eq!(*read.lock().expect("not poisoned"), 3);
        let (endless, read) = mebibytes((10 * MAX_LINGER_BYTES) >> 20);
        drain(endless).now_or_never().expect("no waiting");
        assert_eq!(*read.lock().expect("not poisoned"), (MAX_LINGER_BYTES >> 20) + 1);
    }

    #[tokio::test]
    async fn no_more_bodies_are_drained_than_the_limit_allows() {
        let drains = DrainLimiter::new(1);
        let endless = || StreamBody::new(futures_util::stream::pending::<Result<_, Infallible>>());
        drains.begin(endless(), || ());
        assert_eq!(drains.0.available_permits(), 0);
        drains.begin(endless(), || ());
        assert_eq!(drains.0.available_permits(), 0, "dropped at once");
    }
}
