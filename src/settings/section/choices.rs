//! Keys whose values are one, or some, of a few words.

use serde_json::json;

use super::reading::text_of;
use super::{Reading, Section, closest};
use crate::shown;

impl<'p> Section<'p> {
    /// Reads one of a few words.
    pub(crate) fn choice<'s, T: Copy>(
        &'s mut self,
        key: &str,
        choices: &'s [(&'static str, T)],
        doc: &str,
    ) -> Reading<'s, 'p, T> {
        let words = || choices.iter().map(|(word, _)| *word);
        let schema = || json!({ "type": "string", "enum": words().collect::<Vec<_>>() });
        self.reading(key, doc, schema, move |node| {
            chosen(text_of(node)?, choices).map_err(|message| vec![message])
        })
    }

    /// Reads a list of a few words.
    pub(crate) fn choices<'s, T: Copy>(
        &'s mut self,
        key: &str,
        choices: &'s [(&'static str, T)],
        doc: &str,
    ) -> Reading<'s, 'p, Vec<T>> {
        let mut reading = self.list_as(key, doc, |word| chosen(word, choices));
        let words: Vec<&str> = choices.iter().map(|(word, _)| *word).collect();
        reading.add("items", |_| json!({ "type": "string", "enum": words }));
        reading
    }
}

/// Returns the choice that a word names. An error ends a sentence that begins with the key.
fn chosen<T: Copy>(text: &str, choices: &[(&'static str, T)]) -> Result<T, String> {
    if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
        return Ok(*value);
    }
    let words = || choices.iter().map(|(word, _)| *word);
    let all: Vec<String> = words().map(|word| format!("{word:?}")).collect();
    let mut message = format!("{}is not one of {}", shown::value(text), all.join(", "));
    if let Some(word) = closest(text, words()) {
        message.push_str(&format!("; did you mean {word:?}?"));
    }
    Err(message)
}
