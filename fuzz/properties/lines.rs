//! Readers of CEF and LEEF by their specifications, independent of the service's code.

use std::collections::BTreeMap;

/// Returns the header fields of a CEF line, and its pairs. Each key occurs once.
pub(crate) fn decode_cef(line: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let mut head = vec![String::new()];
    let mut chars = line.char_indices();
    let rest = loop {
        let (at, c) = chars.next().expect("seven bars");
        match c {
            '\\' => head.last_mut().expect("one").push(chars.next().expect("escaped").1),
            '|' if head.len() == 7 => break &line[at + 1..],
            '|' => head.push(String::new()),
            c => head.last_mut().expect("one").push(c),
        }
    };
    // A key is the word before an unescaped equals sign.
    let mut pairs: Vec<(String, String)> = Vec::new();
    let mut word = String::new();
    let mut chars = rest.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next().expect("escaped") {
                'n' => word.push('\n'),
                'r' => word.push('\r'),
                other => word.push(other),
            },
            '=' => {
                let (value, key) = word.rsplit_once(' ').unwrap_or(("", &word));
                let key = key.to_owned();
                assert!(key.chars().all(char::is_alphanumeric), "{key:?} in {rest}");
                if let Some(last) = pairs.last_mut() {
                    last.1 = value.to_owned();
                }
                pairs.push((key, String::new()));
                word.clear();
            }
            c => word.push(c),
        }
    }
    pairs.last_mut().expect("a pair").1 = word;
    (head, each_once(pairs))
}

/// Returns the header fields of a LEEF line, and its pairs. Each key occurs once.
pub(crate) fn decode_leef(line: &str) -> (Vec<String>, BTreeMap<String, String>) {
    let mut fields = line.splitn(7, '|');
    let head: Vec<String> = (0..6).map(|_| fields.next().expect("a field").to_owned()).collect();
    assert_eq!(head[5], "x09");
    let pairs = fields.next().expect("pairs").split('\t').map(|pair| {
        let (key, value) = pair.split_once('=').expect("a pair");
        (key.to_owned(), value.to_owned())
    });
    (head, each_once(pairs.collect()))
}

fn each_once(pairs: Vec<(String, String)>) -> BTreeMap<String, String> {
    let count = pairs.len();
    let pairs: BTreeMap<String, String> = pairs.into_iter().collect();
    assert_eq!(pairs.len(), count, "a key twice: {pairs:?}");
    pairs
}
