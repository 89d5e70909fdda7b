//! `postgres`: rows in a table of PostgreSQL. The sink itself needs the cargo feature `postgres`.
//!
//! A batch is one statement, so it is stored as a whole or not at all. A row whose uid is in the table is left out:
//! repetitions leave no duplicates, whatever happens between commit and cursor.

#[cfg(feature = "postgres")]
mod answer;
mod config;
#[cfg(feature = "postgres")]
mod connect;
mod encode;
#[cfg(feature = "postgres")]
mod sink;

use std::path::PathBuf;

use super::{BatchDefaults, Reason, Rendered, SinkFinding, SinkType};
use crate::format::Format;
use crate::settings::Section;
pub(crate) use config::PostgresSinkConfig;

impl SinkType for PostgresSinkConfig {
    const NAME: &'static str = "postgres";
    const BATCH: BatchDefaults = BatchDefaults { events: "1000", bytes: "4 MiB" };
    const IS_ORDERED: bool = false;
    const MISSING_FEATURE: Option<&'static str> =
        if cfg!(feature = "postgres") { None } else { Some("postgres") };

    #[cfg(feature = "postgres")]
    type Sink = sink::Postgres;
    #[cfg(not(feature = "postgres"))]
    type Sink = super::sink_type::NotBuilt;

    fn read(section: &mut Section<'_>, _: Format) -> Option<PostgresSinkConfig> {
        config::read(section)
    }

    fn files(&self) -> Vec<PathBuf> {
        let password = self.password.as_ref().and_then(|password| password.file());
        self.tls.files().into_iter().chain(password.map(PathBuf::from)).collect()
    }

    fn target(&self) -> String {
        format!("{}/{}, {}", self.address, self.database, self.table)
    }

    fn encode(&self, rendered: Rendered<'_>) -> Result<(Vec<u8>, Option<SinkFinding>), Reason> {
        Ok((encode::encode(rendered)?, None))
    }

    fn open(&self) -> Result<Self::Sink, Reason> {
        #[cfg(feature = "postgres")]
        return sink::Postgres::open(self);
        #[cfg(not(feature = "postgres"))]
        return Err(super::sink_type::NotBuilt::reason());
    }
}

#[cfg(test)]
mod tests;
