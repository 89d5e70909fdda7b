//! `[log]`: what the service says about itself, on standard error.

use tracing::Level;

use super::section::Section;

/// Logging.
#[derive(Debug, Clone)]
pub struct Log {
    /// Text for people or JSON for machines.
    pub format: LogFormat,
    /// The least severe level shown.
    pub level: Level,
}

/// How a line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

pub(super) fn read(mut section: Section<'_>) -> Log {
    let levels = [
        ("error", Level::ERROR),
        ("warn", Level::WARN),
        ("info", Level::INFO),
        ("debug", Level::DEBUG),
    ];
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let log = Log {
        format: section.choice("format", &formats).unwrap_or(LogFormat::Text),
        level: section.choice("level", &levels).unwrap_or(Level::INFO),
    };
    section.finish();
    log
}
