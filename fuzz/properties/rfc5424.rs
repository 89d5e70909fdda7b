//! Reader of syslog messages and streams by RFC 5424 and RFC 6587.

/// A parsed message.
#[derive(Debug)]
pub(crate) struct Parsed {
    pub(crate) priority: u32,
    /// The parts from VERSION to MSGID.
    pub(crate) header: Vec<String>,
    pub(crate) parameters: Vec<(String, String)>,
    pub(crate) text: String,
}

/// Parses a message by RFC 5424's grammar.
pub(crate) fn parse(message: &str) -> Parsed {
    let (priority, rest) = message.strip_prefix('<').and_then(|m| m.split_once('>')).expect("PRI");
    let mut fields = rest.splitn(7, ' ');
    let header: Vec<String> = (0..6).map(|_| fields.next().expect("a field").to_owned()).collect();
    let rest = fields.next().expect("structured data");
    let mut parameters = Vec::new();
    let mut rest = match rest.strip_prefix('[') {
        None => rest.strip_prefix('-').expect("nil"),
        Some(element) => {
            let (_, mut rest) = element.split_once(' ').expect("an id");
            loop {
                let (name, value) = rest.split_once("=\"").expect("a parameter");
                let mut text = String::new();
                let mut chars = value.char_indices();
                let end = loop {
                    match chars.next().expect("a closing quote") {
                        (at, '"') => break at,
                        (_, '\\') => {
                            let (_, next) = chars.next().expect("what is escaped");
                            if !['"', '\\', ']'].contains(&next) {
                                text.push('\\');
                            }
                            text.push(next);
                        }
                        (_, c) => {
                            assert_ne!(c, ']', "an unescaped bracket");
                            text.push(c);
                        }
                    }
                };
                parameters.push((name.trim().to_owned(), text));
                rest = &value[end + 1..];
                if let Some(after) = rest.strip_prefix(']') {
                    break after;
                }
            }
        }
    };
    rest = rest.strip_prefix(' ').unwrap_or(rest);
    Parsed {
        priority: priority.parse().expect("a number"),
        header,
        parameters,
        text: rest.to_owned(),
    }
}

/// Returns the message of one octet-counted frame.
#[cfg(test)]
pub(crate) fn unframed(frame: &str) -> &str {
    let (message, rest) = next_counted(frame.as_bytes());
    assert!(rest.is_empty(), "more than one message");
    std::str::from_utf8(message).expect("whole characters only")
}

/// Splits a stream of octet-counted frames (RFC 6587, 3.4.1).
pub(crate) fn split_counted(mut stream: &[u8]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    while !stream.is_empty() {
        let (message, rest) = next_counted(stream);
        messages.push(message);
        stream = rest;
    }
    messages
}

fn next_counted(stream: &[u8]) -> (&[u8], &[u8]) {
    let space = stream.iter().position(|byte| *byte == b' ').expect("a space after the length");
    let length = std::str::from_utf8(&stream[..space]).expect("digits");
    assert!(!length.starts_with(['0', '+']), "{length}");
    let length: usize = length.parse().expect("a number");
    // Octets, not characters.
    stream[space + 1..].split_at_checked(length).expect("a whole message")
}

/// Splits a stream in which a line feed ends each message (RFC 6587, 3.4.2).
pub(crate) fn split_lines(stream: &[u8]) -> Vec<&[u8]> {
    let whole = stream.strip_suffix(b"\n").expect("a line feed at the end");
    whole.split(|byte| *byte == b'\n').collect()
}
