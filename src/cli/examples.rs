//! Examples in the help of each command.

use clap::Command;

/// Commands by their names, each with its examples. Options follow `davinci-siem NAME`.
const EXAMPLES: [(&str, &[&str]); 33] = [
    ("serve", &["-c /etc/davinci-siem.toml"]),
    ("init", &["", "splunk --output davinci-siem.toml"]),
    ("check", &["--connect -c new.toml", "--diff /etc/davinci-siem.toml -c new.toml"]),
    ("config schema", &[""]),
    ("send", &["events.json --url http://localhost:8080/webhooks/pingone"]),
    ("map", &["events.ndjson --format ecs"]),
    ("fields", &["--format ocsf"]),
    ("quarantine list", &["", "--sink splunk --reason rejected"]),
    ("quarantine show", &["17"]),
    ("quarantine retry", &["17 --replace corrected.json", "--all --sink splunk"]),
    ("quarantine export", &["--sink splunk"]),
    ("quarantine purge", &["17 18", "--all --reason not_an_object --yes"]),
    ("spool stats", &["", "--json"]),
    ("spool verify", &[""]),
    ("spool repair", &[""]),
    ("spool move", &["--to new.toml -c old.toml"]),
    ("status", &["", "--json"]),
    ("top", &["", "--json --interval 10s"]),
    ("audit", &["--since 7d", "--json"]),
    ("tail", &["--outcome failure"]),
    ("trace", &["c8ff0d06-2a5d-4b7f-9d4b-8f3d0e9a1b2c"]),
    (
        "sink list",
        &["", "--admin-url https://siem-1.example.com --admin-password-file admin-password"],
    ),
    ("sink pause", &["splunk"]),
    ("sink resume", &["splunk"]),
    ("flows", &["--since 6h"]),
    ("drift", &[""]),
    ("replay", &["--sink splunk --from 6h", "--sink splunk --from 2026-03-01 --to 2026-03-02"]),
    ("reconcile", &["--from 24h"]),
    ("doctor", &[""]),
    ("volume", &["--by type"]),
    ("health", &[""]),
    ("completions", &["bash"]),
    ("man", &["target/man"]),
];

/// Adds the examples to the help of each command.
pub(super) fn with_examples(command: Command) -> Command {
    add(command, "")
}

fn add(command: Command, above: &str) -> Command {
    let names: Vec<String> =
        command.get_subcommands().map(|inner| inner.get_name().to_owned()).collect();
    names.into_iter().fold(command, |command, name| {
        command.mut_subcommand(&name, |inner| {
            let words = format!("{above} {name}").trim_start().to_owned();
            let inner = match EXAMPLES.iter().find(|(known, _)| *known == words) {
                Some((_, examples)) => inner.after_help(text(&words, examples)),
                None => inner,
            };
            add(inner, &words)
        })
    })
}

fn text(words: &str, examples: &[&str]) -> String {
    let heading = if examples.len() == 1 { "Example:" } else { "Examples:" };
    let lines = examples.iter().map(|options| format!("  davinci-siem {words} {options}"));
    let lines = lines.map(|line| format!("\n{}", line.trim_end()));
    format!("{heading}{}", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::cli::CommandLine;

    #[test]
    fn every_command_has_examples_that_the_command_line_accepts() {
        fn leaves(command: &Command, above: &str, found: &mut Vec<String>) {
            for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
                let words = format!("{above} {}", inner.get_name()).trim_start().to_owned();
                match inner.has_subcommands() {
                    true => leaves(inner, &words, found),
                    false => found.push(words),
                }
            }
        }
        let mut found = Vec::new();
        leaves(&with_examples(CommandLine::command()), "", &mut found);
        let mut known: Vec<&str> = EXAMPLES.iter().map(|(words, _)| *words).collect();
        found.sort_unstable();
        known.sort_unstable();
        assert_eq!(found, known);
        for (words, examples) in EXAMPLES {
            for options in examples {
                let line = format!("davinci-siem {words} {options}");
                let parsed = with_examples(CommandLine::command())
                    .try_get_matches_from(line.split_whitespace());
                assert!(parsed.is_ok(), "{line}: {}", parsed.expect_err("refused"));
            }
        }
    }
}
