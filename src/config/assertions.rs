//! `[[tests]]`: what the operator expects of a filter, a redaction or a format. `check --tests` runs them.

use std::path::PathBuf;

use crate::deliver::SinkConfig;
use crate::receive::SourceConfig;
use crate::settings::{Section, suggestion};

/// An expectation about one event and one sink.
#[derive(Debug, Clone)]
pub struct ConfigTest {
    /// Name, for messages.
    pub name: String,
    /// The event.
    pub event: TestEvent,
    /// Name of the sink.
    pub sink: String,
    /// Name of the source that receives the event; the first one by default.
    pub source: Option<String>,
    /// The expected effect of the sink's filters and its sample.
    pub expect: ExpectedResult,
    /// Values that the output has.
    pub fields: Vec<ExpectedField>,
    /// JSON pointers (RFC 6901) that the output does not have.
    pub absent: Vec<String>,
    /// Texts that the output contains.
    pub contains: Vec<String>,
    /// Texts that the output does not contain.
    pub lacks: Vec<String>,
}

/// Location of the event of a test.
#[derive(Debug, Clone)]
pub enum TestEvent {
    /// The event itself, as JSON.
    Inline(String),
    /// A file with one event.
    File(PathBuf),
}

/// Expected effect of a sink's filters and its sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExpectedResult {
    /// The sink gets the event.
    Delivered,
    /// The sink's filters exclude the event.
    Filtered,
    /// The event's interaction is not in the sink's sample.
    Sampled,
}

/// A value of the output.
#[derive(Debug, Clone)]
pub struct ExpectedField {
    /// JSON pointer (RFC 6901).
    pub pointer: String,
    /// The text of a string, or a number, boolean, object or array as JSON.
    pub value: String,
}

const RESULTS: [(&str, ExpectedResult); 3] = [
    ("delivered", ExpectedResult::Delivered),
    ("filtered", ExpectedResult::Filtered),
    ("sampled", ExpectedResult::Sampled),
];

impl ExpectedResult {
    /// Returns the word in the configuration.
    pub(crate) fn word(self) -> &'static str {
        RESULTS.iter().find(|(_, result)| *result == self).map_or("", |(word, _)| word)
    }
}

impl ConfigTest {
    /// Reads all tests.
    pub(super) fn read_all(root: &mut Section<'_>) -> Option<Vec<ConfigTest>> {
        root.tables("tests", "Expectations about events, for check --tests.", ConfigTest::read)
    }

    fn read(section: &mut Section<'_>) -> Option<ConfigTest> {
        let name = section.text("name", "Name, for messages.").required("\"no names in the SIEM\"");
        let doc = "The event, as JSON; or event_file.";
        let inline = section.text("event", doc).optional();
        let doc = "File with the event, in any shape that a webhook may send.";
        let file = section.path("event_file", doc).optional();
        let sink = section.text("sink", "Name of the sink.").required("\"siem\"");
        let doc = "Name of the source that receives the event; the first one by default.";
        let source = section.text("source", doc).optional();
        let doc = "Effect of the sink's filters and its sample.";
        let expect = section.choice("expect", &RESULTS, doc).or("delivered");
        let fields = section.tables("fields", "Values that the output has.", |field| {
            let pointer = field.text_as("pointer", "JSON pointer (RFC 6901).", pointer);
            let pointer = pointer.required("\"/user/name\"");
            let doc = "Text of a string; a number, boolean, object or array as JSON.";
            let value = field.text("value", doc).required("\"[redacted]\"");
            Some(ExpectedField { pointer: pointer?, value: value? })
        });
        let doc = "JSON pointers that the output does not have.";
        let absent = section.list_as("absent", doc, pointer).or_empty();
        let text = |text: &str| Ok::<_, std::convert::Infallible>(text.to_owned());
        let doc = "Texts that the output contains.";
        let contains = section.list_as("contains", doc, text).or_empty();
        let doc = "Texts that the output does not contain.";
        let lacks = section.list_as("lacks", doc, text).or_empty();
        let event = match (inline?, file?) {
            (Some(event), None) => Some(TestEvent::Inline(event)),
            (None, Some(file)) => Some(TestEvent::File(file)),
            _ => {
                section.report("event", "write either event or event_file");
                None
            }
        };
        let test = ConfigTest {
            name: name?,
            event: event?,
            sink: sink?,
            source: source?,
            expect: expect?,
            fields: fields?,
            absent: absent?,
            contains: contains?,
            lacks: lacks?,
        };
        if test.expect != ExpectedResult::Delivered && test.judges_output() {
            let advice = "event has no output; remove the other expectations";
            section.report("expect", format!("a {} {advice}", test.expect.word()));
        }
        Some(test)
    }

    fn judges_output(&self) -> bool {
        !(self.fields.is_empty()
            && self.absent.is_empty()
            && self.contains.is_empty()
            && self.lacks.is_empty())
    }
}

/// Reports tests with the name of a sink or source that does not exist.
pub(super) fn check(
    tests: &[ConfigTest],
    sources: &[SourceConfig],
    sinks: &[SinkConfig],
    root: &mut Section<'_>,
) {
    let sinks: Vec<&str> = sinks.iter().map(|sink| sink.name.as_str()).collect();
    let sources: Vec<&str> = sources.iter().map(|source| source.name.as_str()).collect();
    for (index, test) in tests.iter().enumerate() {
        if !sinks.contains(&test.sink.as_str()) {
            let meant = suggestion(&test.sink, &sinks);
            let message = format!("is not one of the sinks {}{meant}", sinks.join(", "));
            root.report(&format!("tests[{index}].sink"), message);
        }
        if let Some(source) = test.source.as_deref().filter(|source| !sources.contains(source)) {
            let meant = suggestion(source, &sources);
            let message = format!("is not one of the sources {}{meant}", sources.join(", "));
            root.report(&format!("tests[{index}].source"), message);
        }
    }
}

/// Checks a JSON pointer: empty for the whole document, or each part begins with a slash.
fn pointer(text: &str) -> Result<String, &'static str> {
    match text.is_empty() || text.starts_with('/') {
        true => Ok(text.to_owned()),
        false => Err("is no JSON pointer; write it like \"/user/name\""),
    }
}
