//! Every target's configuration is valid and alike, and the table in docs/sinks/README.md has the same targets.

use std::ffi::OsString;

use super::*;
use crate::config;
use crate::sinks::SINK_TYPES;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files of `config/` that are no target: the reference, and the engine for several receivers.
const OTHER_FILES: [&str; 3] = ["alerts", "davinci-siem", "jetstream"];

#[test]
fn every_configuration_of_a_target_is_valid() {
    for target in TARGETS {
        let value = |name: &str| match name.ends_with("_URL") {
            true => "https://collector.example.com/receiver/v1/http/ZaVnC4dhaV3wqOcE".to_owned(),
            false => "0r4ngUt4n-b1cycle-L3mon".to_owned(),
        };
        let names = variables(target.text);
        let environment: Vec<(OsString, OsString)> =
            names.iter().map(|name| ((*name).into(), value(name).into())).collect();
        assert!(names.contains(&"PINGONE_PASSWORD"), "{}: {names:?}", target.name);
        let found = config::parse(target.text, None, environment.into_iter());
        let kind = target.text.split("\ntype = \"").nth(1).and_then(|rest| rest.split('"').next());
        let (_, registered) =
            SINK_TYPES.iter().find(|(name, _)| Some(*name) == kind).expect("a type");
        match registered.missing_feature {
            None => assert_eq!(found.expect(target.name).sinks.len(), 1, "{}", target.name),
            Some(feature) => {
                let said = found.expect_err("no such sink").to_string();
                let expected = format!("is not in this build; build it with --features {feature}");
                assert!(said.ends_with(&expected) && !said.contains('\n'), "{said}");
            }
        }
    }
}

/// Everything but the sink is the same, so that an operator who knows one file knows all.
#[test]
fn the_configurations_differ_only_in_their_sinks() {
    let shared = |text: &'static str| {
        let from = text.find("[listen]").expect("a listener");
        let to = text.find("[sinks.").expect("a sink");
        &text[from..to]
    };
    let expected = shared(TARGETS[0].text);
    for target in TARGETS {
        assert_eq!(shared(target.text), expected, "config/{}.toml", target.name);
        let named = variables(target.text);
        let head = target.text.split("[listen]").next().expect("a head");
        for name in named {
            assert!(head.contains(name), "the head of config/{}.toml: {name}", target.name);
        }
    }
}

#[test]
fn every_file_of_the_examples_is_a_target() {
    let mut files = BTreeSet::new();
    for entry in root().join("config").read_dir().expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if path.extension().is_some_and(|ending| ending == "toml") {
            files.insert(name);
        }
    }
    let targets = TARGETS.iter().map(|target| target.name).chain(OTHER_FILES);
    assert_eq!(files, targets.map(str::to_owned).collect(), "add a row to src/cli/init/targets.rs");
}

fn table() -> String {
    let head = "| product | sink | format | page | `davinci-siem init` |\n| --- | --- | --- | --- | --- |\n";
    let row = |target: &InitTarget| {
        let InitTarget { name, product, sink, format, page, text: _ } = target;
        format!("| {product} | {sink} | {format} | {page} | `{name}` |\n")
    };
    head.to_owned() + &TARGETS.iter().map(row).collect::<String>()
}

#[test]
fn the_documentation_has_the_same_targets() {
    let path = root().join("docs/sinks/README.md");
    let page = fs::read_to_string(&path).expect("a page");
    let from = page.find("| product |").expect("a table");
    let to = from + page[from..].find("\n\n").expect("its end") + 1;
    if std::env::var("INSTA_UPDATE").is_ok_and(|value| value == "always") {
        let new = format!("{}{}{}", &page[..from], table(), &page[to..]);
        fs::write(&path, new).expect("the page is written");
        return;
    }
    assert!(
        page[from..to] == table(),
        "the table in docs/sinks/README.md is stale: INSTA_UPDATE=always rewrites it"
    );
}

#[test]
fn a_file_is_kept_unless_it_is_forced() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("davinci-siem.toml");
    let init = |is_forced: bool| {
        let arguments = InitArguments {
            target: Some("splunk".to_owned()),
            output: Some(path.clone()),
            force: is_forced,
        };
        run(&arguments)
    };
    assert!(init(false).is_ok());
    fs::write(&path, "mine").expect("written");
    let Err(CommandFailure::Failed(message)) = init(false) else { panic!("it was overwritten") };
    assert!(message.ends_with("exists and is kept; --force overwrites it"), "{message}");
    assert_eq!(fs::read_to_string(&path).expect("read"), "mine");
    assert!(init(true).is_ok());
    let text = fs::read_to_string(&path).expect("read");
    assert!(text.starts_with("# DaVinci events to Splunk.") && text.contains("[sinks.splunk]"));
}

/// Writes half of a file, and fails.
fn fail(file: &mut File) -> io::Result<()> {
    file.write_all(b"half")?;
    Err(ErrorKind::StorageFull.into())
}

fn files_in(directory: &Path) -> Vec<OsString> {
    let entries = directory.read_dir().expect("a directory");
    let mut names: Vec<OsString> =
        entries.map(|entry| entry.expect("an entry").file_name()).collect();
    names.sort();
    names
}

#[test]
fn a_failed_write_leaves_no_half_of_a_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("a.toml");
    assert!(create(&path, fail).is_err());
    assert!(replace(&path, fail).is_err());
    assert!(files_in(directory.path()).is_empty());
    fs::write(&path, "mine").expect("written");
    assert!(replace(&path, fail).is_err());
    assert_eq!(fs::read_to_string(&path).expect("read"), "mine");
    assert_eq!(files_in(directory.path()), ["a.toml"]);
}

#[test]
fn a_forced_file_keeps_its_permissions_and_its_link() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let directory = tempfile::tempdir().expect("a directory");
    let (path, link) = (directory.path().join("a.toml"), directory.path().join("b.toml"));
    fs::write(&path, "mine").expect("written");
    fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).expect("set");
    symlink("a.toml", &link).expect("linked");
    replace(&link, |file| file.write_all(b"new")).expect("replaced");
    assert_eq!(fs::read_to_string(&path).expect("read"), "new");
    assert_eq!(fs::metadata(&path).expect("a file").mode() & 0o777, 0o640);
    assert!(fs::symlink_metadata(&link).expect("a link").is_symlink());
    assert_eq!(files_in(directory.path()), ["a.toml", "b.toml"]);
}
