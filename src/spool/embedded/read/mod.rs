//! Read access: readers of sinks, searches around damaged pages, inspection.

pub(crate) mod gap;
pub(crate) mod inspect;
pub(crate) mod reader;
pub(crate) mod search;
