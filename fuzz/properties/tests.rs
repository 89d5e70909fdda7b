//! Runs every property on arbitrary bytes, on mutated fixtures, and on the inputs that fuzzing has
//! found.

mod identity;
mod mutate;

use std::path::{Path, PathBuf};

use proptest::prelude::*;

use super::*;
use mutate::{arbitrary, mutated};

/// A property by its fuzz target's name, and the directories of its seeds.
type FuzzTarget = (&'static str, fn(&[u8]), &'static [&'static str]);

const EVENTS: &[&str] =
    &["fixtures/events", "fixtures/contradictions", "fixtures/pingone", "fixtures"];

const TARGETS: [FuzzTarget; 13] = [
    ("body", body::body, EVENTS),
    ("inflate", inflate::inflate, EVENTS),
    ("native", format::native, EVENTS),
    ("ecs", format::ecs, EVENTS),
    ("ocsf", format::ocsf, EVENTS),
    ("cef", format::cef, EVENTS),
    ("leef", format::leef, EVENTS),
    ("redact", redact::redact, EVENTS),
    ("syslog", syslog::syslog, EVENTS),
    ("splunk_hec", answers::splunk_hec, &["fixtures/answers/splunk_hec"]),
    ("elasticsearch", answers::elasticsearch, &["fixtures/answers/elasticsearch"]),
    ("settings", settings::settings, &["config"]),
    ("headers", headers::headers, &["fixtures/headers"]),
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Returns the files of these directories, without subdirectories.
fn files(directories: &[&str]) -> Vec<Vec<u8>> {
    let mut paths: Vec<PathBuf> = Vec::new();
    for directory in directories {
        let entries = root().join(directory).read_dir().expect(directory);
        paths.extend(
            entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()),
        );
    }
    paths.sort();
    assert!(!paths.is_empty(), "{directories:?} is empty");
    paths.iter().map(|path| std::fs::read(path).expect("a file")).collect()
}

/// Defines one proptest per property.
macro_rules! properties {
    ($($name:ident)*) => {
        proptest! {
            $(
                #[test]
                fn $name(
                    tampered in mutated(seeds(stringify!($name))),
                    bytes in arbitrary(),
                ) {
                    let (_, check, _) = target(stringify!($name));
                    check(&tampered.0);
                    check(&bytes.0);
                }
            )*
        }

        #[test]
        fn every_target_has_a_property() {
            assert_eq!([$(stringify!($name)),*], TARGETS.map(|(name, _, _)| name));
        }
    };
}

properties! { body inflate native ecs ocsf cef leef redact syslog splunk_hec elasticsearch settings headers }

fn target(name: &str) -> FuzzTarget {
    TARGETS.into_iter().find(|(own, _, _)| *own == name).expect("a target")
}

fn seeds(name: &str) -> Vec<Vec<u8>> {
    files(target(name).2)
}

/// Runs the properties on all seeds and on all inputs that fuzzing has found.
#[test]
fn what_was_found_once_holds_and_so_do_the_seeds() {
    for (name, check, directories) in TARGETS {
        files(directories).iter().for_each(|seed| check(seed));
        let found = root().join("fixtures/fuzzing").join(name);
        if found.is_dir() {
            files(&[&format!("fixtures/fuzzing/{name}")]).iter().for_each(|case| check(case));
        }
    }
}

/// Checks that each property has a file in `fuzz/fuzz_targets` and an entry in its manifest.
#[test]
fn every_target_can_be_run() {
    let manifest = std::fs::read_to_string(root().join("fuzz/Cargo.toml")).expect("a manifest");
    for (name, _, directories) in TARGETS {
        let path = format!("fuzz_targets/{name}.rs");
        assert!(root().join("fuzz").join(&path).is_file(), "{path}");
        assert!(manifest.contains(&format!("name = \"{name}\"\npath = \"{path}\"")), "{name}");
        let script = std::fs::read_to_string(root().join(".ci/fuzz")).expect("a script");
        assert!(directories.iter().all(|directory| script.contains(directory)), "{directories:?}");
    }
    let count = root().join("fuzz/fuzz_targets").read_dir().expect("targets").count();
    assert_eq!(count, TARGETS.len());
}
