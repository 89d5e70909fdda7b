//! Arbitrary text as a configuration, with environment variables over it.

use std::ffi::OsString;
use std::path::Path;

use crate::config::{self, Config};
use crate::receive::SourceConfig;
use crate::settings::Problems;

/// Secret that no message and no `Debug` output may contain.
const SECRET: &str = "canary-0123456789-canary";

/// Checks that a configuration is valid, or that every problem names its place and mistake on one
/// line, and that no secret is shown. The text after a NUL is the environment, as `NAME=VALUE`
/// lines.
pub fn settings(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    // Reading a device might never end.
    if text.contains("/dev") {
        return;
    }
    let (text, variables) = text.split_once('\0').unwrap_or((&text, ""));
    let overriding = variables.lines().filter_map(|line| line.split_once('='));
    let environment: Vec<(OsString, OsString)> = overriding
        .filter(|(_, value)| !value.contains(SECRET))
        .chain([("SECRET", SECRET), ("KEY", SECRET)])
        .map(|(name, value)| (name.into(), value.into()))
        .collect();
    let parse =
        || config::parse(text, Some(Path::new("fuzz.toml")), environment.clone().into_iter());
    let first = parse();
    match &first {
        Ok(config) => is_complete(config),
        Err(problems) => {
            name_something(problems);
            assert_eq!(parse().err().as_ref(), Some(problems), "said again");
        }
    }
    assert!(text.contains(SECRET) || !format!("{first:?}").contains(SECRET), "a secret is shown");
    let variables = environment.into_iter();
    if let Err(problems) = config::parse("", None, variables) {
        name_something(&problems);
    }
}

fn is_complete(config: &Config) {
    assert!(!config.sources.is_empty() && !config.sinks.is_empty());
    for (index, source) in config.sources.iter().enumerate() {
        is_plain(&source.name);
        assert!(source.path.starts_with('/'));
        let is_twin = |other: &SourceConfig| other.path == source.path;
        assert!(!config.sources[..index].iter().any(is_twin), "two sources on {}", source.path);
    }
    config.sinks.iter().for_each(|sink| is_plain(&sink.name));
    assert!(config.limits.body <= 512 << 20 && config.limits.in_flight >= 2 * config.limits.body);
    assert!(config.spool.max_size >= 4 * config.limits.body);
    let is_open = config.sources.iter().any(|source| source.credentials.is_empty());
    assert!(
        !is_open || config.listen.address.ip().is_loopback() || config.listen.allows_no_credentials
    );
}

/// Checks a name, which becomes a label and a part of file names.
fn is_plain(name: &str) {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_".contains(c);
    assert!((1..=64).contains(&name.len()) && name.chars().all(is_plain), "{name:?}");
}

fn name_something(problems: &Problems) {
    assert!(!problems.0.is_empty());
    for problem in &problems.0 {
        let line = problem.to_string();
        assert!(!line.contains(char::is_control), "more than a line: {line:?}");
        assert!(!problem.place.is_empty() || !problem.key.is_empty(), "names nothing: {line}");
        let is_grammar = problem.message.starts_with("not valid TOML: ");
        assert!(
            !problem.key.is_empty() || is_grammar || problem.place.contains("DAVINCI"),
            "{line}"
        );
        assert!(problem.message.len() > 10, "{line}");
    }
}
