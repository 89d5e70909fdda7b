//! Structure of the source tree: directions between modules, sizes of files, and documentation.

#![expect(clippy::expect_used, reason = "a source that cannot be read fails the test")]

use std::path::{Path, PathBuf};

/// Modules of `src/`, each with the modules that it may name by `crate::`. None points upwards; `receive` and `deliver`
/// do not know each other.
const DIRECTIONS: [(&str, &[&str]); 43] = [
    ("error_chain", &[]),
    ("rlimit", &[]),
    ("file_fingerprint", &[]),
    ("disk_space", &[]),
    ("durable_dir", &[]),
    ("audit", &["durable_dir", "error_chain"]),
    ("json", &[]),
    ("paths", &[]),
    ("printable", &[]),
    ("shown", &[]),
    ("shutdown", &[]),
    ("spans", &[]),
    ("pem", &["shown"]),
    ("secret", &["shown"]),
    // The reader of the configuration: each component declares its own settings with it.
    ("settings", &["secret", "shown"]),
    ("event", &["settings"]),
    ("tls", &["pem", "settings", "shown"]),
    ("nats", &["error_chain", "secret", "settings", "tls"]),
    ("http_client", &["error_chain", "secret", "settings", "tls"]),
    ("oauth", &["http_client", "secret"]),
    ("aws", &["http_client", "secret", "settings", "tls"]),
    ("azure", &["http_client", "oauth", "secret", "settings", "tls"]),
    ("google", &["http_client", "oauth", "secret", "settings", "tls"]),
    ("pingone", &["http_client", "secret", "settings", "tls"]),
    ("spool", &["durable_dir", "error_chain", "nats", "settings", "spans"]),
    ("decode", &["event", "json"]),
    ("metrics", &["event"]),
    (
        "reconcile",
        &[
            "decode",
            "error_chain",
            "event",
            "http_client",
            "metrics",
            "pingone",
            "settings",
            "shutdown",
            "spool",
        ],
    ),
    ("observe", &["decode", "durable_dir", "event", "json", "metrics"]),
    ("redact", &["json", "secret", "settings"]),
    ("format", &["event", "json", "settings"]),
    ("traces", &["http_client", "metrics", "settings", "shutdown", "spans"]),
    ("telemetry", &["metrics", "printable", "settings", "spans", "traces"]),
    (
        "sinks",
        &[
            "aws",
            "azure",
            "durable_dir",
            "error_chain",
            "event",
            "format",
            "google",
            "http_client",
            "nats",
            "oauth",
            "paths",
            "secret",
            "settings",
            "tls",
        ],
    ),
    ("listener", &["metrics", "pem", "settings", "shown", "shutdown"]),
    (
        "receive",
        &[
            "decode", "event", "listener", "metrics", "observe", "redact", "secret", "settings",
            "shown", "shutdown", "spans", "spool",
        ],
    ),
    (
        "deliver",
        &[
            "decode",
            "event",
            "file_fingerprint",
            "format",
            "json",
            "metrics",
            "redact",
            "settings",
            "shown",
            "shutdown",
            "sinks",
            "spans",
            "spool",
        ],
    ),
    ("interactions", &["decode", "event", "metrics", "settings", "shutdown", "spool"]),
    (
        "alerts",
        &[
            "deliver",
            "disk_space",
            "durable_dir",
            "http_client",
            "metrics",
            "observe",
            "receive",
            "secret",
            "settings",
            "shutdown",
            "spool",
        ],
    ),
    (
        "admin",
        &[
            "audit",
            "deliver",
            "disk_space",
            "interactions",
            "listener",
            "metrics",
            "observe",
            "printable",
            "receive",
            "secret",
            "settings",
            "shutdown",
            "spool",
        ],
    ),
    // Composes the settings of all components.
    (
        "config",
        &[
            "admin",
            "alerts",
            "deliver",
            "event",
            "interactions",
            "listener",
            "paths",
            "pingone",
            "receive",
            "reconcile",
            "redact",
            "settings",
            "spool",
            "telemetry",
            "traces",
        ],
    ),
    (
        "reload",
        &[
            "admin",
            "audit",
            "config",
            "deliver",
            "file_fingerprint",
            "listener",
            "metrics",
            "receive",
            "secret",
            "settings",
            "shown",
            "spool",
        ],
    ),
    (
        "app",
        &[
            "admin",
            "alerts",
            "audit",
            "config",
            "deliver",
            "interactions",
            "listener",
            "metrics",
            "observe",
            "receive",
            "reconcile",
            "reload",
            "rlimit",
            "shutdown",
            "spool",
        ],
    ),
];

/// Modules without I/O, and words that would mean I/O.
const PURE: [&str; 5] = ["event", "decode", "format", "redact", "json"];
const WORLD: [&str; 8] =
    ["std::fs", "std::net", "std::env", "tokio", "SystemTime", "Instant", "Utc::now", "tracing"];

const MAX_LINES: usize = 400;

struct Source {
    path: PathBuf,
    /// Path below `src/`.
    name: String,
    /// Text without the unit tests.
    text: String,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut directories = vec![root.clone()];
    let mut found = Vec::new();
    while let Some(directory) = directories.pop() {
        for entry in directory.read_dir().expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let text = std::fs::read_to_string(&path).expect("a source");
                let name = path.strip_prefix(&root).expect("below").display().to_string();
                if !name.ends_with("tests.rs") && !name.contains("/tests/") {
                    let text =
                        text.split("\n#[cfg(test)]\nmod tests {").next().expect("text").to_owned();
                    found.push(Source { path, name, text });
                }
            }
        }
    }
    assert!(found.len() > 50, "the sources were found");
    found
}

fn module(source: &Source) -> &str {
    source.name.split(['/', '.']).next().expect("a module")
}

fn code_lines(source: &Source) -> impl Iterator<Item = &str> {
    source.text.lines().filter(|line| !line.trim_start().starts_with("//"))
}

#[test]
fn modules_point_down_only() {
    let mut wrong = Vec::new();
    for source in sources() {
        let Some((own, allowed)) = DIRECTIONS.iter().find(|(name, _)| *name == module(&source))
        else {
            assert!(
                ["cli", "lib", "main"].contains(&module(&source)),
                "{} has no direction",
                source.name
            );
            continue;
        };
        for line in code_lines(&source) {
            for used in line.split("crate::").skip(1) {
                // `use crate::{a, b}` names several modules.
                let names = used.trim_start_matches('{').split(&[',', '}'][..]);
                let names = if used.starts_with('{') { names.collect() } else { vec![used] };
                for name in names {
                    let name: String = name
                        .trim()
                        .chars()
                        .take_while(|c| c.is_alphanumeric() || *c == '_')
                        .collect();
                    if !name.is_empty() && name != *own && !allowed.contains(&name.as_str()) {
                        wrong.push(format!("{}: {}", source.name, line.trim()));
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Each module comes after all that it may name, so that there is no cycle.
#[test]
fn directions_have_no_cycle() {
    for (index, (name, allowed)) in DIRECTIONS.iter().enumerate() {
        for lower in *allowed {
            let is_before = DIRECTIONS[..index].iter().any(|(known, _)| known == lower);
            assert!(is_before, "{name} names {lower}, which does not come before it");
        }
    }
}

/// A new sink type touches its own directory and `sinks/mod.rs`.
#[test]
fn only_its_directory_and_its_registration_name_a_sink() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/sinks");
    let entries = root.read_dir().expect("a directory").map(|entry| entry.expect("an entry"));
    let sinks = entries.filter(|entry| entry.path().join("mod.rs").exists());
    let types: Vec<(String, String)> = sinks
        .map(|entry| {
            let directory = entry.file_name().to_string_lossy().into_owned();
            let words = directory.split('_').map(|word| word[..1].to_uppercase() + &word[1..]);
            (words.collect::<String>(), format!("sinks/{directory}/"))
        })
        .collect();
    assert!(types.len() >= 8, "the sinks were found");
    for source in sources() {
        // Except the registration, and the fuzzing properties, which are built for tests only.
        if source.name == "sinks/mod.rs" || source.name.contains("fuzzing") {
            continue;
        }
        for (name, directory) in types.iter().filter(|(_, own)| !source.name.starts_with(own)) {
            let forms = [format!("{name}SinkConfig"), format!("TargetConfig::{name}")];
            let found = code_lines(&source)
                .find(|line| forms.iter().any(|form| line.contains(form.as_str())));
            assert_eq!(found, None, "{} names the sink in {directory}", source.name);
        }
    }
}

#[test]
fn pure_modules_touch_nothing() {
    for source in sources().iter().filter(|source| PURE.contains(&module(source))) {
        for line in code_lines(source) {
            let word = WORLD.iter().find(|word| line.contains(*word));
            assert!(word.is_none(), "{} is pure, and says {}", source.path.display(), line.trim());
        }
    }
}

#[test]
fn only_the_embedded_engine_names_its_store() {
    for source in sources().iter().filter(|source| !source.name.starts_with("spool/embedded/")) {
        let found = code_lines(source).find(|line| line.contains("rusqlite"));
        assert_eq!(found, None, "{}", source.name);
    }
}

#[test]
fn files_are_short_and_say_what_they_are() {
    let mut lengths = Vec::new();
    for source in sources() {
        assert!(source.text.starts_with("//! "), "{} does not begin with //!", source.name);
        let length = source.text.lines().count();
        assert!(length <= MAX_LINES, "{} has {length} lines", source.name);
        lengths.push(length);
    }
    lengths.sort_unstable();
    let median = lengths[lengths.len() / 2];
    assert!(median <= 130, "half of the files have more than {median} lines");
}

/// Returns the name of the `pub` function that a line declares.
fn public_function(line: &str) -> Option<&str> {
    let rest = line.trim_start().strip_prefix("pub ")?;
    let mut words = rest.split_whitespace().skip_while(|word| ["const", "async"].contains(word));
    (words.next()? == "fn").then(|| words.next().unwrap_or_default())
}

/// Returns the text of a function's signature that starts at `lines[0]`.
fn signature(lines: &[&str]) -> String {
    let mut text = String::new();
    for line in lines {
        text.push_str(line.trim());
        text.push(' ');
        if line.trim_end().ends_with(['{', ';', '}']) {
            break;
        }
    }
    text
}

#[test]
fn public_functions_document_their_errors() {
    let mut wrong = Vec::new();
    for source in sources() {
        let lines: Vec<&str> = source.text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let Some(name) = public_function(line) else { continue };
            let signature = signature(&lines[index..]);
            let returned = signature.rsplit_once("->").map_or("", |(_, returned)| returned);
            if !returned.contains("Result<") {
                continue;
            }
            let above = lines[..index].iter().rev().map(|line| line.trim_start());
            let mut documented = above.take_while(|line| line.starts_with(['/', '#', ')']));
            if !documented.any(|line| line == "/// # Errors") {
                let name = name.split(['(', '<']).next().unwrap_or_default();
                wrong.push(format!("{}:{}: {name}", source.name, index + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{} without # Errors:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn doc_comments_begin_with_a_verb_or_a_noun() {
    const QUESTIONS: [&str; 9] =
        ["What", "Whether", "How", "Who", "Whom", "Whose", "Where", "Why", "When"];
    const MAX_PERCENT: usize = 5;
    let (mut blocks, mut offenders) = (0, Vec::new());
    for source in sources() {
        let mut is_inside = false;
        for (index, line) in source.text.lines().enumerate() {
            let text = line.trim_start();
            let text = text.strip_prefix("///").or_else(|| text.strip_prefix("//!"));
            if let Some(text) = text.filter(|_| !is_inside) {
                blocks += 1;
                let word = text.split_whitespace().next().unwrap_or_default();
                if QUESTIONS.contains(&word.trim_end_matches(|c: char| !c.is_alphanumeric())) {
                    offenders.push(format!("{}:{}:{text}", source.name, index + 1));
                }
            }
            is_inside = text.is_some();
        }
    }
    let share = offenders.len() * 100;
    assert!(
        share <= blocks * MAX_PERCENT,
        "{} of {blocks} doc comments begin with a question word:\n{}",
        offenders.len(),
        offenders.join("\n")
    );
}

#[test]
fn paths_in_the_architecture_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(root.join("ARCHITECTURE.md")).expect("a page");
    let mut missing = Vec::new();
    // The odd parts are between backticks.
    for code in page.split('`').skip(1).step_by(2) {
        let is_path =
            code.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte));
        let is_source = code.starts_with("src/") || (code.contains('/') && code.ends_with(".rs"));
        if is_path
            && is_source
            && !root.join(code).exists()
            && !root.join("src").join(code).exists()
        {
            missing.push(code);
        }
    }
    assert!(missing.is_empty(), "ARCHITECTURE.md names {missing:?}, which do not exist");
}

#[test]
fn nothing_is_left_for_later() {
    for source in sources() {
        for word in ["TODO", "FIXME", "XXX", "HACK"] {
            assert!(!source.text.contains(word), "{} holds a {word}", source.name);
        }
    }
}

#[test]
fn every_fixture_and_dependency_is_explained() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).expect("a file");
    let manifest = read("Cargo.toml");
    let reasons = read("ARCHITECTURE.md");
    let dependencies = manifest.split("[dependencies]").nth(1).expect("dependencies");
    let dependencies = dependencies.split("\n[profile").next().expect("dependencies");
    for line in dependencies.lines() {
        if let Some((name, _)) = line.split_once(" = ") {
            assert!(
                reasons.contains(&format!("| `{name}` |")),
                "ARCHITECTURE.md gives no reason for {name}"
            );
        }
    }
    let explained = read("fixtures/README.md");
    for directory in ["events", "contradictions", "pingone"] {
        for entry in root.join("fixtures").join(directory).read_dir().expect("a directory") {
            let name = entry.expect("an entry").file_name().to_string_lossy().into_owned();
            assert!(explained.contains(&name), "fixtures/README.md does not explain {name}");
        }
    }
}

#[test]
fn the_image_agrees_with_the_manifest() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let read = |name: &str| std::fs::read_to_string(root.join(name)).expect("a file");
    let (image, tools) = (read("Dockerfile"), read(".ci/tool"));
    let auditable = tools.split("cargo-auditable) version=").nth(1).expect("its version");
    let auditable = auditable.split_whitespace().next().expect("its version");
    for said in [
        format!("image.version=\"{}\"", env!("CARGO_PKG_VERSION")),
        format!("image.description=\"{}\"", env!("CARGO_PKG_DESCRIPTION")),
        format!("image.licenses=\"{}\"", env!("CARGO_PKG_LICENSE")),
        format!("ARG BASE=rust:{}-", env!("CARGO_PKG_RUST_VERSION")),
        format!("cargo-auditable --version ={auditable} "),
    ] {
        assert!(image.contains(&said), "the Dockerfile does not say {said}");
    }
    // The minimum supported toolchain is the one that CI uses.
    let toolchain = format!("channel = \"{}.0\"", env!("CARGO_PKG_RUST_VERSION"));
    assert!(read("rust-toolchain.toml").contains(&toolchain), "another toolchain: {toolchain}");
}
