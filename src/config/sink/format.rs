//! `format` and the keys that go with it: what an event is turned into.

use super::filter::Pattern;
use super::{BodyShape, SinkKind};
use crate::config::section::Section;

/// What an event is turned into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Formatting {
    /// The format.
    pub format: Format,
    /// `native`: whether an event is wrapped as `{"received_at","source","event"}`.
    pub wrap: bool,
    /// `ocsf`: the version of the schema.
    pub ocsf_version: OcsfVersion,
    /// `ecs`, `ocsf`: whether the event as it was received goes along as one text.
    pub original: bool,
    /// Which `outcomeType` of custom analytics means that somebody signs on.
    pub sign_on_types: Vec<Pattern>,
}

/// The formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// The original JSON on one line.
    Native,
    /// The Elastic Common Schema.
    Ecs,
    /// The Open Cybersecurity Schema Framework.
    Ocsf,
    /// ArcSight's Common Event Format.
    Cef,
    /// QRadar's Log Event Extended Format 2.0.
    Leef,
}

/// Versions of the Open Cybersecurity Schema Framework.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OcsfVersion {
    /// The newest that Amazon Security Lake takes.
    #[default]
    V1_3,
    /// 1.8.0, of March 2026.
    V1_8,
}

/// Beginnings of the words that flows use for signing on.
const SIGN_ON_TYPES: [&str; 10] = [
    "login*",
    "logon*",
    "log-on*",
    "signin*",
    "sign-in*",
    "signon*",
    "sign-on*",
    "authenticat*",
    "mfa*",
    "passwordless*",
];

impl Format {
    /// Every format, by the name it has in a configuration.
    pub const ALL: [(&str, Format); 5] = [
        ("native", Format::Native),
        ("ecs", Format::Ecs),
        ("ocsf", Format::Ocsf),
        ("cef", Format::Cef),
        ("leef", Format::Leef),
    ];

    /// The name.
    pub fn as_str(self) -> &'static str {
        Format::ALL.iter().find(|(_, format)| *format == self).map_or("native", |(name, _)| name)
    }

    /// Whether an event becomes one JSON object.
    pub fn is_json(self) -> bool {
        !matches!(self, Format::Cef | Format::Leef)
    }
}

impl OcsfVersion {
    /// Every version, by the name it has in a configuration and in an event.
    pub const ALL: [(&str, OcsfVersion); 2] =
        [("1.3.0", OcsfVersion::V1_3), ("1.8.0", OcsfVersion::V1_8)];

    /// The name.
    pub fn as_str(self) -> &'static str {
        match self {
            OcsfVersion::V1_3 => "1.3.0",
            OcsfVersion::V1_8 => "1.8.0",
        }
    }
}

impl Default for Formatting {
    fn default() -> Formatting {
        Formatting::of(Format::Native)
    }
}

impl Formatting {
    /// A format with the defaults of the other keys.
    pub fn of(format: Format) -> Formatting {
        Formatting {
            format,
            wrap: false,
            ocsf_version: OcsfVersion::default(),
            original: false,
            sign_on_types: SIGN_ON_TYPES.iter().filter_map(|text| text.parse().ok()).collect(),
        }
    }
}

pub(super) fn read(section: &mut Section<'_>, kind: &SinkKind) -> Formatting {
    let default = match kind {
        SinkKind::Elasticsearch(_) => Format::Ecs,
        _ => Format::Native,
    };
    let Formatting { ocsf_version, sign_on_types, .. } = Formatting::default();
    let format = section.choice("format", &Format::ALL).unwrap_or(default);
    check_target(format, kind, section);
    for (key, formats) in [
        ("wrap", &[Format::Native][..]),
        ("ocsf_version", &[Format::Ocsf]),
        ("original", &[Format::Ecs, Format::Ocsf]),
        ("sign_on_types", &[Format::Ecs, Format::Ocsf, Format::Cef]),
    ] {
        if !section.is_missing(key) && !formats.contains(&format) {
            let name = |(name, known): &(&str, Format)| {
                formats.contains(known).then(|| format!("format = {name:?}"))
            };
            let names: Vec<String> = Format::ALL.iter().filter_map(name).collect();
            section.report(key, format!("is for {} only; leave it out", names.join(" or ")));
        }
    }
    let wanted = "a text with at most one *, at its end";
    let given = !section.is_missing("sign_on_types");
    let listed = section.list("sign_on_types", wanted);
    Formatting {
        format,
        wrap: section.boolean("wrap").unwrap_or(false),
        ocsf_version: section.choice("ocsf_version", &OcsfVersion::ALL).unwrap_or(ocsf_version),
        original: section.boolean("original").unwrap_or(false),
        sign_on_types: if given { listed } else { sign_on_types },
    }
}

/// Lines that are no JSON go only where lines are taken.
fn check_target(format: Format, kind: &SinkKind, section: &Section<'_>) {
    let takes_lines = match kind {
        SinkKind::Stdout | SinkKind::File(_) | SinkKind::Syslog(_) => true,
        SinkKind::Http(http) => http.body != BodyShape::Array,
        SinkKind::SplunkHec(_)
        | SinkKind::Elasticsearch(_)
        | SinkKind::Nats(_)
        | SinkKind::Kafka(_) => false,
    };
    if !format.is_json() && !takes_lines {
        let advice = "makes lines that are no JSON, which this target does not take; leave it out, or \
                      for type = \"http\" set body = \"ndjson\" or \"single\"";
        section.report("format", advice.to_owned());
    }
}
