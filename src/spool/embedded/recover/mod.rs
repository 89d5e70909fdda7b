//! Opening, recovery and repair of a spool.

pub(crate) mod open;
pub mod repair;
pub(crate) mod salvage;
