//! Tests of the whole command line: consistency, documentation, completions and manual pages.

use clap::Command;
use clap_complete::Shell;

use super::*;

/// Every command with its full name.
fn commands() -> Vec<(String, Command)> {
    fn walk(words: &str, command: &Command, found: &mut Vec<(String, Command)>) {
        found.push((words.to_owned(), command.clone()));
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            walk(&format!("{words} {}", inner.get_name()), inner, found);
        }
    }
    let mut root = CommandLine::command();
    root.build();
    let mut found = Vec::new();
    walk("davinci-siem", &root, &mut found);
    assert!(found.len() > 20, "{} commands", found.len());
    found
}

#[test]
fn the_definition_is_consistent() {
    CommandLine::command().debug_assert();
}

#[test]
fn every_command_and_option_is_on_the_page_of_commands() {
    let page = include_str!("../../docs/commands.md");
    let mut missing = Vec::new();
    for (words, command) in commands() {
        let heading = format!("# `{words}`\n");
        let Some((_, section)) = page.split_once(&heading) else {
            missing.push(words);
            continue;
        };
        let section = section.split("\n#").next().unwrap_or_default();
        let own = command.get_arguments().filter(|argument| !argument.is_global_set());
        for argument in own {
            let Some(long) = argument.get_long().filter(|long| !["help", "version"].contains(long))
            else {
                continue;
            };
            if !section.contains(&format!("`--{long}")) {
                missing.push(format!("{words} --{long}"));
            }
        }
        if !command.has_subcommands() && !section.contains(&format!("\n{words}")) {
            missing.push(format!("an example of {words}"));
        }
    }
    assert!(missing.is_empty(), "docs/commands.md lacks {missing:#?}");
    for line in page.lines().filter(|line| line.starts_with('#') && line.contains("`davinci-siem"))
    {
        let named = line.trim_matches(['#', ' ', '`']);
        assert!(commands().iter().any(|(words, _)| words == named), "there is no {named}");
    }
}

#[test]
fn completions_of_every_shell_name_every_command() {
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish, Shell::Elvish, Shell::PowerShell] {
        let script =
            String::from_utf8(generate::script(shell, CommandLine::command())).expect("UTF-8");
        for (words, _) in commands() {
            let name = words.rsplit(' ').next().expect("a word");
            let is_word = |c: char| !(c.is_alphanumeric() || c == '-');
            assert!(script.split(is_word).any(|word| word == name), "{shell}: {words}");
        }
        assert!(script.contains("recorded-at"), "{shell}: options");
    }
}

#[test]
fn every_command_has_a_manual_page() {
    let directory = tempfile::tempdir().expect("a directory");
    let arguments = ["davinci-siem".into(), "man".into(), directory.path().into()];
    assert_eq!(run(arguments), ExitCode::SUCCESS);
    let mut pages = directory.path().read_dir().expect("a directory").count();
    for (words, command) in commands() {
        let page = directory.path().join(format!("{}.1", words.replace(' ', "-")));
        let page = std::fs::read_to_string(&page).expect("a page");
        assert!(page.contains(".TH ") && page.contains(".SH SYNOPSIS"), "{page}");
        for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
            let name = format!("{}\\-{}", words.replace(['-', ' '], "\\-"), inner.get_name());
            assert!(page.contains(&name), "{name}: {page}");
        }
        pages -= 1;
    }
    assert_eq!(pages, 0, "and nothing else");
}
