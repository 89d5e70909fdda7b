//! Batches to send: read from files, or generated on demand.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::super::records::InputEnd;
use super::super::{CommandFailure, input, output, records};
use super::SendBody;
use super::generate::Generator;
use crate::decode;
use crate::error_chain::io_message;

/// Batches that are read from files before they are sent.
const READ_AHEAD: usize = 4;

/// Batches in order.
#[derive(Debug)]
pub(super) enum Batches {
    /// One body per file.
    Raw(VecDeque<PathBuf>),
    /// Batches that a thread reads from files. A failure is the last one.
    Read(mpsc::Receiver<Result<SendBody, CommandFailure>>),
    Generated {
        generator: Box<Generator>,
        left: u64,
        batch: u64,
    },
}

impl Batches {
    pub(super) fn generated(count: u64, batch: u64) -> Batches {
        Batches::Generated { generator: Box::default(), left: count, batch }
    }

    /// Sends each file as one body.
    ///
    /// # Errors
    ///
    /// A file cannot be opened. Nothing has been sent then.
    pub(super) fn raw(files: &[PathBuf]) -> Result<Batches, CommandFailure> {
        can_be_opened(files)?;
        Ok(Batches::Raw(files.iter().cloned().collect()))
    }

    /// Reads the elements of all files, in any shape that the service accepts, into arrays of `batch`. Holds a few
    /// batches, whatever the size of the files.
    ///
    /// # Errors
    ///
    /// A file cannot be opened. Nothing has been sent then.
    pub(super) fn from_files(files: &[PathBuf], batch: u64) -> Result<Batches, CommandFailure> {
        can_be_opened(files)?;
        let (batches, read) = mpsc::channel(READ_AHEAD);
        let (files, size) = (files.to_vec(), usize::try_from(batch).unwrap_or(usize::MAX));
        std::thread::spawn(move || {
            if let Err(failure) = read_all(&files, size, &batches) {
                // The receiver is gone if the command has ended.
                drop(batches.blocking_send(Err(failure)));
            }
        });
        Ok(Batches::Read(read))
    }

    /// Number of events in all batches, if it is known.
    pub(super) fn events(&self) -> Option<u64> {
        match self {
            Batches::Raw(files) => Some(files.len() as u64),
            Batches::Read(_) => None,
            Batches::Generated { left, .. } => Some(*left),
        }
    }

    /// Returns the next batch. A failure is the last result.
    pub(super) async fn next(&mut self) -> Option<Result<SendBody, CommandFailure>> {
        match self {
            Batches::Raw(files) => {
                let file = files.pop_front()?;
                Some(whole(&file).map(|body| (body, 1)))
            }
            Batches::Read(read) => read.recv().await,
            Batches::Generated { left: 0, .. } => None,
            Batches::Generated { generator, left, batch } => {
                let count = (*left).min(*batch);
                *left -= count;
                let events: Vec<Vec<u8>> = (0..count).map(|_| generator.next_event()).collect();
                Some(Ok((array(&events), count)))
            }
        }
    }
}

fn can_be_opened(files: &[PathBuf]) -> Result<(), CommandFailure> {
    files.iter().try_for_each(|file| input::open(file).map(drop))
}

/// Reads files into batches of `size` elements. Elements that are no events are sent, too: the service decides. What
/// is no element at all is reported and not sent.
fn read_all(
    files: &[PathBuf],
    size: usize,
    batches: &mpsc::Sender<Result<SendBody, CommandFailure>>,
) -> Result<(), CommandFailure> {
    let mut elements: Vec<Vec<u8>> = Vec::new();
    let (mut refused, mut empty) = (0, Vec::new());
    let send = |elements: &mut Vec<Vec<u8>>| {
        let body = (array(elements), elements.len() as u64);
        elements.clear();
        batches.blocking_send(Ok(body)).map_err(|_| CommandFailure::OutputClosed)
    };
    for file in files {
        let name = file.display().to_string();
        let end = records::each(input::open(file)?, &name, |record| {
            let found = match record.is_too_large {
                true => Err("the record is too large".to_owned()),
                false => decode::body(record.bytes, false).map_err(|refusal| refusal.detail),
            };
            match found {
                Ok(found) => elements.extend(found.iter().map(|element| element.raw.to_vec())),
                Err(detail) => {
                    refused += 1;
                    eprintln!("{name}:{}: {}", record.line, output::safe(&detail));
                }
            }
            while elements.len() >= size {
                let rest = elements.split_off(size);
                send(&mut elements)?;
                elements = rest;
            }
            Ok(())
        })?;
        if let Some(line) = end.unclosed {
            refused += 1;
            eprintln!("{name}:{line}: {}", InputEnd::UNCLOSED);
        }
        if !end.has_any {
            empty.push(name);
        }
    }
    if !elements.is_empty() {
        send(&mut elements)?;
    }
    if refused > 0 {
        let records = output::count(refused, "record");
        return Err(CommandFailure::Failed(format!(
            "{records} could not be read as JSON and not sent; --raw sends a file unchanged"
        )));
    }
    match empty.is_empty() {
        true => Ok(()),
        false => {
            let files = empty.join(", ");
            Err(CommandFailure::Failed(format!("{files}: no events; --raw sends a file unchanged")))
        }
    }
}

fn array(events: &[Vec<u8>]) -> Bytes {
    let mut body =
        Vec::with_capacity(events.iter().map(|event| event.len() + 1).sum::<usize>() + 2);
    for (index, event) in events.iter().enumerate() {
        body.push(if index == 0 { b'[' } else { b',' });
        body.extend_from_slice(event);
    }
    body.push(b']');
    Bytes::from(body)
}

fn whole(file: &Path) -> Result<Bytes, CommandFailure> {
    std::fs::read(file).map(Bytes::from).map_err(|error| {
        CommandFailure::Failed(format!("{} cannot be read: {}", file.display(), io_message(&error)))
    })
}
