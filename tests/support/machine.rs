//! A machine with failures on request: `failing_machine.c`, preloaded into the service.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use super::service::Home;

/// Controls of the machine that the service runs on: one file per failure.
pub struct Machine {
    pub home: Home,
}

impl Machine {
    pub fn new(config: &str) -> Machine {
        Machine::of(Home::new(config))
    }

    /// Returns a home with the file sinks `one` and `two`, and more configuration.
    pub fn with_two_sinks(config: &str) -> Machine {
        Machine::of(Home::with_two_sinks(config))
    }

    /// Makes a machine of a home.
    pub fn of(mut home: Home) -> Machine {
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

    /// Sets the clock ahead, in milliseconds.
    pub fn set_clock(&self, ahead: i64) {
        // Written in place: the process has mapped the file.
        let path = self.home.path("clock");
        let mut file =
            File::options().create(true).truncate(false).write(true).open(path).expect("a file");
        file.write_all(&ahead.to_ne_bytes()).expect("written");
    }

    /// Starts a failure: `fail-sync`, `fail-write` or `slow-sync`.
    pub fn trigger(&self, name: &str) -> Trigger {
        let path = self.home.path(name);
        std::fs::write(&path, "").expect("written");
        Trigger(path)
    }

    /// Lets writes fail with ENOSPC, after `writes` more.
    pub fn full_after(&self, writes: u32) -> Trigger {
        std::fs::write(self.home.path("fail-after"), writes.to_string()).expect("written");
        self.trigger("fail-write")
    }
}

/// A failure that lasts until it is dropped.
pub struct Trigger(PathBuf);

impl Drop for Trigger {
    fn drop(&mut self) {
        std::fs::remove_file(&self.0).expect("removed");
    }
}
