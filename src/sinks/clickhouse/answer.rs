//! Verdicts for ClickHouse's error codes, which stand at the beginning of an answer: `Code: 60. DB::Exception: …`.
//! <https://github.com/ClickHouse/ClickHouse/blob/master/src/Common/ErrorCodes.cpp>

use crate::http_client::{Answer, Class, advice, class_of};
use crate::sinks::{Reason, Verdict};

/// Codes by which a row is refused.
const OF_A_ROW: [u32; 12] = [6, 26, 27, 38, 41, 69, 72, 117, 131, 321, 349, 469];

/// Codes by which the table is not the expected one.
const OF_THE_TABLE: [u32; 7] = [10, 16, 36, 47, 53, 60, 81];

/// Codes by which the user may not insert, or not with the settings of the insert.
const OF_THE_USER: [u32; 8] = [164, 192, 193, 194, 291, 452, 497, 516];

/// Codes by which the query is not understood, for example because the server is too old.
const OF_THE_QUERY: [u32; 4] = [48, 62, 73, 115];

/// Codes by which the insert takes too much time or memory.
const OF_THE_SIZE: [u32; 2] = [159, 241];

/// Code for too many parts of the table, and for an insert with too many partitions.
const TOO_MANY_PARTS: u32 = 252;

/// Returns the verdict for all rows of an insert. After a refusal, the rows of some partitions may be stored.
pub(super) fn verdict(answer: &Answer) -> Verdict {
    let status = answer.status;
    let code = code_of(&answer.body);
    let named = code.map_or_else(String::new, |code| format!(", code {code}"));
    let reason = |words: &str| {
        let message = format!("ClickHouse answered HTTP {status}{named}{words}");
        answer.reason(message, code.map(|code| code.to_string()))
    };
    match code {
        Some(117) if is_unknown_column(&answer.body) => Verdict::Fatal {
            reason: reason(": the table has not all columns of deploy/clickhouse; add them"),
        },
        Some(code) if OF_A_ROW.contains(&code) => Verdict::Split { reason: reason("") },
        Some(code) if OF_THE_TABLE.contains(&code) => Verdict::Fatal {
            reason: reason(
                ": create the table as in deploy/clickhouse, or correct database and table",
            ),
        },
        Some(code) if OF_THE_USER.contains(&code) => Verdict::Fatal {
            reason: reason(
                ": correct the credentials, or let the user insert into the table, with the settings of the insert",
            ),
        },
        Some(code) if OF_THE_QUERY.contains(&code) => {
            Verdict::Fatal { reason: reason(": the server does not understand the insert") }
        }
        Some(code) if is_of_the_size(code, &answer.body) => Verdict::Retry {
            after: answer.retry_after,
            reason: Reason {
                is_late: true,
                ..reason(": the insert is too large for the server now")
            },
        },
        // Any other code is the server's state: parts, replicas, Keeper.
        Some(_) => Verdict::Retry { after: answer.retry_after, reason: reason("") },
        None => by_status(answer, &reason),
    }
}

/// Returns the verdict for an answer without a code, which may come from a proxy.
fn by_status(answer: &Answer, reason: &impl Fn(&str) -> Reason) -> Verdict {
    let is_torn = !answer.is_whole && !answer.is_too_long;
    match class_of(answer.status) {
        Class::Success if is_torn => {
            Verdict::Retry { after: answer.retry_after, reason: reason(": the answer broke off") }
        }
        Class::Success
            if answer.status == 200
                && answer.is_whole
                && answer.body.iter().all(u8::is_ascii_whitespace) =>
        {
            Verdict::Delivered
        }
        Class::Success => Verdict::Fatal {
            reason: reason(": this is not an answer of ClickHouse; correct endpoint"),
        },
        Class::Retry => Verdict::Retry { after: answer.retry_after, reason: reason("") },
        Class::TooLarge => Verdict::Split { reason: reason("") },
        // A proxy refuses the request; ClickHouse has not received it.
        Class::Refused => Verdict::Retry { after: answer.retry_after, reason: reason("") },
        Class::Fatal => Verdict::Fatal { reason: reason(&format!(": {}", advice(answer.status))) },
    }
}

/// Returns the code of an exception. Also a 200 may have one, if the insert failed after the header was sent.
fn code_of(body: &[u8]) -> Option<u32> {
    let text = String::from_utf8_lossy(&body[..body.len().min(4096)]).into_owned();
    let (_, rest) = text.split_once("Code: ")?;
    let (digits, rest) = rest.split_once('.')?;
    let is_exception = rest.contains("Exception");
    digits.trim().parse().ok().filter(|_| is_exception)
}

/// Returns true if fewer rows per insert may help. Against too many parts of the table they would not.
fn is_of_the_size(code: u32, body: &[u8]) -> bool {
    let has_many_partitions =
        || memchr::memmem::find(body, b"partitions for single INSERT").is_some();
    OF_THE_SIZE.contains(&code) || (code == TOO_MANY_PARTS && has_many_partitions())
}

/// Returns true if the row has a column that the table does not have.
fn is_unknown_column(body: &[u8]) -> bool {
    memchr::memmem::find(body, b"Unknown field found").is_some()
}
