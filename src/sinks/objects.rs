//! Contract of the sinks that write objects: one object holds many events of a range of positions.
//!
//! `deliver` chooses the range and stores it before anything is written. The names of all objects follow from the
//! range, so that a repetition meets the objects that exist.

use std::{fmt, io};

use super::Item;

/// Range of positions whose events go into the same objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ObjectRange {
    /// First position.
    pub(crate) first: u64,
    /// Last position.
    pub(crate) last: u64,
    /// Random id of the range: 63 bits.
    pub(crate) id: u64,
}

/// An event for an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ObjectEvent<'a> {
    pub(crate) position: u64,
    /// Receive time, in ms since the Unix epoch.
    pub(crate) received_at: i64,
    /// Name of its source.
    pub(crate) source: &'a str,
    /// The encoded event: one line, without the line break.
    pub(crate) line: &'a [u8],
}

/// An object that is ready to be written.
#[derive(Debug)]
pub(crate) struct PackedObject {
    /// Position of its last event, name and content.
    pub(crate) item: Item,
    /// Number of its events.
    pub(crate) events: u64,
}

/// Layout of a sink's objects.
pub(crate) trait ObjectScheme: Sync {
    /// Returns all settings of the sink that decide about the names and bytes of objects, besides the events' format.
    fn settings(&self) -> String;

    /// Returns true if the events of a range are in memory uncompressed, until its objects are written.
    fn holds_events(&self) -> bool;

    /// Starts the objects of a range.
    fn pack(&self, range: ObjectRange) -> Box<dyn ObjectPacker>;
}

/// The objects of one range while they are filled. Deterministic: the same events make the same objects.
pub(crate) trait ObjectPacker: fmt::Debug + Send {
    /// Adds an event. Events come in the order of their positions.
    ///
    /// # Errors
    /// Returns an error of the compression.
    fn add(&mut self, event: ObjectEvent<'_>) -> io::Result<()>;

    /// Returns all objects, in the order of their last positions.
    ///
    /// # Errors
    /// Returns an error of the compression.
    fn finish(self: Box<Self>) -> io::Result<Vec<PackedObject>>;
}
