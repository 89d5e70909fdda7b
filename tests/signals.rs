//! Signals and limits of the process: signals without a meaning for the service do not end it, and a limit is an error.

use crate::support::events::{batch, ids, minted_with};
use crate::support::service::{Home, Service};
use crate::support::wait_for;

const FILE: &str = "[sinks.out]\ntype = \"file\"\npath = \"out.ndjson\"\n\
                    retry = { min = \"1ms\", max = \"20ms\" }\n";

/// A batch larger than the limit of a file's size.
fn large(number: usize) -> String {
    let text = (0..20_000).map(|_| char::from(rand::random_range(b'a'..=b'z')));
    format!("[{}]", minted_with(&format!("large-{number}"), &text.collect::<String>()))
}

#[test]
fn a_signal_without_a_meaning_ends_nothing() {
    let home = Home::new(FILE);
    let service = home.start();
    for name in
        ["USR1", "USR2", "ALRM", "VTALRM", "PROF", "PIPE", "XFSZ", "XCPU", "IO", "PWR", "40"]
    {
        service.signal(name);
    }
    service.post(&batch(ids(3)));
    wait_for("the lines", || (home.lines("out.ndjson").len() == 3).then_some(()));
    assert!(service.terminate().0.success());
}

#[test]
fn a_limit_on_files_is_an_ordinary_error_and_no_crash_loop() {
    let mut home = Home::new(FILE);
    home.wrapper = ["prlimit", "--fsize=600000"].map(str::to_owned).to_vec();
    let service = home.start();
    let mut acknowledged = 0;
    let is_refused = |service: &Service, number| service.try_post(&large(number)).0 == 503;
    while !is_refused(&service, acknowledged) {
        acknowledged += 1;
        assert!(acknowledged < 200, "neither file nor log reaches the limit");
    }
    assert!(acknowledged > 0);
    assert!(service.terminate().0.code().is_some(), "it was not killed");
    for _ in 0..2 {
        let service = home.start();
        assert_eq!(service.ask_admin("/livez").0, 200);
        service.kill();
    }
    home.wrapper.clear();
    let service = home.start();
    wait_for("all of them", || {
        let lines = home.lines("out.ndjson").len();
        (lines >= acknowledged).then_some(())
    });
    service.post(&batch(ids(1)));
}
