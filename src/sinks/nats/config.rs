//! Settings of `type = "nats"`: subjects of NATS JetStream.

use std::str::FromStr;
use std::time::Duration;

use crate::format::Format;
use crate::nats::NatsConfig;
use crate::settings::Section;

/// `type = "nats"`.
#[derive(Debug, Clone)]
pub struct NatsSinkConfig {
    /// Servers and credentials.
    pub connection: NatsConfig,
    pub subject: Subject,
    /// Stream that has to accept the event, if that is checked.
    pub stream: Option<String>,
    pub timeout: Duration,
    /// Format of the events, for the header `schema`.
    pub schema: &'static str,
}

/// Template of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject(pub Vec<SubjectPart>);

/// A part of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubjectPart {
    Text(String),
    /// `{environment}`: id of PingOne's environment.
    Environment,
    /// `{action}`: `action.type`; of DaVinci's interactions the last part.
    Action,
    /// `{outcome}`: success, failure, unknown.
    Outcome,
    /// `{flow}`: id of the flow.
    Flow,
    /// `{connector}`: id of the connector.
    Connector,
}

const PLACEHOLDERS: [(&str, SubjectPart); 5] = [
    ("environment", SubjectPart::Environment),
    ("action", SubjectPart::Action),
    ("outcome", SubjectPart::Outcome),
    ("flow", SubjectPart::Flow),
    ("connector", SubjectPart::Connector),
];

const DEFAULT_SUBJECT: &str = "pingone.davinci.{environment}.{action}";

impl Subject {
    /// Returns the pattern that all subjects match: an asterisk for each level that depends on the event.
    pub fn pattern(&self) -> String {
        let text = self.filled_with(|part| match part {
            SubjectPart::Text(text) => text.as_str(),
            _ => "*",
        });
        let level =
            |level: &str| if level.contains('*') { "*".to_owned() } else { level.to_owned() };
        text.split('.').map(level).collect::<Vec<_>>().join(".")
    }

    /// Returns the subject with each part filled in.
    pub fn filled_with<'a>(&'a self, fill: impl Fn(&'a SubjectPart) -> &'a str) -> String {
        self.0.iter().map(fill).collect()
    }
}

impl FromStr for Subject {
    type Err = ();

    fn from_str(text: &str) -> Result<Subject, ()> {
        let mut parts = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').ok_or(())?;
            let (_, part) = PLACEHOLDERS.iter().find(|(known, _)| *known == name).ok_or(())?;
            parts.extend([SubjectPart::Text(before.to_owned()), part.clone()]);
            rest = after;
        }
        parts.push(SubjectPart::Text(rest.to_owned()));
        parts.retain(|part| *part != SubjectPart::Text(String::new()));
        let subject = Subject(parts);
        // NATS accepts no other subjects for publishing; a $ begins its own subjects.
        let example = subject.filled_with(|part| match part {
            SubjectPart::Text(text) => text.as_str(),
            _ => "x",
        });
        let is_plain = |c: char| c.is_ascii_graphic() && !"*>{}".contains(c);
        let is_good = example.split('.').all(|level| !level.is_empty())
            && example.chars().all(is_plain)
            && !example.starts_with('$')
            && example.len() <= 256;
        is_good.then_some(subject).ok_or(())
    }
}

pub(super) fn read(section: &mut Section<'_>, format: Format) -> Option<NatsSinkConfig> {
    let connection = NatsConfig::read(section);
    let wanted = format!(
        "a subject such as {DEFAULT_SUBJECT:?}; there are {{environment}}, {{action}}, {{outcome}}, {{flow}} and \
         {{connector}}"
    );
    let doc =
        "Subject of an event, with {environment}, {action}, {outcome}, {flow} and {connector}.";
    let subject = section.parsed("subject", &wanted, doc).or(DEFAULT_SUBJECT);
    let doc = "Stream that has to accept the subject. Default: any stream.";
    let stream = section.text_as("stream", doc, parse_stream).optional();
    let timeout = section.timeout("timeout", "Timeout of an acknowledgement.").or("30s");
    Some(NatsSinkConfig {
        connection: connection?,
        subject: subject?,
        stream: stream?,
        timeout: timeout?,
        schema: format.as_str(),
    })
}

/// The text is not the name of a stream.
#[derive(Debug, thiserror::Error)]
#[error("is not a stream name: leave out spaces and . * > / \\")]
struct StreamNameError;

/// Parses the name of a stream: <https://docs.nats.io/nats-concepts/jetstream/streams>.
fn parse_stream(name: &str) -> Result<String, StreamNameError> {
    let is_plain = |c: char| c.is_ascii_graphic() && !".*>/\\".contains(c);
    match !name.is_empty() && name.chars().all(is_plain) {
        true => Ok(name.to_owned()),
        false => Err(StreamNameError),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_valid_for_nats() {
        for (text, pattern) in [
            ("events", "events"),
            ("a.{environment}.{action}", "a.*.*"),
            ("a.{outcome}-{flow}.b", "a.*.b"),
            ("a.x-{connector}", "a.*"),
        ] {
            let subject: Subject = text.parse().expect(text);
            assert_eq!(subject.pattern(), pattern);
        }
        for text in [
            "", ".", "a.", ".a", "a..b", "a b", "a.*", "a.>", "{x}", "{action", "action}", "a.{}",
            "$JS.a", "ä", "a\tb",
        ] {
            assert_eq!(text.parse::<Subject>(), Err(()), "{text}");
        }
    }
}
