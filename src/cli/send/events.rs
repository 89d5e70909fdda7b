//! Batches to send: read from files, or generated on demand.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::super::CommandFailure;
use super::SendBody;
use super::generate::Generator;
use crate::decode;
use crate::error_chain::io_message;

/// Batches in order.
#[derive(Debug)]
pub(super) enum Batches {
    Ready { bodies: VecDeque<SendBody>, events: u64 },
    Generated { generator: Box<Generator>, left: u64, batch: u64 },
}

impl Batches {
    pub(super) fn generated(count: u64, batch: u64) -> Batches {
        Batches::Generated { generator: Box::default(), left: count, batch }
    }

    /// Reads each file as one body.
    pub(super) fn raw(files: &[PathBuf]) -> Result<Batches, CommandFailure> {
        let bodies = files.iter().map(|file| Ok((Bytes::from(read(file)?), 1)));
        let bodies: VecDeque<SendBody> = bodies.collect::<Result<_, CommandFailure>>()?;
        Ok(Batches::Ready { events: bodies.len() as u64, bodies })
    }

    /// Reads the elements of all files, in any shape that the service accepts, into arrays of `batch`.
    pub(super) fn from_files(files: &[PathBuf], batch: u64) -> Result<Batches, CommandFailure> {
        let mut elements: Vec<Vec<u8>> = Vec::new();
        for file in files {
            let text = read(file)?;
            let found = decode::body(&text, false).map_err(|refusal| {
                let file = file.display();
                CommandFailure::Failed(format!(
                    "{file} contains no events: {}. Send the file unchanged with --raw",
                    refusal.detail
                ))
            })?;
            elements.extend(found.iter().map(|element| element.raw.to_vec()));
        }
        let events = elements.len() as u64;
        let size = usize::try_from(batch).unwrap_or(usize::MAX);
        let bodies =
            elements.chunks(size).map(|chunk| (array(chunk), chunk.len() as u64)).collect();
        Ok(Batches::Ready { bodies, events })
    }

    /// Number of events in all batches.
    pub(super) fn events(&self) -> u64 {
        match self {
            Batches::Ready { events, .. } => *events,
            Batches::Generated { left, .. } => *left,
        }
    }

    pub(super) fn next(&mut self) -> Option<SendBody> {
        match self {
            Batches::Ready { bodies, .. } => bodies.pop_front(),
            Batches::Generated { left: 0, .. } => None,
            Batches::Generated { generator, left, batch } => {
                let count = (*left).min(*batch);
                *left -= count;
                let events: Vec<Vec<u8>> = (0..count).map(|_| generator.next_event()).collect();
                Some((array(&events), count))
            }
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
    if events.is_empty() {
        body.push(b'[');
    }
    body.push(b']');
    Bytes::from(body)
}

fn read(file: &Path) -> Result<Vec<u8>, CommandFailure> {
    std::fs::read(file).map_err(|error| {
        CommandFailure::Failed(format!("{} cannot be read: {}", file.display(), io_message(&error)))
    })
}
