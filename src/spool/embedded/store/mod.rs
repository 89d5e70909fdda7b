//! Stored form of the spool: tables, rows, files and their bounds.

pub(crate) mod bounds;
pub(crate) mod dispositions;
pub(crate) mod entries;
pub(crate) mod fault;
pub(crate) mod high_watermark;
pub(crate) mod identity;
pub(crate) mod ids;
pub(crate) mod losses;
pub(crate) mod pages;
pub(crate) mod plans;
pub(crate) mod room;
pub(crate) mod row;
pub(crate) mod schema;
pub(crate) mod wal;
