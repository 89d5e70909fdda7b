//! The search for parts of a secret in the output of the process.

use std::process::Output;

use super::service::Service;

/// A token with the randomness of real ones.
pub const TOKEN: &str = "q3Vx8LmZ0tR7yBnKw5Hd2FgJ9sPcAe4U";

/// Bytes of a secret that must not appear in one piece.
const WINDOW: usize = 8;

/// Asserts that an output contains no part of a secret: neither as text, nor as the numbers of its bytes, which `Debug`
/// prints.
#[track_caller]
pub fn assert_silent(said: &str, secret: &str, place: &str) {
    for at in 0..=secret.len() - WINDOW {
        let window = &secret[at..at + WINDOW];
        let numbers = format!("{:?}", window.as_bytes());
        let numbers = numbers.trim_matches(['[', ']']);
        let is_shown = said.contains(window) || said.contains(numbers);
        assert!(!is_shown, "{place}: part of the secret, {window}, is shown:\n{said}");
    }
}

/// Returns both outputs of a command.
pub fn text(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(error))
}

/// Returns all outputs of a running service that contain no event.
pub fn shown(service: &Service) -> String {
    let pages =
        ["/readyz", "/livez", "/metrics", "/", "/api/status", "/api/drift", "/api/observed"];
    pages.map(|page| service.ask_admin(page).1).join("\n")
}
