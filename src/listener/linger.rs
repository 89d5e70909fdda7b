//! Closes a connection without losing its last answer.
//!
//! An answer sent before the body was read (401, 413) ends an HTTP/1 connection. If a socket is
//! closed with unread bytes, the kernel resets the connection and the client may lose the answer: a
//! proxy then answers 502, and a client that writes before it reads reports only an error.
//! Therefore the write half is closed first, and incoming bytes are read and discarded for a
//! limited time.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Maximum time to discard incoming bytes after an early answer, so that the client can read it.
pub(super) const MAX_LINGER_TIME: Duration = Duration::from_secs(5);

/// Maximum number of bytes discarded after an early answer: eight times the default of
/// `limits.body`.
pub(super) const MAX_LINGER_BYTES: usize = 256 * 1024 * 1024;

/// Size of the buffer for discarded bytes.
const READ_BYTES: usize = 8 * 1024;

/// Stream whose shutdown waits for the client's shutdown, if requested.
#[derive(Debug)]
pub(super) struct LingeringStream<S> {
    stream: S,
    is_asked: Arc<AtomicBool>,
    longest: Duration,
    /// Number of bytes read and discarded.
    discarded: usize,
    /// Timer, started when the write half was closed.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> LingeringStream<S> {
    pub(super) fn new(stream: S, is_asked: Arc<AtomicBool>) -> LingeringStream<S> {
        LingeringStream { stream, is_asked, longest: MAX_LINGER_TIME, discarded: 0, deadline: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for LingeringStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for LingeringStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let LingeringStream { stream, is_asked, longest, discarded, deadline } = &mut *self;
        let deadline = match deadline {
            Some(deadline) => deadline,
            None => {
                ready!(Pin::new(&mut *stream).poll_shutdown(cx))?;
                if !is_asked.load(Ordering::Relaxed) {
                    return Poll::Ready(Ok(()));
                }
                deadline.insert(Box::pin(sleep(*longest)))
            }
        };
        while deadline.as_mut().poll(cx).is_pending() {
            let mut bytes = [0; READ_BYTES];
            let mut unread = ReadBuf::new(&mut bytes);
            let read = ready!(Pin::new(&mut *stream).poll_read(cx, &mut unread));
            *discarded += unread.filled().len();
            if read.is_err() || unread.filled().is_empty() || *discarded > MAX_LINGER_BYTES {
                break;
            }
        }
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;

    const LONG: Duration = Duration::from_secs(3600);

    fn lingering(
        is_asked: bool,
        longest: Duration,
    ) -> (LingeringStream<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(16);
        let ours = LingeringStream::new(ours, Arc::new(AtomicBool::new(is_asked)));
        (LingeringStream { longest, ..ours }, theirs)
    }

    #[tokio::test]
    async fn it_reads_on_until_the_other_side_closes() {
        let (mut ours, mut theirs) = lingering(true, LONG);
        let other = tokio::spawn(async move {
            theirs.write_all(&[0; 100_000]).await.expect("everything is taken");
            let mut answer = Vec::new();
            theirs.read_to_end(&mut answer).await.expect("not cut off");
            answer
        });
        ours.write_all(b"an answer").await.expect("written");
        ours.shutdown().await.expect("shut down");
        drop(ours);
        assert_eq!(other.await.expect("ended well"), b"an answer");
    }

    #[tokio::test]
    async fn it_does_not_wait_for_ever() {
        let (mut ours, mut theirs) = lingering(true, Duration::from_millis(1));
        theirs.write_all(b"more").await.expect("written");
        let shut = timeout(Duration::from_secs(60), ours.shutdown()).await;
        shut.expect("in time").expect("shut down though the other side is open");
    }

    #[tokio::test]
    async fn it_waits_only_on_request() {
        let (mut ours, _theirs) = lingering(false, LONG);
        assert!(ours.shutdown().now_or_never().is_some());
    }
}
