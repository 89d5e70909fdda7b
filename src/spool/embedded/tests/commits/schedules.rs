//! Every schedule of a short queue, and every failure of one of its commits.

use std::cell::{Cell, RefCell};
use std::sync::mpsc::{Receiver, RecvTimeoutError};

use super::super::*;
use super::faults::{Failing, Faults};
use super::watched::{SeenState, WatchedSpool};

/// Commands in the order of the queue.
#[derive(Debug, Clone)]
enum Ask {
    Append(&'static [u64]),
    /// From a caller that does not wait for the answer.
    AppendAndLeave(&'static [u64]),
    Commit(u64),
    Close,
}

/// Answer to a caller.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ReportedResult {
    Appended(Result<Receipt, AppendError>),
    Committed(Result<(), CommitError>),
}

/// One path through all choices: each choice, and the number of its alternatives.
#[derive(Debug, Default)]
struct Choices {
    taken: RefCell<Vec<(usize, usize)>>,
    made: Cell<usize>,
}

impl Choices {
    fn choose(&self, of: usize) -> usize {
        let made = self.made.replace(self.made.get() + 1);
        let mut taken = self.taken.borrow_mut();
        if made == taken.len() {
            taken.push((0, of));
        }
        taken[made].0
    }

    /// Moves to the next path. Returns false after the last one.
    fn advance(&self) -> bool {
        self.made.set(0);
        let mut taken = self.taken.borrow_mut();
        while let Some((choice, of)) = taken.pop() {
            if choice + 1 < of {
                taken.push((choice + 1, of));
                return true;
            }
        }
        false
    }
}

/// Answers the writer's request for the next command.
struct CommandQueue<'a> {
    commands: Receiver<WriterCommand>,
    choices: &'a Choices,
    faults: &'a Faults,
    /// Next fault to inject, none injected yet.
    failing: Cell<Option<Failing>>,
    was_idle: Cell<bool>,
}

impl CommandQueue<'_> {
    fn receive(&self, timeout: Duration) -> Result<WriterCommand, RecvTimeoutError> {
        let begins_a_group = timeout >= Duration::from_secs(1);
        if begins_a_group {
            let mut failing = Failing::Nothing;
            if self.failing.get().is_none() {
                failing = Failing::ALL[self.choices.choose(Failing::ALL.len())];
                self.failing.set(Some(failing).filter(|failing| *failing != Failing::Nothing));
            }
            self.faults.set(failing);
        }
        // A second without commands does not differ from any other.
        let may_be_late = !begins_a_group || !self.was_idle.get();
        if may_be_late && self.choices.choose(2) == 1 {
            self.was_idle.set(self.was_idle.get() || begins_a_group);
            return Err(RecvTimeoutError::Timeout);
        }
        self.commands.recv_timeout(Duration::ZERO)
    }
}

/// Runs the writer along all paths. Returns their number.
fn in_all_ways(asks: &[Ask]) -> u32 {
    let bench = SpoolBench::new(|settings| settings.sync = false);
    bench.open().close();
    let faults = Faults::of(&bench.settings);
    let choices = Choices::default();
    let mut ways = 0;
    loop {
        faults.forget_everything();
        run(asks, &choices, &bench, &faults);
        ways += 1;
        if !choices.advance() {
            return ways;
        }
    }
}

fn run(asks: &[Ask], choices: &Choices, bench: &SpoolBench, faults: &Faults) {
    let writer = open::recover(&bench.settings, bench.clock(), bench.clock()).expect("recovered");
    let (sender, commands) = mpsc::channel();
    let spool = Arc::new(EmbeddedSpool {
        directory: bench.settings.directory.clone(),
        commands: sender,
        shared: Arc::clone(&writer.shared),
        thread: Mutex::new(None),
    });
    let eye = schema::connect_reader(&bench.settings.directory).expect("opened");
    let eye = Arc::new(Mutex::new(eye));
    let told = Arc::new(Mutex::new(vec![None; asks.len()]));
    let head = watch_head(&spool, &eye);
    let callers: Vec<_> = asks
        .iter()
        .enumerate()
        .map(|(number, ask)| {
            let (spool, eye, told) = (Arc::clone(&spool), Arc::clone(&eye), Arc::clone(&told));
            let batch = |ids: &[u64]| bench.batch(ids.iter().copied());
            match *ask {
                Ask::Append(ids) | Ask::AppendAndLeave(ids) => {
                    let batch = batch(ids);
                    let caller = WatchedSpool::start(async move {
                        let answer = spool.append(batch.clone().prepare()).await;
                        let seen = SeenState::now(&eye.lock().expect("no panic before"));
                        judge(&answer, &batch, &seen, *spool.shared.head.borrow());
                        told.lock().expect("no panic before")[number] =
                            Some(ReportedResult::Appended(answer));
                    });
                    if matches!(ask, Ask::AppendAndLeave(_)) {
                        caller.leave();
                    }
                    caller
                }
                Ask::Commit(position) => WatchedSpool::start(async move {
                    let answer =
                        spool.commit(&"sink".into(), position, Tally::default(), Vec::new()).await;
                    let seen = SeenState::now(&eye.lock().expect("no panic before")).cursor;
                    assert!(answer.is_err() || seen >= position, "it is there by the answer");
                    told.lock().expect("no panic before")[number] =
                        Some(ReportedResult::Committed(answer));
                }),
                Ask::Close => {
                    spool.commands.send(WriterCommand::Close).expect("it listens");
                    WatchedSpool::start(async {})
                }
            }
        })
        .collect();
    let (failing, was_idle) = (Cell::new(None), Cell::new(false));
    let queue = CommandQueue { commands, choices, faults, failing, was_idle };
    writer.run(|timeout| queue.receive(timeout));
    let failed = queue.failing.get();
    drop(queue);
    assert!(callers.iter().all(|caller| !caller.waits()), "everyone was answered");
    head.leave();
    faults.set(Failing::Nothing);
    let told = told.lock().expect("no panic before").clone();
    look_back(bench, asks, &told, failed, &SeenState::now(&eye.lock().expect("no panic before")));
}

/// Asserts that a reader that the head wakes finds the events.
fn watch_head(spool: &EmbeddedSpool, eye: &Arc<Mutex<Connection>>) -> Arc<WatchedSpool> {
    let (mut head, eye) = (spool.head(), Arc::clone(eye));
    WatchedSpool::start(async move {
        while head.changed().await.is_ok() {
            let seen = SeenState::now(&eye.lock().expect("no panic before"));
            assert!(seen.events.len() as u64 >= *head.borrow(), "readable before it is published");
        }
    })
}

/// Checks the invariants at the moment of an answer.
fn judge(answer: &Result<Receipt, AppendError>, batch: &Batch, seen: &SeenState, head: u64) {
    for event in &batch.events {
        let text = String::from_utf8_lossy(&event.bytes).into_owned();
        let place = seen.events.iter().position(|stored| *stored == text);
        let is_known = seen.keys.contains(&event.key);
        assert_eq!(place.is_some(), is_known, "events and ids are of one commit");
        if answer.is_ok() {
            let place = place.expect("committed before the answer") as u64;
            assert!(place < head, "the head is published by then");
        }
    }
    assert_eq!(seen.accepted, seen.events.len() as u64, "and so are the dispositions");
}

/// Checks the invariants at the end: failed commands have left nothing behind.
fn look_back(
    bench: &SpoolBench,
    asks: &[Ask],
    told: &[Option<ReportedResult>],
    failed: Option<Failing>,
    seen: &SeenState,
) {
    let text = |id: &u64| format!("event {id}");
    let mut stored: Vec<String> = Vec::new();
    let (mut cursor, mut is_closed, mut again) = (0, false, Vec::new());
    for (ask, told) in asks.iter().zip(told) {
        match (ask, told) {
            (Ask::Append(ids), Some(ReportedResult::Appended(answer))) => {
                let fresh: Vec<_> =
                    ids.iter().map(text).filter(|text| !stored.contains(text)).collect();
                match answer {
                    Ok(answer) => {
                        let accepted = fresh.len() as u64;
                        let is_known = |(id, _): &(&u64, u32)| stored.contains(&text(id));
                        let repeated = ids.iter().zip(0..).filter(is_known);
                        let expected = Receipt {
                            repeated: repeated.map(|(_, index)| index).collect(),
                            ..receipt(accepted, ids.len() as u64 - accepted)
                        };
                        assert_eq!(*answer, expected);
                        stored.extend(fresh);
                    }
                    Err(AppendError::Store(_)) => assert!(failed.is_some(), "nothing failed"),
                    Err(error) => assert_eq!((error, is_closed), (&AppendError::Closed, true)),
                }
                again.extend(answer.is_err().then_some(*ids));
            }
            // No caller got an answer: all of it is stored, or nothing.
            (Ask::AppendAndLeave(ids), None) => {
                let fresh: Vec<_> =
                    ids.iter().map(text).filter(|text| !stored.contains(text)).collect();
                let next = seen.events.get(stored.len()..stored.len() + fresh.len());
                if next.is_some_and(|next| next == fresh) {
                    stored.extend(fresh);
                }
            }
            (Ask::Commit(position), Some(ReportedResult::Committed(answer))) => match answer {
                Ok(()) => cursor = cursor.max(*position),
                // A failure of the events does not keep cursors from moving.
                Err(error) => assert!(failed == Some(Failing::Cursors) || is_closed, "{error}"),
            },
            (Ask::Close, None) => is_closed = true,
            _ => panic!("{ask:?} was told {told:?}"),
        }
    }
    assert_eq!((&seen.events, seen.cursor), (&stored, cursor));
    if again.is_empty() {
        return;
    }
    let spool = still::open(&bench.settings, &bench.now);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async {
        for ids in again {
            let fresh = ids.iter().filter(|id| !stored.contains(&text(id))).count() as u64;
            let known = ids.len() as u64 - fresh;
            assert_eq!(bench.append(&spool, ids.iter().copied()).await, receipt(fresh, known));
            stored.extend(ids.iter().map(text));
        }
    });
    spool.close();
}

#[test]
fn appends_are_answered_once_and_after_their_commit() {
    use Ask::{Append, AppendAndLeave, Close};
    let ways = in_all_ways(&[
        Append(&[1, 2]),
        AppendAndLeave(&[3]),
        Append(&[2, 4, 3]),
        Close,
        Append(&[5]),
    ]);
    assert!(ways > 50, "{ways} ways");
}

#[test]
fn cursors_are_neither_lost_nor_overtaken_whatever_they_are_committed_with() {
    use Ask::{Append, Close, Commit};
    let ways = in_all_ways(&[Commit(1), Append(&[1, 2]), Commit(2), Close, Commit(9)]);
    assert!(ways > 50, "{ways} ways");
    let ways = in_all_ways(&[Append(&[1]), Commit(1), Commit(2), Close]);
    assert!(ways > 50, "{ways} ways");
}
