//! Bodies in pieces give what whole bodies give.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

fn context() -> Context {
    Context {
        source: Arc::from("pingone"),
        received_at: 0,
        request_id: "".into(),
        strict: false,
        outcomes: Arc::default(),
        redaction: None,
    }
}

/// Everything that is stored or reported of a body.
fn outcome(decoded: Result<Ingested, (Refusal, Bytes)>) -> String {
    match decoded {
        Ok(ingested) => {
            let findings: Vec<_> = ingested.summaries.findings().collect();
            let Ingested { batch, refusals, .. } = ingested;
            format!("{:?} {:?} {findings:?} {refusals:?}", batch.events, batch.quarantine)
        }
        Err((refusal, body)) => format!("{refusal:?} {body:?}"),
    }
}

fn whole(body: &Bytes) -> String {
    outcome(Ingest::new(context()).finish(body).map_err(|refusal| (refusal, body.clone())))
}

/// Decodes a body that arrives in frames of these sizes, repeated until its end. Returns the number of bytes that were
/// left for the end, too.
fn in_frames(body: &Bytes, sizes: &[usize]) -> (String, usize) {
    let (mut intake, mut rest) = (Intake::new(context()), body.clone());
    for size in sizes.iter().cycle() {
        if rest.is_empty() {
            break;
        }
        intake.push(rest.split_to((*size).min(rest.len())));
    }
    let rest = intake.end();
    let left = rest.rest.len();
    (outcome(rest.decode()), left)
}

/// The documented events, until there are `count`, separated by `separator`.
fn events(count: usize, separator: &str) -> String {
    let documented = include_str!("../../../fixtures/documented_batch.json");
    let events: Vec<&str> = crate::json::entries(documented.trim()).collect();
    let events = (0..count).map(|number| {
        let id = format!("\"id\": \"{number}-");
        events[number % events.len()].replacen("\"id\": \"", &id, 1)
    });
    events.collect::<Vec<_>>().join(separator)
}

#[test]
fn a_large_array_is_decoded_before_its_end() {
    let body = Bytes::from(format!("[{}]", events(300, ",")));
    for sizes in [&[64 * 1024][..], &[16 * 1024], &[1000], &[7, 70_000]] {
        let (found, left) = in_frames(&body, sizes);
        assert_eq!(found, whole(&body), "{sizes:?}");
        assert!(left < 2 * MIN_PIECE_BYTES, "{sizes:?}: {left} bytes were left");
    }
}

#[test]
fn other_bodies_are_read_as_a_whole() {
    for body in [
        events(300, "\n"),
        format!("[{}", events(300, ",")),
        format!("[{}][{}]", events(150, ","), events(3, ",")),
        format!("\u{feff} [{} {}]", events(100, " ,, "), events(100, " ")),
        format!("[{},{{\"id\":\"{}\"}}]", events(50, ","), "x".repeat(200_000)),
        format!("[{}]", "{},".repeat(30_000)),
        format!("[{}]", "1,".repeat(100_000)),
        " ".repeat(100_000),
        String::new(),
    ] {
        let body = Bytes::from(body);
        let (found, _) = in_frames(&body, &[40_000]);
        assert!(found == whole(&body), "{} bytes", body.len());
    }
}

/// Texts that are inserted into a body.
const CHANGES: [&[u8]; 10] =
    [b"}", b"]", b"[", b"\"", b"\\", b",", b"\xff", "é".as_bytes(), b"{\"a\":1}", b"\n"];

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// The frames do not change what is stored, whatever bytes are inserted where.
    #[test]
    fn frames_do_not_matter(
        changes in proptest::collection::vec(
            (any::<proptest::sample::Index>(), proptest::sample::select(&CHANGES[..])),
            0..4
        ),
        sizes in proptest::collection::vec(1..70_000_usize, 1..6),
        wrapped in any::<bool>(),
    ) {
        let body = if wrapped { format!("[{}]", events(200, ",")) } else { events(100, "\n") };
        let mut body = body.into_bytes();
        for (index, change) in changes {
            let at = index.index(body.len());
            body.splice(at..at, change.iter().copied());
        }
        let body = Bytes::from(body);
        let (found, _) = in_frames(&body, &sizes);
        prop_assert!(found == whole(&body), "differs from the whole");
    }
}
