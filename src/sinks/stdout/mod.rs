//! `stdout`: one line per event on standard output. Logs go to standard error.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use super::stream::Stream;
use super::{
    BatchDefaults, Deliver, Item, OutputFile, Reason, Rendered, Report, SinkFinding, SinkType,
    Verdict,
};
use crate::format::Format;
use crate::settings::Section;

/// `type = "stdout"`, which has no keys of its own.
#[derive(Debug, Clone)]
pub struct StdoutSinkConfig;

impl SinkType for StdoutSinkConfig {
    const NAME: &'static str = "stdout";
    const BATCH: BatchDefaults = BatchDefaults { events: "1000", bytes: "1 MiB" };
    const IS_ORDERED: bool = true;
    const SENDS_LINES: bool = true;

    type Sink = Stdout;

    fn read(_: &mut Section<'_>, _: Format) -> Option<StdoutSinkConfig> {
        Some(StdoutSinkConfig)
    }

    fn refuses_lines(&self) -> Option<&'static str> {
        None
    }

    fn output(&self) -> Option<OutputFile<'_>> {
        Some(OutputFile { path: Path::new("/dev/stdout"), key: None })
    }

    fn target(&self) -> String {
        "standard output".to_owned()
    }

    fn encode(&self, rendered: Rendered<'_>) -> Result<(Vec<u8>, Option<SinkFinding>), Reason> {
        Ok((rendered.line, None))
    }

    fn open(&self) -> Result<Stdout, Reason> {
        Ok(Stdout::default())
    }

    async fn reopen(&self, _: &mut Stdout) -> Result<(), Reason> {
        Ok(())
    }
}

/// Standard output.
#[derive(Debug, Default)]
pub(crate) struct Stdout {
    /// The descriptor itself, because `std::io::Stdout` does not report how many bytes it has written.
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
                Verdict::Fatal { reason: Reason::new("no process reads standard output any more") }
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
