//! Verdicts for PostgreSQL's error codes (SQLSTATE).
//! <https://www.postgresql.org/docs/current/errcodes-appendix.html>

use std::error::Error as _;

use tokio_postgres::Error;

use crate::error_chain::connection_failure;
use crate::sinks::{Reason, Verdict};

/// Upper bound of a stored message, in characters.
const MAX_MESSAGE_CHARS: usize = 1024;

/// Returns the verdict for all rows of a statement. `peer` is the server's address.
pub(super) fn verdict(error: &Error, peer: &str) -> Verdict {
    let Some(refusal) = error.as_db_error() else {
        if let Some(words) = refused_by_the_client(error) {
            return Verdict::Fatal { reason: Reason::new(format!("{peer}: {words}")) };
        }
        let message = match error.source() {
            Some(cause) => connection_failure(cause, peer),
            None if error.is_closed() => format!("connection closed by {peer}"),
            // The texts of the client hold nothing of a statement.
            None => format!("{peer}: {error}"),
        };
        return Verdict::Retry { after: None, reason: Reason::new(message) };
    };
    let code = refusal.code().code();
    let (class, words) = class_of(code);
    let reason = Reason {
        message: format!("PostgreSQL answered with SQLSTATE {code}{words}"),
        code: Some(code.to_owned()),
        // It may repeat values of an event: it is stored with a dead letter, and never logged.
        answer: refusal.message().chars().take(MAX_MESSAGE_CHARS).collect(),
        is_late: class == SqlClass::Late,
        ..Reason::default()
    };
    match class {
        SqlClass::Retry | SqlClass::Late => Verdict::Retry { after: None, reason },
        SqlClass::Row => Verdict::Split { reason },
        SqlClass::Fatal => Verdict::Fatal { reason },
    }
}

/// Returns the advice for a sign-in that the client itself gives up: the server wants something that the configuration
/// does not have. The client shows its kinds of errors only as texts.
fn refused_by_the_client(error: &Error) -> Option<&'static str> {
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    match (error.to_string().as_str(), cause.as_str()) {
        ("invalid configuration", "password missing") => {
            Some("the server wants a password; write password_file or password_env")
        }
        ("error performing TLS handshake", "server does not support TLS") => {
            Some("the server refuses TLS; turn it on there, or write transport = \"tcp\"")
        }
        ("authentication error", _) => Some(
            "the sign-in does not work; let pg_hba.conf ask this role for SCRAM, MD5 or a password",
        ),
        _ => None,
    }
}

/// Consequence of a code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SqlClass {
    /// The server's state.
    Retry,
    /// The insert takes too long for the server: fewer rows may not.
    Late,
    /// At least one row is refused.
    Row,
    /// Credentials, table or permission.
    Fatal,
}

/// Returns the consequence of a code, and the advice to operators.
pub(super) fn class_of(code: &str) -> (SqlClass, &'static str) {
    match code {
        "25006" => (SqlClass::Retry, ": the server is read-only; is it a standby?"),
        "42501" => (SqlClass::Fatal, ": grant INSERT and SELECT on the table to the role"),
        "42P01" | "42703" | "3F000" => {
            (SqlClass::Fatal, ": create the table as in deploy/postgres, or correct table")
        }
        "23502" => (
            SqlClass::Fatal,
            ": a column that may be empty is NOT NULL; change it as in deploy/postgres",
        ),
        "57014" => {
            (SqlClass::Late, ": the server has canceled the insert, as statement_timeout does")
        }
        "42P10" => (SqlClass::Fatal, ": the table needs a unique index on event_uid alone"),
        "42804" | "42883" => {
            (SqlClass::Fatal, ": a column has another type than in deploy/postgres")
        }
        "3D000" => (SqlClass::Fatal, ": there is no such database; correct database"),
        _ => match code.get(..2).unwrap_or_default() {
            // Values: a NUL in a text, a number that is too large, a constraint.
            "22" | "23" | "54" => (SqlClass::Row, ""),
            "28" => (
                SqlClass::Fatal,
                ": the server refuses the role; correct username, password or pg_hba.conf",
            ),
            "0A" | "42" => (SqlClass::Fatal, ": the server does not understand the insert"),
            _ => (SqlClass::Retry, ""),
        },
    }
}
