//! `top` on a terminal, which `script` provides.

use std::fs::File;
use std::process::{Child, Command};

use crate::support::service::{BINARY, Home};
use crate::support::{free_port, wait_for};

/// Sequence that moves the cursor to the upper left corner: the begin of a screen.
const HOME: &str = "\u{1b}[H";

struct Terminal(Child);

impl Drop for Terminal {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn top_goes_on_when_the_service_is_restarted() {
    let address = format!("127.0.0.1:{}", free_port());
    let admin = ("DAVINCI_SIEM__ADMIN__ADDRESS", address.as_str());
    let home = Home::with_two_sinks("").with_variables(&[admin]);
    let service = home.start();
    let output = File::create(home.path("screen")).expect("a file");
    let command = format!("{BINARY} top --interval 100ms -c test.toml");
    let terminal = Command::new("script")
        .args(["-qfec", &command, "/dev/null"])
        .current_dir(home.directory.path())
        .env(admin.0, admin.1)
        .env("TERM", "xterm")
        .stdout(output)
        .spawn();
    let terminal = Terminal(terminal.expect("script runs"));
    // The last whole screen.
    let screen = || {
        let bytes = std::fs::read(home.path("screen")).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        text.rsplit(HOME).nth(1).unwrap_or_default().to_owned()
    };
    wait_for("a screen", || screen().contains("two  ").then_some(()));
    service.kill();
    wait_for("the failure", || {
        let screen = screen();
        (screen.contains("No answer: the service cannot be reached") && screen.contains("two  "))
            .then_some(())
    });
    let service = home.start();
    wait_for("an answer", || {
        let screen = screen();
        (screen.contains("two  ") && !screen.contains("No answer")).then_some(())
    });
    drop((terminal, service));
}
