//! A machine on which things go wrong when a test says so: `failing_machine.c`, preloaded.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use super::service::Home;

/// The machine that the service runs on: files that say what is wrong with it.
pub struct Machine {
    pub home: Home,
}

impl Machine {
    pub fn new(config: &str) -> Machine {
        Machine::of(Home::new(config))
    }

    /// With file sinks `one` and `two`, and whatever else.
    pub fn with_two_sinks(config: &str) -> Machine {
        Machine::of(Home::with_two_sinks(config))
    }

    fn of(mut home: Home) -> Machine {
        home.preload("failing_machine.c");
        let names = [
            ("FAIL_SYNC", "fail-sync"),
            ("FAIL_WRITE", "fail-write"),
            ("FAIL_AFTER", "fail-after"),
            ("SLOW_SYNC", "slow-sync"),
            ("CLOCK", "clock"),
        ];
        for (variable, file) in names {
            home.variables.push((variable.to_owned(), home.path(file).display().to_string()));
        }
        let machine = Machine { home };
        machine.set_clock(0);
        machine
    }

    /// Milliseconds that its clock is ahead.
    pub fn set_clock(&self, ahead: i64) {
        // Written in place: the process has the file mapped.
        let path = self.home.path("clock");
        let mut file =
            File::options().create(true).truncate(false).write(true).open(path).expect("a file");
        file.write_all(&ahead.to_ne_bytes()).expect("written");
    }

    /// Something goes wrong from now on: `fail-sync`, `fail-write` or `slow-sync`.
    pub fn trigger(&self, name: &str) -> Trigger {
        let path = self.home.path(name);
        std::fs::write(&path, "").expect("written");
        Trigger(path)
    }

    /// The disk is full after so many more writes.
    pub fn full_after(&self, writes: u32) -> Trigger {
        std::fs::write(self.home.path("fail-after"), writes.to_string()).expect("written");
        self.trigger("fail-write")
    }
}

/// Something is wrong for as long as this lives.
pub struct Trigger(PathBuf);

impl Drop for Trigger {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).expect("removed");
    }
}
