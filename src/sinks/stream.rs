//! Writes lines to a pipe, a terminal or a device, where written bytes cannot be removed again.
//!
//! The next attempt continues a partly written line where the last attempt stopped, so that no line is torn or written
//! twice.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::unix::pipe::Sender;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Item, lines};

/// Time that a reader of a non-blocking pipe may accept no byte before the attempt ends.
const STALL_TIMEOUT: Duration = Duration::from_secs(10);

/// Interval of attempts at a non-blocking descriptor that is not a pipe.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// State of the last attempt that the next attempt needs.
#[derive(Debug)]
pub(super) struct Stream {
    /// The partly written line.
    torn: Option<Torn>,
    /// Earlier lines that a reader has left unread. They are written first.
    unread: Vec<u8>,
    /// Last written bytes, at most `keeps`.
    recent: Vec<u8>,
    keeps: usize,
    /// [`STALL_TIMEOUT`], except in tests.
    stall_timeout: Duration,
}

#[derive(Debug)]
struct Torn {
    item: Item,
    /// Written bytes of its line.
    written: usize,
}

impl Default for Stream {
    fn default() -> Stream {
        Stream::keeping(0)
    }
}

impl Stream {
    /// Returns a stream that remembers the last `keeps` bytes, for [`reader_left`](Stream::reader_left).
    pub(super) fn keeping(keeps: usize) -> Stream {
        let (unread, recent) = (Vec::new(), Vec::new());
        Stream { torn: None, unread, recent, keeps, stall_timeout: STALL_TIMEOUT }
    }

    /// Writes the items as lines. Returns the number of written items, and the error that kept the others.
    pub(super) async fn write(
        &mut self,
        file: &Arc<File>,
        items: &[Item],
    ) -> (usize, io::Result<()>) {
        let lines = lines(items);
        let mut bytes = std::mem::take(&mut self.unread);
        let before = bytes.len();
        // `skipped`: bytes of the first line that are already written. `ended`: a line break, if the partly written line
        // is not the first of these.
        let (skipped, ended) = match &self.torn {
            Some(torn) if items.first() == Some(&torn.item) => (torn.written, 0),
            Some(_) => (0, 1),
            None => (0, 0),
        };
        bytes.resize(before + ended, b'\n');
        bytes.extend_from_slice(lines.get(skipped..).unwrap_or_default());
        let bytes = Bytes::from(bytes);
        let (written, result) = write_all(file, &bytes, self.stall_timeout).await;
        self.remember(&bytes[..written]);
        if written < before + ended || written == 0 {
            // Nothing of these items is written, and the partly written line has not changed.
            self.unread = bytes[written.min(before)..before].to_vec();
            return (0, result);
        }
        let reached = skipped + written - before - ended;
        let (mut whole, mut end) = (0, 0);
        while let Some(next) = items.get(whole).map(|item| end + item.payload.len() + 1)
            && next <= reached
        {
            (whole, end) = (whole + 1, next);
        }
        self.torn = items
            .get(whole)
            .filter(|_| reached > end)
            .map(|item| Torn { item: item.clone(), written: reached - end });
        (whole, result)
    }

    /// Takes over the `unread` bytes that the last reader has left in the pipe. The next reader gets them first,
    /// from the beginning of the line within which the last reader stopped.
    pub(super) fn reader_left(&mut self, unread: usize) {
        let read = self.recent.len().saturating_sub(unread);
        let begin = memchr::memrchr(b'\n', &self.recent[..read]).map_or(0, |end| end + 1);
        let mut unread = self.recent.split_off(begin);
        self.recent.clear();
        unread.append(&mut self.unread);
        self.unread = unread;
    }

    fn remember(&mut self, written: &[u8]) {
        if self.keeps > 0 {
            self.recent.extend_from_slice(written);
            let excess = self.recent.len().saturating_sub(self.keeps);
            self.recent.drain(..excess);
        }
    }
}

/// Writes until all is written, an error occurs, or the reader of a non-blocking pipe stalls.
async fn write_all(
    file: &Arc<File>,
    bytes: &Bytes,
    stall_timeout: Duration,
) -> (usize, io::Result<()>) {
    let (mut written, mut end) = (0, Instant::now() + stall_timeout);
    loop {
        let (target, rest) = (Arc::clone(file), bytes.slice(written..));
        // A blocking descriptor whose reader does not read blocks this thread; only this sink waits.
        let wrote = tokio::task::spawn_blocking(move || write_counting(&target, &rest)).await;
        let (count, result) = wrote.unwrap_or_else(|error| (0, Err(error.into())));
        written += count;
        if count > 0 {
            end = Instant::now() + stall_timeout;
        }
        match result {
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < end => {
                until_writable(file, end).await;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let error =
                    format!("its reader has taken nothing for {} s", stall_timeout.as_secs());
                return (written, Err(io::Error::new(ErrorKind::TimedOut, error)));
            }
            result => return (written, result),
        }
    }
}

/// Waits until a non-blocking pipe has room, and no longer than `end`.
async fn until_writable(file: &File, end: Instant) {
    // `from_file` sets O_NONBLOCK, which the descriptor has already: other owners of it see no change.
    match file.try_clone().and_then(Sender::from_file) {
        Ok(pipe) => drop(timeout_at(end, pipe.writable()).await),
        Err(_) => sleep(POLL_INTERVAL).await,
    }
}

/// Writes until all bytes are written or an error occurs. Returns the number of written bytes.
pub(super) fn write_counting(mut file: &File, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Err(ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use rustix::fs::{OFlags, fcntl_setfl};

    use super::*;

    fn items(count: u64) -> Vec<Item> {
        let payload = |position| Bytes::from(format!("{position:04} {}", "x".repeat(900)));
        (0..count).map(|position| Item { position, payload: payload(position) }).collect()
    }

    fn with_short_timeout() -> Stream {
        Stream { stall_timeout: Duration::from_millis(20), ..Stream::default() }
    }

    fn pipe() -> (io::PipeReader, Arc<File>) {
        let (reader, writer) = io::pipe().expect("a pipe");
        let writer = File::from(std::os::fd::OwnedFd::from(writer));
        fcntl_setfl(&writer, OFlags::NONBLOCK).expect("non-blocking");
        (reader, Arc::new(writer))
    }

    fn read_all(mut reader: io::PipeReader) -> Vec<u8> {
        let mut bytes = Vec::new();
        reader.read_to_end(&mut bytes).map(|_| bytes).expect("read")
    }

    #[tokio::test]
    async fn a_slow_reader_of_a_non_blocking_pipe_gets_each_line_once() {
        let (reader, writer) = pipe();
        let items = items(900);
        let reading = std::thread::spawn(move || read_all(reader));
        let mut stream = Stream::default();
        let (written, result) = stream.write(&writer, &items).await;
        assert_eq!((written, result.is_ok()), (900, true));
        drop(writer);
        assert!(reading.join().expect("read") == lines(&items));
    }

    #[tokio::test]
    async fn after_a_stall_the_partly_written_line_is_continued() {
        let (reader, writer) = pipe();
        let items = items(200);
        let mut stream = with_short_timeout();
        let (written, result) = stream.write(&writer, &items).await;
        assert_eq!(result.expect_err("stalled").kind(), ErrorKind::TimedOut);
        assert!((1..200).contains(&written), "a pipe holds some lines: {written}");
        let reading = std::thread::spawn(move || read_all(reader));
        let (mut sent, mut rest) = (written, &items[written..]);
        while !rest.is_empty() {
            let (written, _) = stream.write(&writer, rest).await;
            (sent, rest) = (sent + written, &rest[written..]);
        }
        assert_eq!(sent, 200);
        drop(writer);
        assert!(reading.join().expect("read") == lines(&items));
    }

    #[tokio::test]
    async fn a_partly_written_line_that_is_not_sent_again_is_ended() {
        let (reader, writer) = pipe();
        let items = items(200);
        let mut stream = with_short_timeout();
        let (written, _) = stream.write(&writer, &items).await;
        let reading = std::thread::spawn(move || read_all(reader));
        // The partly written event was purged meanwhile.
        let next = &items[written + 1..][..1];
        while stream.write(&writer, next).await.0 == 0 {}
        drop(writer);
        let bytes = reading.join().expect("read");
        let text = String::from_utf8(bytes).expect("text");
        let last: Vec<&str> = text.lines().rev().take(2).collect();
        assert_eq!(last[0].as_bytes(), next[0].payload);
        assert!(items[written].payload.starts_with(last[1].as_bytes()) && last[1].len() < 905);
    }
}
