//! `type = "nats"`: subjects of NATS JetStream.

use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use crate::config::nats;
use crate::config::section::Section;
use crate::nats::NatsConfig;

/// `type = "nats"`.
#[derive(Debug, Clone)]
pub struct NatsSink {
    /// The servers, and who we say that we are.
    pub connection: NatsConfig,
    /// What an event is published to.
    pub subject: Subject,
    /// The stream that has to take it, if that is checked.
    pub stream: Option<String>,
    /// How long to wait for an acknowledgement.
    pub timeout: Duration,
    /// What every message says of its format.
    pub schema: &'static str,
}

/// A subject with places for what an event says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject(pub Vec<Part>);

/// A part of a subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it was written.
    Text(String),
    /// `{environment}`: the id of PingOne's environment.
    Environment,
    /// `{action}`: `action.type`; of DaVinci's interactions the last part.
    Action,
    /// `{outcome}`: success, failure, unknown.
    Outcome,
    /// `{flow}`: the flow's id.
    Flow,
    /// `{connector}`: the connector's id.
    Connector,
}

const PLACES: [(&str, Part); 5] = [
    ("environment", Part::Environment),
    ("action", Part::Action),
    ("outcome", Part::Outcome),
    ("flow", Part::Flow),
    ("connector", Part::Connector),
];

const EXAMPLE: &str = "\"pingone.davinci.{environment}.{action}\"";

impl NatsSink {
    /// Files whose change may make the target reachable.
    pub fn files(&self) -> Vec<PathBuf> {
        self.connection.files()
    }
}

/// The subject as it is written, with an asterisk for each level that depends on the event.
impl Subject {
    /// What all of its subjects match.
    pub fn pattern(&self) -> String {
        let text = self.filled_with(|part| match part {
            Part::Text(text) => text.as_str(),
            _ => "*",
        });
        let level =
            |level: &str| if level.contains('*') { "*".to_owned() } else { level.to_owned() };
        text.split('.').map(level).collect::<Vec<_>>().join(".")
    }

    /// The subject with something in each place.
    pub fn filled_with<'a>(&'a self, fill: impl Fn(&'a Part) -> &'a str) -> String {
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
            let (_, place) = PLACES.iter().find(|(known, _)| *known == name).ok_or(())?;
            parts.extend([Part::Text(before.to_owned()), place.clone()]);
            rest = after;
        }
        parts.push(Part::Text(rest.to_owned()));
        parts.retain(|part| *part != Part::Text(String::new()));
        let subject = Subject(parts);
        // What NATS lets be published to; a $ begins what is its own.
        let example = subject.filled_with(|part| match part {
            Part::Text(text) => text.as_str(),
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

pub(super) fn read(section: &mut Section<'_>) -> NatsSink {
    let wanted = format!(
        "a subject such as {EXAMPLE}; there are {{environment}}, {{action}}, {{outcome}}, {{flow}} and \
         {{connector}}"
    );
    let stream = section.text("stream");
    // https://docs.nats.io/nats-concepts/jetstream/streams
    let is_name = |name: &str| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_graphic() && !".*>/\\".contains(c))
    };
    if stream.as_deref().is_some_and(|stream| !is_name(stream)) {
        let advice = "is no stream's name, which has no spaces and none of . * > / \\".to_owned();
        section.report("stream", advice);
    }
    NatsSink {
        connection: nats::read(section),
        subject: section.parsed("subject", &wanted).unwrap_or_else(default_subject),
        stream,
        timeout: section.timeout("timeout").unwrap_or(Duration::from_secs(30)),
        schema: "native",
    }
}

fn default_subject() -> Subject {
    let text = |text: &str| Part::Text(text.to_owned());
    Subject(vec![text("pingone.davinci."), Part::Environment, text("."), Part::Action])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subjects_are_what_nats_takes() {
        assert_eq!(EXAMPLE.trim_matches('"').parse(), Ok(default_subject()));
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
