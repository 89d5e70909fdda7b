//! The file sink without a service around it.

use bytes::Bytes;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;

use super::*;

fn items(texts: &[&str]) -> Vec<Item> {
    (1..)
        .zip(texts)
        .map(|(position, text)| Item { position, payload: Bytes::copy_from_slice(text.as_bytes()) })
        .collect()
}

fn sink(directory: &TempDir, change: impl FnOnce(&mut FileSinkConfig)) -> File {
    let mut settings = FileSinkConfig {
        path: directory.path().join("deep/er/out.ndjson"),
        rotate_size: None,
        rotate_age: None,
        gzip: false,
        keep: None,
    };
    change(&mut settings);
    File::new(settings)
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<String> = directory
        .read_dir()
        .expect("a directory")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn directories_are_made_and_lines_appended() {
    let directory = tempfile::tempdir().expect("a directory");
    for round in 1..=2 {
        let mut sink = sink(&directory, |_| {});
        assert_eq!(
            sink.deliver(&items(&["a", "b"])).await.verdicts,
            [Verdict::Delivered, Verdict::Delivered]
        );
        let text =
            std::fs::read_to_string(directory.path().join("deep/er/out.ndjson")).expect("a file");
        assert_eq!(text, "a\nb\n".repeat(round));
    }
}

#[tokio::test]
async fn no_more_rotated_files_are_kept_than_configured() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sink = sink(&directory, |settings| {
        settings.rotate_size = Some(10);
        settings.keep = Some(2);
    });
    for text in ["1-------", "2-------", "3-------", "4-------", "5-------"] {
        assert_eq!(sink.deliver(&items(&[text])).await.verdicts, [Verdict::Delivered]);
    }
    let directory = directory.path().join("deep/er");
    let kept: Vec<String> = names(&directory)
        .iter()
        .map(|name| std::fs::read_to_string(directory.join(name)).expect("a file"))
        .collect();
    assert_eq!(kept, ["3-------\n", "4-------\n", "5-------\n"]);
}

#[tokio::test]
async fn after_a_backward_clock_change_the_newest_files_are_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let deep = directory.path().join("deep/er");
    std::fs::create_dir_all(&deep).expect("made");
    for number in [1, 2] {
        let name = format!("out-29990101T000000.00{number}Z.ndjson");
        std::fs::write(deep.join(name), format!("future {number}\n")).expect("written");
    }
    let mut sink = sink(&directory, |settings| {
        settings.rotate_size = Some(5);
        settings.keep = Some(2);
    });
    for text in ["1---", "2---", "3---"] {
        assert_eq!(sink.deliver(&items(&[text])).await.verdicts, [Verdict::Delivered]);
    }
    let kept: Vec<String> = names(&deep)
        .iter()
        .map(|name| std::fs::read_to_string(deep.join(name)).expect("a file"))
        .collect();
    assert_eq!(kept, ["1---\n", "2---\n", "3---\n"]);
}

#[tokio::test]
async fn a_file_older_than_its_age_is_rotated() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut sink = sink(&directory, |settings| settings.rotate_age = Some(Duration::from_nanos(1)));
    sink.deliver(&items(&["old"])).await;
    sink.deliver(&items(&["new"])).await;
    let names = names(&directory.path().join("deep/er"));
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].starts_with("out-2") && names[0].ends_with("Z.ndjson"), "{names:?}");
}

#[tokio::test]
async fn a_failed_write_is_reported_and_nothing_counts_as_delivered() {
    let directory = tempfile::tempdir().expect("a directory");
    let mut at_directory = sink(&directory, |settings| settings.path = directory.path().to_owned());
    let verdicts = at_directory.deliver(&items(&["a", "b"])).await.verdicts;
    assert!(
        matches!(&verdicts[..], [Verdict::Fatal { .. }, Verdict::Fatal { .. }]),
        "{verdicts:?}"
    );
    let mut full = sink(&directory, |settings| settings.path = "/dev/full".into());
    let verdicts = full.deliver(&items(&["a"])).await.verdicts;
    assert!(matches!(&verdicts[..], [Verdict::Retry { .. }]), "{verdicts:?}");
}

mod owned;
mod pipes;
