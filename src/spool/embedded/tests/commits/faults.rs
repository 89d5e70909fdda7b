//! Commits that fail, by triggers that another connection switches on and off.

use rusqlite::Connection;

use super::super::*;

/// Failing operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failing {
    /// Nothing.
    Nothing,
    /// The statement that stores events.
    Events,
    /// The commit of a transaction that adds ids; each of its statements succeeds.
    Commit,
    /// The statement that moves a cursor.
    Cursors,
}

impl Failing {
    pub(super) const ALL: [Failing; 4] =
        [Failing::Nothing, Failing::Events, Failing::Commit, Failing::Cursors];
}

const TRIGGERS: &str = "
CREATE TABLE failing (what INTEGER);
INSERT INTO failing VALUES (0);
CREATE TABLE nobody (number INTEGER PRIMARY KEY);
CREATE TABLE debts (owed INTEGER REFERENCES nobody DEFERRABLE INITIALLY DEFERRED);
CREATE TRIGGER events AFTER INSERT ON chunks WHEN (SELECT what FROM failing) = 1
BEGIN SELECT RAISE(ABORT, 'asked to fail'); END;
CREATE TRIGGER commits AFTER INSERT ON ids WHEN (SELECT what FROM failing) = 2
BEGIN INSERT INTO debts VALUES (1); END;
CREATE TRIGGER moves AFTER UPDATE ON cursors WHEN (SELECT what FROM failing) = 3
BEGIN SELECT RAISE(ABORT, 'asked to fail'); END;
";

const EMPTY: &str = "
BEGIN;
DELETE FROM chunks;
DELETE FROM ids;
DELETE FROM totals;
DELETE FROM losses;
UPDATE state SET next = 1, trimmed = 0, checksum = NULL;
INSERT OR REPLACE INTO cursors (sink, position) VALUES ('sink', 0);
COMMIT;
";

/// A connection that controls the failures.
#[derive(Debug)]
pub(super) struct Faults {
    connection: Connection,
    mark: PathBuf,
}

impl Faults {
    /// Connects to an open spool.
    pub(super) fn of(settings: &SpoolConfig) -> Faults {
        let connection = Connection::open(schema::database(&settings.directory)).expect("opened");
        connection.busy_timeout(Duration::from_secs(60)).expect("set");
        connection.pragma_update(None, "synchronous", "OFF").expect("set");
        connection.execute_batch(TRIGGERS).expect("made");
        Faults { connection, mark: high_watermark::path(&settings.directory) }
    }

    /// Creates a new spool with one sink in place of a closed one.
    pub(super) fn forget_everything(&self) {
        self.connection.execute_batch(EMPTY).expect("emptied");
        std::fs::remove_file(&self.mark).expect("a mark");
    }

    pub(super) fn set(&self, failing: Failing) {
        self.connection.execute("UPDATE failing SET what = ?", [failing as i64]).expect("set");
    }
}
