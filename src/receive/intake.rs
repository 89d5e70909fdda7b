//! Decodes a body while it arrives. Pure: no clock, no I/O.
//!
//! The elements of a frame are decoded where hyper has read them, without a copy. Only the element that two frames
//! share is copied. The result does not depend on the frames: a body that cannot be read in pieces is read as a whole
//! at its end.

use bytes::{Bytes, BytesMut};

use super::ingest::{Context, Ingest, Ingested};
use crate::decode::Refusal;

/// Bytes that are worth a pass of the decoder; smaller frames are gathered.
const MIN_PIECE_BYTES: usize = 16 * 1024;

/// Bytes of a frame that are copied to complete the element that the frame before it has cut.
const SEAM_BYTES: usize = 4 * 1024;

/// Bytes without a complete element from which the rest of the body is read as a whole: it is malformed, or no array.
const MAX_UNREAD_BYTES: usize = 64 * 1024;

/// Maximum number of bytes that are decoded at once on an async thread.
const MAX_INLINE_BYTES: usize = 64 * 1024;

/// Maximum number of bytes that are packed at once on an async thread: twice PingOne's largest batch, which takes less
/// than a millisecond.
const MAX_INLINE_PACKED_BYTES: usize = 1024 * 1024;

/// A body that arrives.
#[derive(Debug)]
pub(super) struct Intake {
    ingest: Ingest,
    /// Small frames that are not in `pieces` yet.
    gathered: BytesMut,
    /// All bytes before these: the whole body may have to go to quarantine.
    pieces: Vec<Bytes>,
    /// End of the last piece, with the start of an element.
    unread: Bytes,
    /// Number of bytes read.
    read: usize,
    /// False once the rest can only be read as a whole.
    is_in_pieces: bool,
}

/// The rest of a body, after its last frame.
#[derive(Debug)]
pub(super) struct IntakeRest {
    ingest: Ingest,
    pieces: Vec<Bytes>,
    rest: Bytes,
    /// Size of the body.
    size: usize,
}

impl Intake {
    pub(super) fn new(context: Context) -> Intake {
        Intake {
            ingest: Ingest::new(context),
            gathered: BytesMut::new(),
            pieces: Vec::new(),
            unread: Bytes::new(),
            read: 0,
            is_in_pieces: true,
        }
    }

    /// Takes the next frame and decodes the elements that are complete with it.
    pub(super) fn push(&mut self, frame: Bytes) {
        if self.gathered.len() + frame.len() < MIN_PIECE_BYTES {
            self.gathered.extend_from_slice(&frame);
        } else if self.gathered.is_empty() {
            self.piece(frame);
        } else {
            self.gathered.extend_from_slice(&frame);
            let gathered = self.gathered.split().freeze();
            self.piece(gathered);
        }
    }

    fn piece(&mut self, piece: Bytes) {
        self.pieces.push(piece.clone());
        if self.is_in_pieces {
            let piece = self.close_seam(piece);
            let read = self.feed(&piece);
            self.unread = piece.slice(read..);
            self.is_in_pieces = self.unread.len() < MAX_UNREAD_BYTES;
        }
    }

    /// Decodes the element that the piece completes. Returns the bytes that follow, from the start of an element.
    fn close_seam(&mut self, piece: Bytes) -> Bytes {
        let cut = std::mem::take(&mut self.unread);
        if cut.is_empty() {
            return piece;
        }
        let (start, more) = piece.split_at(SEAM_BYTES.min(piece.len()));
        let seam = Bytes::from([&cut, start].concat());
        let read = self.feed(&seam);
        if read >= cut.len() {
            return piece.slice(read - cut.len()..);
        }
        Bytes::from([&seam[read..], more].concat())
    }

    fn feed(&mut self, bytes: &Bytes) -> usize {
        let read = self.ingest.feed(bytes);
        self.read += read;
        read
    }

    /// Ends the body after its last frame.
    pub(super) fn end(self) -> IntakeRest {
        let Intake { ingest, gathered, mut pieces, unread, read, is_in_pieces } = self;
        let last = gathered.freeze();
        pieces.push(last.clone());
        let rest = match (is_in_pieces, unread.is_empty()) {
            (true, true) => last,
            (true, false) => Bytes::from([&unread[..], &last].concat()),
            (false, _) => whole(&pieces).slice(read..),
        };
        IntakeRest { ingest, pieces, size: read + rest.len(), rest }
    }
}

impl IntakeRest {
    /// Returns whether so little is left to be decoded and packed that an async thread may do it.
    pub(super) fn is_short(&self) -> bool {
        self.rest.len() <= MAX_INLINE_BYTES && self.size <= MAX_INLINE_PACKED_BYTES
    }

    /// Decodes the rest.
    ///
    /// # Errors
    ///
    /// The body as a whole cannot be parsed: returns the refusal and the body.
    pub(super) fn decode(self) -> Result<Ingested, (Refusal, Bytes)> {
        let IntakeRest { ingest, pieces, rest, .. } = self;
        ingest.finish(&rest).map_err(|refusal| (refusal, whole(&pieces)))
    }
}

fn whole(pieces: &[Bytes]) -> Bytes {
    match pieces {
        [one] => one.clone(),
        many => Bytes::from(many.concat()),
    }
}

#[cfg(test)]
mod tests;
