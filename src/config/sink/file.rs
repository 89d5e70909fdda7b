//! `type = "file"`: one line per event, appended to a file that is rotated.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::config::section::Section;

/// `type = "file"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSink {
    /// The file that is appended to.
    pub path: PathBuf,
    /// Bytes after which the file is rotated; `None` for never.
    pub rotate_size: Option<u64>,
    /// Age after which the file is rotated; `None` for never.
    pub rotate_age: Option<Duration>,
    /// Whether rotated files are compressed.
    pub gzip: bool,
    /// How many rotated files are kept; `None` for all.
    pub keep: Option<usize>,
}

pub(super) fn read(section: &mut Section<'_>) -> FileSink {
    let path = section.required_path("path", "/var/log/davinci/events.ndjson");
    if path.as_deref().and_then(Path::to_str).is_some_and(names_no_file) {
        section.report("path", "names no file; write the path of a file".to_owned());
    }
    let mut rotate = section.table("rotate");
    let file = FileSink {
        path: path.unwrap_or_default(),
        rotate_size: rotate.size("size", 4096),
        rotate_age: rotate.duration("age"),
        gzip: rotate.boolean("gzip").unwrap_or(true),
        keep: rotate.integer("keep", 1).map(|keep| keep as usize),
    };
    rotate.finish();
    file
}

fn names_no_file(path: &str) -> bool {
    path.ends_with('/') || Path::new(path).file_name().is_none()
}
