//! Outputs of file sinks that are something else already: another sink's, the spool's, a file that the service reads.

use std::path::{Path, PathBuf};

use chrono::NaiveDateTime;

use super::{FileSink, SinkKind};
use crate::config::Config;
use crate::config::section::Section;
use crate::paths;

/// The time in a rotated file's name, which sorts.
pub(crate) const ROTATED_AT: &str = "%Y%m%dT%H%M%S%.3fZ";

/// Beginnings of the names that the service gives to its own files in the spool's directory.
const SPOOL_NAMES: [&str; 4] = ["spool.", "repair.", "drift.json", "damaged-"];

/// Files of a spool that another name may lead to.
const SPOOL_FILES: [&str; 5] =
    ["spool.db", "spool.db-wal", "spool.db-shm", "spool.lock", "spool.mark"];

/// Reports each file sink whose path cannot be a log of its own.
pub(in crate::config) fn check(config: &Config, root: &Section<'_>) {
    let read = read_files(config, root.file());
    for (index, sink) in config.sinks.iter().enumerate() {
        let SinkKind::File(file) = &sink.kind else { continue };
        let path = &file.path;
        let others = config.sinks.iter().enumerate().filter(|(other, _)| *other != index);
        let owner = others.into_iter().find(|(_, other)| match &other.kind {
            SinkKind::File(other) => takes_name(other, path),
            _ => false,
        });
        let mistake = if is_of_spool(path, &config.spool.directory) {
            "is a file of the spool; write to a file of its own".to_owned()
        } else if let Some((what, _)) = read.iter().find(|(_, read)| paths::is_same(read, path)) {
            format!("is {what}; write to a file of its own")
        } else if let Some((_, owner)) = owner {
            format!(
                "is a name that sinks.{} gives to its rotated or auxiliary files; choose another",
                owner.name
            )
        } else {
            continue;
        };
        root.report(&format!("sinks.{}.path", sink.name), mistake);
    }
}

/// Files that the service reads, with what they are.
fn read_files(config: &Config, file: Option<&Path>) -> Vec<(&'static str, PathBuf)> {
    let own = file.map(|file| ("the configuration file", file.to_owned()));
    let tls = config.listen.tls.iter().flat_map(|tls| tls.files());
    let sinks = config.sinks.iter().flat_map(|sink| sink.kind.files());
    let secrets = tls.chain(sinks).map(|file| ("a certificate or secret that is read", file));
    own.into_iter().chain(secrets).collect()
}

fn is_of_spool(path: &Path, directory: &Path) -> bool {
    let is_below = || {
        let (path, directory) = (paths::resolve(path).ok()?, paths::resolve(directory).ok()?);
        let name = path.strip_prefix(directory).ok()?.components().next()?.as_os_str();
        let name = name.to_string_lossy().to_lowercase();
        Some(SPOOL_NAMES.iter().any(|own| name.starts_with(own)))
    };
    is_below().unwrap_or(false)
        || SPOOL_FILES.iter().any(|name| paths::is_same(path, &directory.join(name)))
}

/// Reports whether `path` is a name that the sink or logrotate gives to a file beside the sink's own.
fn takes_name(sink: &FileSink, path: &Path) -> bool {
    let (Ok(own), Ok(path)) = (paths::resolve(&sink.path), paths::resolve(path)) else {
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
            || time.is_some_and(|time| NaiveDateTime::parse_from_str(time, ROTATED_AT).is_ok())
            || number
                .is_some_and(|number| number.starts_with(|first: char| first.is_ascii_digit()))
            || (plain == own_name && other != own_name))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::config::parse;

    /// The mistakes of a sink `b` with this path, beside a sink `a` and a spool in `data`.
    fn mistakes(directory: &Path, path: &str) -> String {
        let at = |name: &str| directory.join(name).display().to_string();
        let path = if path.is_empty() { String::new() } else { at(path) };
        let text = format!(
            "[spool]\ndirectory = {:?}\n[sinks.a]\ntype = \"file\"\npath = {:?}\n\
             [sinks.b]\ntype = \"file\"\npath = {path:?}\n",
            at("data"),
            at("out/a.ndjson"),
        );
        let file = directory.join("c.toml");
        std::fs::write(&file, &text).expect("written");
        let parsed = parse(&text, Some(&file), std::iter::empty());
        parsed.err().map(|problems| problems.to_string()).unwrap_or_default()
    }

    #[test]
    fn an_output_that_is_something_else_is_a_mistake() {
        let directory = tempfile::tempdir().expect("a directory");
        let at = |name: &str| directory.path().join(name);
        for name in ["data", "out", "data/damaged-1"] {
            std::fs::create_dir(at(name)).expect("made");
        }
        std::fs::write(at("data/spool.db"), "").expect("written");
        std::fs::write(at("out/a.ndjson"), "").expect("written");
        symlink("out", at("link")).expect("linked");
        symlink("data/spool.lock", at("lock.ndjson")).expect("linked");
        std::fs::hard_link(at("data/spool.db"), at("hard.db")).expect("linked");
        std::fs::hard_link(at("out/a.ndjson"), at("hard.ndjson")).expect("linked");
        for (path, mistake) in [
            ("", "names no file"),
            ("new/", "names no file"),
            ("out/..", "names no file"),
            ("out/a.ndjson", "writes where sinks.a writes"),
            ("link/a.ndjson", "writes where sinks.a writes"),
            ("new/../out/./a.ndjson", "writes where sinks.a writes"),
            ("hard.ndjson", "writes where sinks.a writes"),
            ("out/a-20261122T201500.123Z.ndjson", "that sinks.a gives to"),
            ("link/a-20261122T201500.123Z.ndjson.gz", "that sinks.a gives to"),
            ("out/a.ndjson.gz", "that sinks.a gives to"),
            ("out/a.ndjson.gz.tmp", "that sinks.a gives to"),
            ("out/a.ndjson.1", "that sinks.a gives to"),
            ("out/a.ndjson.20261122.gz", "that sinks.a gives to"),
            ("out/.a.ndjson.davinci-siem", "that sinks.a gives to"),
            ("out/.a.ndjson.torn-20261122T201500.123Z", "that sinks.a gives to"),
            ("data/spool.db", "is a file of the spool"),
            ("data/spool.db-wal", "is a file of the spool"),
            ("out/../data/repair.tmp", "is a file of the spool"),
            ("data/damaged-1/spool.db", "is a file of the spool"),
            ("lock.ndjson", "is a file of the spool"),
            ("hard.db", "is a file of the spool"),
            ("c.toml", "is the configuration file"),
        ] {
            let found = mistakes(directory.path(), path);
            assert!(found.contains(mistake), "{path}: {found}");
        }
        for good in
            ["out/b.ndjson", "data/out.ndjson", "out/a.ndjson.log", "out/a-b.ndjson", "a.ndjson"]
        {
            assert_eq!(mistakes(directory.path(), good), "", "{good}");
        }
    }
}
