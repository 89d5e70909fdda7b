//! Settings of `type = "file"`: one line per event, appended to a file that is rotated.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::settings::Section;

/// `type = "file"`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSinkConfig {
    /// The file that is appended to.
    pub path: PathBuf,
    /// Size in bytes at which the file is rotated; `None` for never.
    pub rotate_size: Option<u64>,
    /// Age at which the file is rotated; `None` for never.
    pub rotate_age: Option<Duration>,
    /// True if rotated files are compressed.
    pub gzip: bool,
    /// Number of rotated files that are kept; `None` for all.
    pub keep: Option<usize>,
}

pub(super) fn read(section: &mut Section<'_>) -> Option<FileSinkConfig> {
    let path = section.path("path", "The file that is appended to.");
    let path = path.required("/var/log/davinci/events.ndjson");
    if path.as_deref().and_then(Path::to_str).is_some_and(names_no_file) {
        section.report("path", "names no file; write the path of a file");
    }
    let rotation = section.table("rotate", "Rotation of the file.", |rotate| {
        let doc = "Size at which the file is rotated. Default: never.";
        let size = rotate.size("size", 4096..=u64::MAX, doc).optional();
        let doc = "Age at which the file is rotated. Default: never.";
        let age = rotate.duration("age", doc).optional();
        let gzip = rotate.boolean("gzip", "True: rotated files are compressed.").or("true");
        let doc = "Number of rotated files that are kept. Default: all.";
        let keep = rotate.integer("keep", 1..=u64::MAX, doc).optional();
        Some((size?, age?, gzip?, keep?))
    });
    let (path, (rotate_size, rotate_age, gzip, keep)) = (path?, rotation?);
    let keep = keep.map(|keep| keep as usize);
    Some(FileSinkConfig { path, rotate_size, rotate_age, gzip, keep })
}

fn names_no_file(path: &str) -> bool {
    path.ends_with('/') || Path::new(path).file_name().is_none()
}
