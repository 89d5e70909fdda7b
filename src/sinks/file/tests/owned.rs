//! One sink owns the file, and it never cuts bytes that it has not written.

use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use super::*;

const DOCUMENT: &str = "a document without a last line break: 1234567890";

/// Returns a sink with this path, without rotation.
fn at(path: &Path) -> File {
    File::new(FileSinkConfig {
        path: path.to_owned(),
        rotate_size: None,
        rotate_age: None,
        gzip: false,
        keep: None,
    })
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).expect("a file")
}

/// Returns the hidden files beside the output.
fn hidden(directory: &TempDir) -> Vec<PathBuf> {
    let entries = directory.path().read_dir().expect("a directory");
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.retain(|path| path.file_name().is_some_and(|name| name.as_encoded_bytes()[0] == b'.'));
    paths.sort();
    paths
}

/// Leaves the file of a process that was killed during a write: `torn` is the written part of the batch.
async fn killed_while_writing(path: &Path, torn: &str) {
    let mut sink = at(path);
    assert_eq!(sink.deliver(&items(&["whole"])).await.verdicts, [Verdict::Delivered]);
    drop(sink);
    let mut file = fs::File::options().append(true).open(path).expect("opened");
    file.write_all(torn.as_bytes()).expect("written");
}

#[tokio::test]
async fn the_sinks_own_torn_end_is_copied_and_cut() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("out");
    let long = "x".repeat(200_000);
    // The last two: a power loss after which a later block is on disk, and an earlier one is not.
    for torn in [&long, &format!("torn{}\\nlater\\n", "\0".repeat(300_000)), &format!("\0{long}\n")]
    {
        drop(fs::remove_file(&path));
        killed_while_writing(&path, torn).await;
        let mut sink = at(&path);
        sink.deliver(&items(&["next"])).await;
        assert_eq!(read(&path), "whole\nnext\n");
        let kept = hidden(&directory);
        let kept = kept.iter().find(|path| path.display().to_string().contains(".out.torn-"));
        assert_eq!(&read(kept.expect("copied")), torn);
        fs::remove_file(kept.expect("copied")).expect("removed");
        sink.close().await;
        assert_eq!(hidden(&directory), [] as [PathBuf; 0], "closing the sink leaves no record");
    }
}

#[tokio::test]
async fn no_more_than_eight_torn_ends_are_kept() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("out");
    for number in 0..10 {
        killed_while_writing(&path, &format!("torn {number}")).await;
    }
    let mut sink = at(&path);
    sink.deliver(&items(&["next"])).await;
    sink.close().await;
    let kept: Vec<String> = hidden(&directory).iter().map(|path| read(path)).collect();
    assert_eq!(kept, (2..10).map(|number| format!("torn {number}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn bytes_of_other_processes_are_never_cut() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("out");
    let expected = format!("{DOCUMENT}\nnext\n");
    // The document is there before the sink starts.
    fs::write(&path, DOCUMENT).expect("written");
    let mut sink = at(&path);
    sink.deliver(&items(&["next"])).await;
    assert_eq!(read(&path), expected);
    // It replaces the file after the sink was closed.
    sink.close().await;
    fs::write(&path, DOCUMENT).expect("written");
    at(&path).deliver(&items(&["next"])).await;
    assert_eq!(read(&path), expected);
    // It is a new file after a crash.
    fs::remove_file(&path).expect("removed");
    fs::write(&path, DOCUMENT).expect("written");
    at(&path).deliver(&items(&["next"])).await;
    assert_eq!(read(&path), expected);
    // It replaces the contents after a crash, in the same file.
    fs::write(&path, DOCUMENT.replace('a', "b")).expect("written");
    at(&path).deliver(&items(&["next"])).await;
    assert_eq!(read(&path), expected.replace('a', "b"));
    // It replaces the contents while the sink runs.
    let mut sink = at(&path);
    sink.deliver(&items(&["first"])).await;
    fs::write(&path, DOCUMENT).expect("written");
    sink.deliver(&items(&["next"])).await;
    assert_eq!(read(&path), expected);
    // Lines of the sink contain no zero byte; this one is of another process, so it stays.
    fs::write(&path, "line 1\nline \0 2\nline 3\n").expect("written");
    sink.deliver(&items(&["next"])).await;
    assert_eq!(read(&path), "line 1\nline \0 2\nline 3\nnext\n");
    assert!(hidden(&directory).iter().all(|path| !path.display().to_string().contains("torn")));
}

#[tokio::test]
async fn without_a_record_a_torn_line_is_closed() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("out");
    // The record cannot be written, because a directory has its name.
    fs::create_dir_all(directory.path().join(".out.davinci-siem/x")).expect("made");
    killed_while_writing(&path, "torn").await;
    assert_eq!(at(&path).deliver(&items(&["next"])).await.verdicts, [Verdict::Delivered]);
    assert_eq!(read(&path), "whole\ntorn\nnext\n");
}

#[tokio::test]
async fn a_second_sink_writes_nothing_until_the_first_is_closed() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("out");
    let link = directory.path().join("link");
    symlink("out", &link).expect("linked");
    let mut first = at(&path);
    first.deliver(&items(&["first"])).await;
    fs::hard_link(&path, directory.path().join("hard")).expect("linked");
    for alias in [&path, &link, &directory.path().join("hard")] {
        let verdicts = at(alias).deliver(&items(&["second"])).await.verdicts;
        let [Verdict::Retry { reason, .. }] = &verdicts[..] else { panic!("{verdicts:?}") };
        assert!(reason.message.contains("is in use by another process"), "{reason}");
    }
    first.deliver(&items(&["third"])).await;
    assert_eq!(read(&path), "first\nthird\n");
    first.close().await;
    at(&link).deliver(&items(&["second"])).await;
    assert_eq!(read(&path), "first\nthird\nsecond\n");
}

#[tokio::test]
async fn rotation_renames_the_file_and_not_a_link_to_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let real = directory.path().join("real");
    fs::create_dir(&real).expect("made");
    let link = directory.path().join("link.ndjson");
    symlink("real/out.ndjson", &link).expect("linked");
    let mut sink = sink(&directory, |settings| {
        settings.path = link.clone();
        settings.rotate_size = Some(5);
    });
    for text in ["1---", "2---"] {
        assert_eq!(sink.deliver(&items(&[text])).await.verdicts, [Verdict::Delivered]);
    }
    assert!(link.is_symlink());
    assert_eq!(read(&link), "2---\n");
    let names = names(&real);
    assert_eq!(names.len(), 2, "{names:?}");
    assert_eq!(read(&real.join(&names[0])), "1---\n");
    // A changed link is followed.
    fs::remove_file(&link).expect("removed");
    symlink("real/elsewhere.ndjson", &link).expect("linked");
    sink.deliver(&items(&["3---"])).await;
    assert_eq!(read(&real.join("elsewhere.ndjson")), "3---\n");
}

#[tokio::test]
async fn logrotate_may_cut_rename_or_replace_the_file() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("out");
    let mut sink = at(&path);
    sink.deliver(&items(&["1"])).await;
    // copytruncate
    fs::copy(&path, directory.path().join("out.1")).expect("copied");
    fs::File::options().write(true).open(&path).expect("opened").set_len(0).expect("cut");
    sink.deliver(&items(&["2"])).await;
    assert_eq!(read(&path), "2\n");
    // rename
    fs::rename(&path, directory.path().join("out.2")).expect("renamed");
    sink.deliver(&items(&["3"])).await;
    assert_eq!(read(&path), "3\n");
    // rename and create
    fs::rename(&path, directory.path().join("out.3")).expect("renamed");
    fs::write(&path, "").expect("made");
    sink.deliver(&items(&["4"])).await;
    let all: Vec<String> =
        names(directory.path()).iter().map(|name| read(&directory.path().join(name))).collect();
    assert_eq!(all, ["4\n", "1\n", "2\n", "3\n"]);
}

#[tokio::test]
async fn a_probe_changes_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("out");
    let missing = at(&directory.path().join("new/deep/out")).probe().await.expect("good");
    assert!(missing.ends_with("can be created"), "{missing}");
    assert_eq!(names(directory.path()), [] as [String; 0]);
    fs::write(&path, DOCUMENT).expect("written");
    at(&path).probe().await.expect("good");
    assert_eq!(read(&path), DOCUMENT);
    let mut sink = at(&path);
    sink.deliver(&items(&["next"])).await;
    // Another process is writing a line.
    let mut file = fs::File::options().append(true).open(&path).expect("opened");
    file.write_all(b"torn").expect("written");
    at(&path).probe().await.expect("good");
    assert_eq!(read(&path), format!("{DOCUMENT}\nnext\ntorn"));
    for bad in ["", "out/below", "link"] {
        symlink(directory.path(), directory.path().join("link")).ok();
        at(&directory.path().join(bad)).probe().await.expect_err(bad);
    }
}
