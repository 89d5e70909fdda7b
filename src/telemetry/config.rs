//! `[log]`: the service's log on standard error.

use tracing::Level;

use crate::settings::Section;

/// Format and level of the log.
#[derive(Debug, Clone)]
pub struct LogConfig {
    /// Text for people or JSON for machines.
    pub format: LogFormat,
    /// The least severe level that is logged.
    pub level: Level,
}

/// Format of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

impl LogConfig {
    /// Reads `[log]`.
    pub(crate) fn read(root: &mut Section<'_>) -> Option<LogConfig> {
        root.table("log", "The service's log, on standard error.", |section| {
            let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
            let format = section.choice("format", &formats, "Format of a line.").or("text");
            let levels = [
                ("error", Level::ERROR),
                ("warn", Level::WARN),
                ("info", Level::INFO),
                ("debug", Level::DEBUG),
            ];
            let level = section.choice("level", &levels, "The least severe level that is logged.");
            let level = level.or("info");
            Some(LogConfig { format: format?, level: level? })
        })
    }
}
