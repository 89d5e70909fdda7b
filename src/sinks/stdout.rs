//! `stdout`: one line per event on standard output. Logs go to standard error.

use std::io::{ErrorKind, Write};

use super::{Deliver, Item, Verdict, all, lines};

/// Standard output.
#[derive(Debug, Default)]
pub struct Stdout {}

impl Deliver for Stdout {
    async fn deliver(&mut self, items: &[Item]) -> Vec<Verdict> {
        let lines = lines(items);
        // A reader that does not read may hold this up for ever; then only this sink waits.
        let written = tokio::task::spawn_blocking(move || {
            let mut out = std::io::stdout().lock();
            out.write_all(&lines).and_then(|()| out.flush())
        });
        let verdict = match written.await {
            Ok(Ok(())) => Verdict::Delivered,
            Ok(Err(error)) if error.kind() == ErrorKind::BrokenPipe => {
                Verdict::Fatal { reason: "nobody reads standard output any more".to_owned() }
            }
            Ok(Err(error)) => Verdict::Retry { after: None, reason: error.to_string() },
            Err(error) => Verdict::Retry { after: None, reason: error.to_string() },
        };
        all(items, &verdict)
    }
}
