//! Products that events come from, with the names that `[sinks.NAME.products]` may give to them.

use crate::event::Event;
use crate::format::Format;
use crate::settings::Section;

/// Maximum length of a product's name, in characters: that of CEF's `Device Product`.
const MAX_NAME_CHARS: usize = 63;

/// Maximum length of a data set, in bytes: that of a data set in the name of a data stream.
const MAX_DATASET_BYTES: usize = 100;

/// The two products whose events a webhook carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Products {
    /// DaVinci: types that begin with `DAVINCI`.
    pub davinci: Product,
    /// PingOne: all other types.
    pub pingone: Product,
}

/// A product, as the formats name it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Product {
    /// `observer.product` in ECS, `metadata.product.name` in OCSF, the product in the head of CEF and LEEF.
    pub name: String,
    /// `event.dataset` in ECS.
    pub dataset: String,
    /// `service.name` and a tag in ECS.
    pub(super) service: &'static str,
    /// `metadata.log_name` in OCSF.
    pub(super) log: &'static str,
}

/// Name and data set of a product.
type DefaultNames = (&'static str, &'static str);

const DAVINCI: DefaultNames = ("PingOne DaVinci", "pingone.davinci");
const PINGONE: DefaultNames = ("PingOne", "ping_one.audit");

impl Default for Products {
    fn default() -> Products {
        let named = |(name, dataset): DefaultNames| (name.to_owned(), dataset.to_owned());
        Products::of_names(named(DAVINCI), named(PINGONE))
    }
}

impl Products {
    fn of_names(davinci: (String, String), pingone: (String, String)) -> Products {
        let product = |(name, dataset), service, log| Product { name, dataset, service, log };
        Products {
            davinci: product(davinci, "pingone-davinci", "davinci"),
            pingone: product(pingone, "pingone", "audit"),
        }
    }

    /// Returns the product of an event, by the first word of its type.
    pub(super) fn of(&self, event: &Event<'_>) -> &Product {
        let kind = event.envelope().action.kind.as_bytes();
        let is_davinci = kind.get(..7).is_some_and(|word| word.eq_ignore_ascii_case(b"DAVINCI"));
        if is_davinci { &self.davinci } else { &self.pingone }
    }

    /// Reads the table `products` of a sink with this format.
    pub(super) fn read(section: &mut Section<'_>, format: Option<Format>) -> Option<Products> {
        let doc = "ecs, ocsf, cef and leef. Names of the products.";
        section.table("products", doc, |section| {
            let doc = "Events whose type begins with DAVINCI.";
            let davinci = section.table("davinci", doc, |section| read(section, format, DAVINCI));
            let doc = "All other events.";
            let pingone = section.table("pingone", doc, |section| read(section, format, PINGONE));
            Some(Products::of_names(davinci?, pingone?))
        })
    }
}

fn read(
    section: &mut Section<'_>,
    format: Option<Format>,
    (default_name, default_dataset): DefaultNames,
) -> Option<(String, String)> {
    if format.is_some_and(|format| format != Format::Ecs) && section.is_given("dataset") {
        section.report("dataset", "is for format = \"ecs\" only; leave it out");
    }
    let name = section.text_as("name", "Name of the product.", parse_name).or(default_name);
    let doc = "ecs only. Value of event.dataset.";
    let dataset = section.text_as("dataset", doc, parse_dataset).or(default_dataset);
    Some((name?, dataset?))
}

/// Reads a name. The characters that separate or escape fields in CEF and LEEF are refused.
fn parse_name(text: &str) -> Result<String, String> {
    let is_separator = |c: char| c.is_control() || matches!(c, '|' | '\\' | '=');
    let is_name = !text.is_empty()
        && text.trim() == text
        && text.chars().count() <= MAX_NAME_CHARS
        && !text.contains(is_separator);
    is_name.then(|| text.to_owned()).ok_or_else(|| {
        format!("must be 1 to {MAX_NAME_CHARS} characters without |, =, \\ and spaces at an end")
    })
}

/// Reads a data set: the characters that the name of a data stream allows.
fn parse_dataset(text: &str) -> Result<String, String> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '.' | '_');
    let is_dataset = (1..=MAX_DATASET_BYTES).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && text.chars().all(is_plain);
    is_dataset.then(|| text.to_owned()).ok_or_else(|| {
        format!("must be 1 to {MAX_DATASET_BYTES} of a-z, 0-9, . and _, first a letter or a digit")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_fit_into_every_format() {
        let longest = "x".repeat(MAX_NAME_CHARS);
        for (name, is_good) in [
            ("PingOne DaVinci", true),
            ("Identité", true),
            (&*longest, true),
            (&*format!("{longest}x"), false),
            ("", false),
            (" x", false),
            ("a|b", false),
            ("a=b", false),
            ("a\\b", false),
            ("a\tb", false),
        ] {
            assert_eq!(parse_name(name).is_ok(), is_good, "{name:?}");
        }
        for (dataset, is_good) in [
            ("pingone.davinci", true),
            ("ping_one.audit", true),
            ("1.x", true),
            ("_x", false),
            ("Ping", false),
            ("ping-one", false),
            ("", false),
            (&*longest.repeat(2), false),
        ] {
            assert_eq!(parse_dataset(dataset).is_ok(), is_good, "{dataset:?}");
        }
    }
}
