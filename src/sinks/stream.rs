//! Lines into a pipe, a terminal or a device, where nothing that was written can be taken back.
//!
//! Whole lines that were written count, and a line that was begun is continued where it stopped: it is neither torn
//! nor doubled.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::unix::pipe::Sender;
use tokio::time::{Instant, sleep, timeout_at};

use super::{Item, lines};

/// Time that a reader of a non-blocking pipe may accept no byte before the attempt ends.
const STALLED: Duration = Duration::from_secs(10);

/// Time between two attempts at a non-blocking descriptor that is no pipe.
const POLL: Duration = Duration::from_millis(20);

/// Bytes of the last attempt that the next attempt has to know.
#[derive(Debug)]
pub(super) struct Stream {
    /// The line that was begun and not ended.
    torn: Option<Torn>,
    /// Bytes that go first: earlier lines that a reader has left unread.
    unread: Vec<u8>,
    /// The last bytes that were written, at most `keeps` of them.
    recent: Vec<u8>,
    keeps: usize,
    /// [`STALLED`], except in tests.
    stalls_after: Duration,
}

#[derive(Debug)]
struct Torn {
    item: Item,
    /// Bytes of its line that were written.
    written: usize,
}

impl Default for Stream {
    fn default() -> Stream {
        Stream::keeping(0)
    }
}

impl Stream {
    /// A stream that remembers the last `keeps` bytes, for [`reader_left`](Stream::reader_left).
    pub(super) fn keeping(keeps: usize) -> Stream {
        let (unread, recent) = (Vec::new(), Vec::new());
        Stream { torn: None, unread, recent, keeps, stalls_after: STALLED }
    }

    /// Writes the items as lines. Returns how many are written, and why the others are not.
    pub(super) async fn write(
        &mut self,
        file: &Arc<File>,
        items: &[Item],
    ) -> (usize, io::Result<()>) {
        let lines = lines(items);
        let mut bytes = std::mem::take(&mut self.unread);
        let before = bytes.len();
        // Bytes of the first line that are written already, and a line break where another line was begun.
        let (skipped, ended) = match &self.torn {
            Some(torn) if items.first() == Some(&torn.item) => (torn.written, 0),
            Some(_) => (0, 1),
            None => (0, 0),
        };
        bytes.resize(before + ended, b'\n');
        bytes.extend_from_slice(lines.get(skipped..).unwrap_or_default());
        let bytes = Bytes::from(bytes);
        let (written, result) = write_all(file, &bytes, self.stalls_after).await;
        self.remember(&bytes[..written]);
        if written < before + ended || written == 0 {
            // Nothing of these items, and a line that was begun is where it was.
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

    /// Takes back what the last reader of a pipe has not read, `unread` bytes, from the beginning of a line: the
    /// next reader gets these first, and the line within which the last one stopped once more.
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
    stalls_after: Duration,
) -> (usize, io::Result<()>) {
    let (mut written, mut end) = (0, Instant::now() + stalls_after);
    loop {
        let (target, rest) = (Arc::clone(file), bytes.slice(written..));
        // A reader that does not read may hold this up for ever; then only this sink waits.
        let wrote = tokio::task::spawn_blocking(move || write_some(&target, &rest)).await;
        let (count, result) = wrote.unwrap_or_else(|error| (0, Err(error.into())));
        written += count;
        if count > 0 {
            end = Instant::now() + stalls_after;
        }
        match result {
            Err(error) if error.kind() == ErrorKind::WouldBlock && Instant::now() < end => {
                until_writable(file, end).await;
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                let error =
                    format!("its reader has taken nothing for {} s", stalls_after.as_secs());
                return (written, Err(io::Error::new(ErrorKind::TimedOut, error)));
            }
            result => return (written, result),
        }
    }
}

/// Waits until a non-blocking pipe has room, and no longer than `end`.
async fn until_writable(file: &File, end: Instant) {
    // It is non-blocking already, so this changes nothing for others that have it.
    match file.try_clone().and_then(Sender::from_file) {
        Ok(pipe) => drop(timeout_at(end, pipe.writable()).await),
        Err(_) => sleep(POLL).await,
    }
}

fn write_some(mut file: &File, bytes: &[u8]) -> (usize, io::Result<()>) {
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

    fn impatient() -> Stream {
        Stream { stalls_after: Duration::from_millis(20), ..Stream::default() }
    }

    fn pipe() -> (io::PipeReader, Arc<File>) {
        let (reader, writer) = io::pipe().expect("a pipe");
        let writer = File::from(std::os::fd::OwnedFd::from(writer));
        fcntl_setfl(&writer, OFlags::NONBLOCK).expect("non-blocking");
        (reader, Arc::new(writer))
    }

    #[tokio::test]
    async fn a_slow_reader_of_a_non_blocking_pipe_gets_each_line_once() {
        let (mut reader, writer) = pipe();
        let items = items(900);
        let reading = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes).expect("read")
        });
        let mut stream = Stream::default();
        let (written, result) = stream.write(&writer, &items).await;
        assert_eq!((written, result.is_ok()), (900, true));
        drop(writer);
        assert!(reading.join().expect("read") == lines(&items));
    }

    #[tokio::test]
    async fn what_a_stalled_reader_left_is_continued_within_its_line() {
        let (mut reader, writer) = pipe();
        let items = items(200);
        let mut stream = impatient();
        let (written, result) = stream.write(&writer, &items).await;
        assert_eq!(result.expect_err("stalled").kind(), ErrorKind::TimedOut);
        assert!((1..200).contains(&written), "a pipe holds some lines: {written}");
        let reading = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes).expect("read")
        });
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
    async fn a_line_that_is_given_up_is_closed() {
        let (mut reader, writer) = pipe();
        let items = items(200);
        let mut stream = impatient();
        let (written, _) = stream.write(&writer, &items).await;
        let reading = std::thread::spawn(move || {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).map(|_| bytes).expect("read")
        });
        // The torn one was purged meanwhile.
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
