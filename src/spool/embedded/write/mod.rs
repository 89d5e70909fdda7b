//! The writer thread: admission, group commit, trimming and upkeep.

pub(crate) mod admit;
pub(crate) mod command;
pub(crate) mod group;
pub(crate) mod stuck_log;
pub(crate) mod trim;
pub(crate) mod upkeep;
pub(crate) mod writer;
