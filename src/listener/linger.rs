//! A connection that does not cut off its last answer.
//!
//! An answer that is given before the body was read (401, 413) ends an HTTP/1 connection. If a socket
//! is closed while bytes are unread, the kernel resets the connection, and the other side may lose
//! the answer: a proxy says 502 then, and a client that writes before it reads says nothing at all. So
//! the writing half is closed first, and what still comes is read and thrown away for a while.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

/// Time that a client has to read an early answer, while what it still sends is discarded.
pub(super) const MAX_LINGER: Duration = Duration::from_secs(5);

/// Bytes that are discarded after an early answer, at most: eight times the default of `limits.body`.
pub(super) const MAX_LINGER_BYTES: usize = 256 * 1024 * 1024;

/// Bytes that are thrown away at a time.
const AT_ONCE: usize = 8 * 1024;

/// A stream whose shutdown waits for the other side's, where that was asked for.
#[derive(Debug)]
pub(super) struct Lingering<S> {
    stream: S,
    is_asked: Arc<AtomicBool>,
    longest: Duration,
    /// Bytes that were read and discarded.
    discarded: usize,
    /// Since the writing half was closed.
    deadline: Option<Pin<Box<Sleep>>>,
}

impl<S> Lingering<S> {
    pub(super) fn new(stream: S, is_asked: Arc<AtomicBool>) -> Lingering<S> {
        Lingering { stream, is_asked, longest: MAX_LINGER, discarded: 0, deadline: None }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Lingering<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Lingering<S> {
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
        let Lingering { stream, is_asked, longest, discarded, deadline } = &mut *self;
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
            let mut bytes = [0; AT_ONCE];
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

    fn lingering(is_asked: bool, longest: Duration) -> (Lingering<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(16);
        let ours = Lingering::new(ours, Arc::new(AtomicBool::new(is_asked)));
        (Lingering { longest, ..ours }, theirs)
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
    async fn it_does_not_wait_unless_asked_to() {
        let (mut ours, _theirs) = lingering(false, LONG);
        assert!(ours.shutdown().now_or_never().is_some());
    }
}
