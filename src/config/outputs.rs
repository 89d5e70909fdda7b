//! Files of sinks that have another purpose already: another sink's file, the spool's, or a file that the service reads.

use std::path::{Path, PathBuf};

use crate::deliver::SinkConfig;
use crate::listener::ListenConfig;
use crate::paths;
use crate::settings::Section;
use crate::spool::SpoolConfig;

/// Beginnings of the names of the service's own files in the spool's directory.
const SPOOL_NAMES: [&str; 6] =
    ["spool.", "repair.", "drift.json", "alerts.json", "audit.", "damaged-"];

/// Files of a spool, to which links may lead.
const SPOOL_FILES: [&str; 5] =
    ["spool.db", "spool.db-wal", "spool.db-shm", "spool.lock", "spool.mark"];

/// Reports each sink whose file is written or read by something else.
pub(super) fn check(
    listen: &ListenConfig,
    spool: &SpoolConfig,
    sinks: &[SinkConfig],
    root: &mut Section<'_>,
) {
    let read = read_files(listen, sinks, root.file());
    for (index, sink) in sinks.iter().enumerate() {
        let Some(output) = sink.target.output() else { continue };
        let twin = sinks[..index].iter().find(|other| {
            other.target.output().is_some_and(|other| paths::is_same(other.path, output.path))
        });
        if let Some(twin) = twin {
            root.report(
                &format!("sinks.{}", sink.name),
                format!("writes where sinks.{} writes; give each its own path", twin.name),
            );
        }
        let Some(key) = output.key else { continue };
        let others = sinks.iter().enumerate().filter(|(other, _)| *other != index);
        let owner = others.into_iter().find(|(_, other)| other.target.takes_name(output.path));
        let mistake = if is_of_spool(output.path, &spool.directory) {
            "is a file of the spool; write to a file of its own".to_owned()
        } else if let Some((noun, _)) =
            read.iter().find(|(_, read)| paths::is_same(read, output.path))
        {
            format!("is {noun}; write to a file of its own")
        } else if let Some((_, owner)) = owner {
            format!(
                "is a name that sinks.{} gives to its rotated or auxiliary files; choose another",
                owner.name
            )
        } else {
            continue;
        };
        root.report(&format!("sinks.{}.{key}", sink.name), mistake);
    }
}

/// Returns the files that the service reads, each with a noun phrase.
fn read_files(
    listen: &ListenConfig,
    sinks: &[SinkConfig],
    file: Option<&Path>,
) -> Vec<(&'static str, PathBuf)> {
    let own = file.map(|file| ("the configuration file", file.to_owned()));
    let tls = listen.tls.iter().flat_map(|tls| tls.files());
    let targets = sinks.iter().flat_map(|sink| sink.target.files());
    let secrets = tls.chain(targets).map(|file| ("a certificate or secret that is read", file));
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
            ("", "is empty; write a path"),
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
