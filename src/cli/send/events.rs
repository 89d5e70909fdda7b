//! The batches to send: read from files, or generated as they are asked for.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::super::Failure;
use super::Body;
use super::generate::Generator;
use crate::decode;
use crate::error_chain::io_message;

/// Batches in order.
#[derive(Debug)]
pub(super) enum Batches {
    Ready { bodies: VecDeque<Body>, events: u64 },
    Generated { generator: Box<Generator>, left: u64, batch: u64 },
}

impl Batches {
    pub(super) fn generated(count: u64, batch: u64) -> Batches {
        Batches::Generated { generator: Box::default(), left: count, batch }
    }

    /// Each file as one body.
    pub(super) fn raw(files: &[PathBuf]) -> Result<Batches, Failure> {
        let bodies = files.iter().map(|file| Ok((Bytes::from(read(file)?), 1)));
        let bodies: VecDeque<Body> = bodies.collect::<Result<_, Failure>>()?;
        Ok(Batches::Ready { events: bodies.len() as u64, bodies })
    }

    /// The elements of all files, whatever shape they are in, as arrays of `batch`.
    pub(super) fn from_files(files: &[PathBuf], batch: u64) -> Result<Batches, Failure> {
        let mut elements: Vec<Vec<u8>> = Vec::new();
        for file in files {
            let text = read(file)?;
            let found = decode::body(&text, false).map_err(|refusal| {
                let file = file.display();
                Failure::Failed(format!(
                    "{file} holds no events: {}. Send it as it is with --raw",
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

    /// Events in all.
    pub(super) fn events(&self) -> u64 {
        match self {
            Batches::Ready { events, .. } => *events,
            Batches::Generated { left, .. } => *left,
        }
    }

    pub(super) fn next(&mut self) -> Option<Body> {
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

fn read(file: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(file).map_err(|error| {
        Failure::Failed(format!("{} cannot be read: {}", file.display(), io_message(&error)))
    })
}
