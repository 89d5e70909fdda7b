//! `stdout`: one line per event on standard output. Logs go to standard error.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::sync::Arc;

use super::stream::Stream;
use super::{Deliver, Item, Reason, Report, Verdict};

/// Standard output.
#[derive(Debug, Default)]
pub struct Stdout {
    /// The descriptor itself: the standard library's buffer does not say how much of it was written.
    file: Option<Arc<File>>,
    stream: Stream,
}

impl Stdout {
    async fn write(&mut self, items: &[Item]) -> (usize, io::Result<()>) {
        let file = match &self.file {
            Some(file) => Arc::clone(file),
            None => match io::stdout().as_fd().try_clone_to_owned() {
                Ok(owned) => Arc::clone(self.file.insert(Arc::new(File::from(owned)))),
                Err(error) => return (0, Err(error)),
            },
        };
        self.stream.write(&file, items).await
    }
}

impl Deliver for Stdout {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        let (written, result) = self.write(items).await;
        let verdict = match result {
            Ok(()) => Verdict::Delivered,
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                Verdict::Fatal { reason: Reason::new("nobody reads standard output any more") }
            }
            Err(error) => Verdict::Retry {
                after: None,
                reason: Reason::new(format!("standard output: {error}")),
            },
        };
        Report::first_delivered(items, written, verdict)
    }

    async fn probe(&mut self) -> Result<String, Reason> {
        Ok("standard output".to_owned())
    }
}
