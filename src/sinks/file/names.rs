//! Names of the files beside the sink's own file: rotated files, the record, torn lines.

use std::path::Path;

use chrono::NaiveDateTime;

use crate::paths;

/// Format of the time in a rotated file's name, which sorts.
pub(super) const ROTATION_TIME: &str = "%Y%m%dT%H%M%S%.3fZ";

/// Returns true if the sink, or logrotate, gives the name `path` to a file beside the sink's own file `own`.
pub(super) fn takes_name(own: &Path, path: &Path) -> bool {
    let (Ok(own), Ok(path)) = (paths::resolve(own), paths::resolve(path)) else {
        return false;
    };
    let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let ending = own.extension().map(|ending| format!(".{}", ending.to_string_lossy()));
    let (ending, own_name, other) = (ending.unwrap_or_default(), name(&own), name(&path));
    let stem = own_name.strip_suffix(&ending).unwrap_or(&own_name);
    let hidden = other.strip_prefix(&format!(".{own_name}."));
    let plain = other.strip_suffix(".tmp").unwrap_or(&other);
    let plain = plain.strip_suffix(".gz").unwrap_or(plain);
    let time = plain.strip_prefix(stem).and_then(|rest| rest.strip_prefix('-'));
    let time = time.and_then(|rest| rest.strip_suffix(&ending));
    let number = plain.strip_prefix(&format!("{own_name}."));
    own.parent() == path.parent()
        && (hidden
            .is_some_and(|rest| ["davinci-siem", "torn-"].iter().any(|own| rest.starts_with(own)))
            || time.is_some_and(|time| NaiveDateTime::parse_from_str(time, ROTATION_TIME).is_ok())
            || number
                .is_some_and(|number| number.starts_with(|first: char| first.is_ascii_digit()))
            || (plain == own_name && other != own_name))
}
