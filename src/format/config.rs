//! `format` and the keys that belong to one format.

use super::Products;
use crate::settings::{Pattern, Section};

/// Format of a sink, and its options.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FormatConfig {
    /// The format.
    pub format: Format,
    /// `native`: true if an event is wrapped as `{"received_at","source","event"}`.
    pub wrap: bool,
    /// `ocsf`: version of the schema.
    pub ocsf_version: OcsfVersion,
    /// `ecs`, `ocsf`: true if the received JSON is added as one text.
    pub original: bool,
    /// `cef`, `leef`: true if fields without a key are kept as JSON in `davinciExtra`.
    pub extension: bool,
    /// Values of `outcomeType` (custom analytics) that mean a sign-on.
    pub sign_on_types: Vec<Pattern>,
    /// Values of `outcomeType` (custom analytics) that mean a sign-off.
    pub sign_off_types: Vec<Pattern>,
    /// `ecs`, `ocsf`, `cef`, `leef`: names of the products.
    pub products: Products,
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
    /// The newest version that Amazon Security Lake accepts.
    #[default]
    V1_3,
    /// 1.8.0, of March 2026.
    V1_8,
}

/// Beginnings of the words that flows use for signing on.
const SIGN_ON_TYPES: &str = "login*, logon*, log-on*, signin*, sign-in*, signon*, sign-on*, authenticat*, \
                             mfa*, passwordless*";

/// Beginnings of the words that flows use for signing off.
const SIGN_OFF_TYPES: &str =
    "logout*, log-out*, log out*, logoff*, log-off*, signout*, sign-out*, signoff*, sign-off*";

impl Format {
    /// All formats, by their names in a configuration.
    pub const ALL: [(&str, Format); 5] = [
        ("native", Format::Native),
        ("ecs", Format::Ecs),
        ("ocsf", Format::Ocsf),
        ("cef", Format::Cef),
        ("leef", Format::Leef),
    ];

    /// Returns the name in a configuration.
    pub fn as_str(self) -> &'static str {
        Format::ALL.iter().find(|(_, format)| *format == self).map_or("native", |(name, _)| name)
    }

    /// Returns true if an event becomes one JSON object.
    pub fn is_json(self) -> bool {
        !matches!(self, Format::Cef | Format::Leef)
    }
}

impl OcsfVersion {
    /// All versions, by their names in a configuration and in an event.
    pub const ALL: [(&str, OcsfVersion); 2] =
        [("1.3.0", OcsfVersion::V1_3), ("1.8.0", OcsfVersion::V1_8)];

    /// Returns the name in a configuration and in an event.
    pub fn as_str(self) -> &'static str {
        match self {
            OcsfVersion::V1_3 => "1.3.0",
            OcsfVersion::V1_8 => "1.8.0",
        }
    }
}

impl Default for FormatConfig {
    fn default() -> FormatConfig {
        FormatConfig::of(Format::Native)
    }
}

impl FormatConfig {
    /// Returns a format with the defaults of the other keys.
    pub fn of(format: Format) -> FormatConfig {
        FormatConfig {
            format,
            wrap: false,
            ocsf_version: OcsfVersion::default(),
            original: false,
            extension: true,
            sign_on_types: patterns(SIGN_ON_TYPES),
            sign_off_types: patterns(SIGN_OFF_TYPES),
            products: Products::default(),
        }
    }
}

impl FormatConfig {
    /// Reads `format` and the keys that belong to one format. `default` is the default format of the sink's type.
    pub(crate) fn read(section: &mut Section<'_>, default: Format) -> Option<FormatConfig> {
        let doc = "Format of the events.";
        let format = section.choice("format", &Format::ALL, doc).or(default.as_str());
        if let Some(format) = format {
            refuse_keys_of_others(section, format);
        }
        let doc = "native only. True wraps an event as {\"received_at\", \"source\", \"event\"}.";
        let wrap = section.boolean("wrap", doc).or("false");
        let versions = &OcsfVersion::ALL;
        let ocsf_version =
            section.choice("ocsf_version", versions, "ocsf only. Version of the schema.");
        let ocsf_version = ocsf_version.or(OcsfVersion::default().as_str());
        let doc = "ecs and ocsf. True adds the received JSON as one text.";
        let original = section.boolean("original", doc).or("false");
        let wanted = "a text with at most one *, at its end";
        let doc = "ecs, ocsf and cef. Values of outcomeType that mean a sign-on.";
        let sign_on_types = section.list("sign_on_types", wanted, doc).or(SIGN_ON_TYPES);
        let doc = "ecs, ocsf and cef. Values of outcomeType that mean a sign-off.";
        let sign_off_types = section.list("sign_off_types", wanted, doc).or(SIGN_OFF_TYPES);
        let doc = "cef and leef. False leaves out davinciExtra and davinciOriginal: fields without a key \
                   are lost.";
        let extension = section.boolean("extension", doc).or("true");
        let products = Products::read(section, format);
        Some(FormatConfig {
            format: format?,
            wrap: wrap?,
            ocsf_version: ocsf_version?,
            original: original?,
            extension: extension?,
            sign_on_types: sign_on_types?,
            sign_off_types: sign_off_types?,
            products: products?,
        })
    }
}

fn patterns(texts: &str) -> Vec<Pattern> {
    texts.split(", ").filter_map(|text| text.parse().ok()).collect()
}

fn refuse_keys_of_others(section: &mut Section<'_>, format: Format) {
    for (key, formats) in [
        ("wrap", &[Format::Native][..]),
        ("ocsf_version", &[Format::Ocsf]),
        ("original", &[Format::Ecs, Format::Ocsf]),
        ("sign_on_types", &[Format::Ecs, Format::Ocsf, Format::Cef]),
        ("sign_off_types", &[Format::Ecs, Format::Ocsf, Format::Cef]),
        ("extension", &[Format::Cef, Format::Leef]),
        ("products", &[Format::Ecs, Format::Ocsf, Format::Cef, Format::Leef]),
    ] {
        if section.is_given(key) && !formats.contains(&format) {
            let name = |(name, known): &(&str, Format)| {
                formats.contains(known).then(|| format!("format = {name:?}"))
            };
            let names: Vec<String> = Format::ALL.iter().filter_map(name).collect();
            section.report(key, format!("is for {} only; leave it out", names.join(" or ")));
        }
    }
}
