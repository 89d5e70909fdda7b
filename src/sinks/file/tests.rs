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

fn sink(folder: &TempDir, change: impl FnOnce(&mut FileSinkConfig)) -> File {
    let mut settings = FileSinkConfig {
        path: folder.path().join("deep/er/out.ndjson"),
        rotate_size: None,
        rotate_age: None,
        gzip: false,
        keep: None,
    };
    change(&mut settings);
    File::new(settings)
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = folder
        .read_dir()
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .filter(|name| !name.starts_with('.'))
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn folders_are_made_and_lines_appended() {
    let folder = tempfile::tempdir().expect("a folder");
    for round in 1..=2 {
        let mut sink = sink(&folder, |_| {});
        assert_eq!(
            sink.deliver(&items(&["a", "b"])).await.verdicts,
            [Verdict::Delivered, Verdict::Delivered]
        );
        let text =
            std::fs::read_to_string(folder.path().join("deep/er/out.ndjson")).expect("a file");
        assert_eq!(text, "a\nb\n".repeat(round));
    }
}

#[tokio::test]
async fn no_more_rotated_files_are_kept_than_asked() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut sink = sink(&folder, |settings| {
        settings.rotate_size = Some(10);
        settings.keep = Some(2);
    });
    for text in ["1-------", "2-------", "3-------", "4-------", "5-------"] {
        assert_eq!(sink.deliver(&items(&[text])).await.verdicts, [Verdict::Delivered]);
    }
    let folder = folder.path().join("deep/er");
    let kept: Vec<String> = names(&folder)
        .iter()
        .map(|name| std::fs::read_to_string(folder.join(name)).expect("a file"))
        .collect();
    assert_eq!(kept, ["3-------\n", "4-------\n", "5-------\n"]);
}

#[tokio::test]
async fn after_the_clock_was_set_back_the_newest_files_are_still_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let deep = folder.path().join("deep/er");
    std::fs::create_dir_all(&deep).expect("made");
    for number in [1, 2] {
        let name = format!("out-29990101T000000.00{number}Z.ndjson");
        std::fs::write(deep.join(name), format!("future {number}\n")).expect("written");
    }
    let mut sink = sink(&folder, |settings| {
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
    let folder = tempfile::tempdir().expect("a folder");
    let mut sink = sink(&folder, |settings| settings.rotate_age = Some(Duration::from_nanos(1)));
    sink.deliver(&items(&["old"])).await;
    sink.deliver(&items(&["new"])).await;
    let names = names(&folder.path().join("deep/er"));
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names[0].starts_with("out-2") && names[0].ends_with("Z.ndjson"), "{names:?}");
}

#[tokio::test]
async fn what_cannot_be_written_is_said_and_nothing_is_claimed() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut at_folder = sink(&folder, |settings| settings.path = folder.path().to_owned());
    let verdicts = at_folder.deliver(&items(&["a", "b"])).await.verdicts;
    assert!(
        matches!(&verdicts[..], [Verdict::Fatal { .. }, Verdict::Fatal { .. }]),
        "{verdicts:?}"
    );
    let mut full = sink(&folder, |settings| settings.path = "/dev/full".into());
    let verdicts = full.deliver(&items(&["a"])).await.verdicts;
    assert!(matches!(&verdicts[..], [Verdict::Retry { .. }]), "{verdicts:?}");
}

mod owned;
mod pipes;
