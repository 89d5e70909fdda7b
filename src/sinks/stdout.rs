//! `stdout`: one line per event on standard output. Logs go to standard error.

use std::io::{ErrorKind, Write};

use super::{Deliver, Item, Reason, Report, Verdict, lines};

/// Standard output.
#[derive(Debug, Default)]
pub struct Stdout {
    /// The last attempt may have ended within a line.
    is_torn: bool,
}

impl Deliver for Stdout {
    async fn deliver(&mut self, items: &[Item]) -> Report {
        let mut lines = lines(items);
        if self.is_torn {
            lines.insert(0, b'\n');
        }
        // A reader that does not read may hold this up for ever; then only this sink waits.
        let written = tokio::task::spawn_blocking(move || {
            let mut out = std::io::stdout().lock();
            out.write_all(&lines).and_then(|()| out.flush())
        });
        let written = written.await.unwrap_or_else(|error| Err(error.into()));
        self.is_torn = written.is_err();
        let verdict = match written {
            Ok(()) => Verdict::Delivered,
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {
                Verdict::Fatal { reason: Reason::new("nobody reads standard output any more") }
            }
            Err(error) => Verdict::Retry { after: None, reason: Reason::new(error.to_string()) },
        };
        Report::all(items, verdict)
    }

    async fn probe(&mut self) -> Result<String, Reason> {
        Ok("standard output".to_owned())
    }
}
