//! Named pipes: the sink waits for no reader, and no line is torn or written twice.

use std::fs;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use super::*;

/// Returns more lines than a pipe can hold.
fn many() -> Vec<Item> {
    let texts: Vec<String> =
        (0..2000).map(|number| format!("{number:04} {}", "x".repeat(200))).collect();
    items(&texts.iter().map(String::as_str).collect::<Vec<_>>())
}

fn pipe(directory: &TempDir) -> (File, fs::File) {
    let path = directory.path().join("pipe");
    mknodat(CWD, &path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("made");
    let sink = sink(directory, |settings| settings.path = path.clone());
    (sink, reader(directory))
}

fn reader(directory: &TempDir) -> fs::File {
    let mut options = fs::File::options();
    options.read(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
    options.open(directory.path().join("pipe")).expect("opened")
}

/// Reads at most `limit` bytes from the pipe, without waiting.
fn take(reader: &mut fs::File, limit: usize) -> Vec<u8> {
    let mut bytes = vec![0; limit];
    let mut length = 0;
    while let Ok(count) = reader.read(&mut bytes[length..])
        && count > 0
    {
        length += count;
    }
    bytes.truncate(length);
    bytes
}

fn delivered(report: &Report) -> usize {
    let first = report.verdicts.iter().take_while(|verdict| **verdict == Verdict::Delivered);
    let count = first.count();
    let others = &report.verdicts[count..];
    assert!(others.iter().all(|verdict| matches!(verdict, Verdict::Retry { .. })), "{others:?}");
    count
}

#[tokio::test]
async fn without_a_reader_the_sink_does_not_wait() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut sink, reader) = pipe(&directory);
    drop(reader);
    assert!(sink.probe().await.expect("good").contains("while a process reads it"));
    let verdicts = sink.deliver(&items(&["a"])).await.verdicts;
    let [Verdict::Retry { reason, .. }] = &verdicts[..] else { panic!("{verdicts:?}") };
    assert!(reason.message.contains("no process reads the pipe"), "{reason}");
}

#[tokio::test]
async fn after_a_reader_that_leaves_within_a_line_each_line_is_whole_and_written_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let (mut sink, mut reader) = pipe(&directory);
    let all = many();
    let whole = lines(&all);
    let line = whole.len() / all.len();
    // `begin`: lines that were read as a whole. `sent`: items with the verdict `Delivered`.
    let (mut begin, mut sent) = (0, 0);
    for length in [1000, 30_000, 0, line - 1, line, line + 1, 70_000, usize::MAX] {
        let expected = &whole[begin * line..];
        let length = length.min(expected.len());
        let leaving = std::thread::spawn(move || {
            let mut text = Vec::new();
            while text.len() < length {
                text.append(&mut take(&mut reader, length - text.len()));
            }
            text
        });
        sent += delivered(&sink.deliver(&all[sent..]).await);
        assert!(leaving.join().expect("read") == expected[..length], "{length} bytes");
        begin += length / line;
        reader = self::reader(&directory);
    }
    assert_eq!((begin, sent), (all.len(), all.len()));
}
