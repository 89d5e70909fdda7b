//! Typed values of keys, with their defaults. A default is written as the file would write it.

use std::convert::Infallible;
use std::fmt::Display;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::{Section, closest, wrong_type};
use crate::settings::node::{TomlNode, Value};
use crate::settings::problem::Origin;
use crate::settings::schema::{DURATION, SIZE, describe};
use crate::shown;

/// Upper bound of every time span: adding it to a time never overflows.
const MAX_DURATION: Duration = Duration::from_hours(10 * 366 * 24);

/// Units of sizes, the largest first.
const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

type Parse<'s, T> = Box<dyn Fn(&TomlNode) -> Result<T, Vec<String>> + 's>;

/// A key that has been read, until its default is known.
#[must_use = "a key without a default, or required, is no value"]
pub(crate) struct Reading<'s, 'p, T> {
    section: &'s mut Section<'p>,
    key: String,
    is_given: bool,
    is_list: bool,
    value: Option<T>,
    parse: Parse<'s, T>,
    schema: Option<Json>,
}

impl<T> Reading<'_, '_, T> {
    /// Returns the value, or `default`, which is written as in the file.
    pub(crate) fn or(mut self, default: &str) -> Option<T> {
        self.add("default", |schema| match schema["type"].as_str() {
            Some("string") | None => default.into(),
            Some("array") => json!(default.split(", ").collect::<Vec<_>>()),
            Some(_) => serde_json::from_str(&default.replace('_', "")).unwrap_or_default(),
        });
        if self.is_given {
            return self.end();
        }
        let node = TomlNode { value: Value::Variable(default.to_owned()), origin: Origin::Line(0) };
        match (self.parse)(&node) {
            Ok(value) => self.value = Some(value),
            Err(mistakes) => mistakes.into_iter().for_each(|mistake| {
                self.section.report(&self.key, format!("has a default that {mistake}"));
            }),
        }
        self.end()
    }

    /// Returns the value, or `default`, which the schema describes in words.
    pub(crate) fn or_value(mut self, default: T, words: &str) -> Option<T> {
        if let Some(schema) = &mut self.schema {
            describe(schema, &format!("Default: {words}."));
        }
        if !self.is_given {
            self.value = Some(default);
        }
        self.end()
    }

    /// Returns the value; `Some(None)` if the key is not given.
    pub(crate) fn optional(self) -> Option<Option<T>> {
        match self.is_given {
            true => self.end().map(Some),
            false => {
                self.end();
                Some(None)
            }
        }
    }

    /// Returns the value; a missing key is a problem, and the message shows `example`.
    pub(crate) fn required(mut self, example: &str) -> Option<T> {
        let is_list = self.is_list;
        self.add("examples", |_| if is_list { json!([[example]]) } else { json!([example]) });
        if let Some(schema) = &mut self.section.schema {
            schema.require(&self.key);
        } else if !self.is_given {
            let key = &self.key;
            let example = if is_list { format!("[{example:?}]") } else { format!("{example:?}") };
            self.section.report(key, format!("is missing; write for example {key} = {example}"));
        }
        self.end()
    }

    fn add(&mut self, name: &str, value: impl FnOnce(&Json) -> Json) {
        if let Some(schema) = &mut self.schema {
            schema[name] = value(schema);
        }
    }

    fn end(self) -> Option<T> {
        let Reading { section, key, value, schema, .. } = self;
        if let (Some(table), Some(schema)) = (&mut section.schema, schema) {
            table.add(&key, schema);
        }
        value
    }
}

impl<T> Reading<'_, '_, Vec<T>> {
    /// Returns the list; an empty one if the key is not given.
    pub(crate) fn or_empty(mut self) -> Option<Vec<T>> {
        self.add("default", |_| json!([]));
        if !self.is_given {
            self.value = Some(Vec::new());
        }
        self.end()
    }
}

impl<'p> Section<'p> {
    /// Reads a string.
    pub(crate) fn text<'s>(&'s mut self, key: &str, doc: &str) -> Reading<'s, 'p, String> {
        self.text_as(key, doc, |text| Ok::<_, Infallible>(text.to_owned()))
    }

    /// Reads a string that `parse` turns into a value. The text of an error follows the key in the message: "is not …".
    pub(crate) fn text_as<'s, T, E: Display>(
        &'s mut self,
        key: &str,
        doc: &str,
        parse: impl Fn(&str) -> Result<T, E> + 's,
    ) -> Reading<'s, 'p, T> {
        let string = || json!({ "type": "string" });
        self.reading(key, doc, string, move |node| {
            parse(text_of(node)?).map_err(|error| vec![error.to_string()])
        })
    }

    /// Reads a string that another type is made of; `wanted` is a noun phrase.
    pub(crate) fn parsed<'s, T: FromStr>(
        &'s mut self,
        key: &str,
        wanted: &'s str,
        doc: &str,
    ) -> Reading<'s, 'p, T> {
        self.text_as(key, doc, move |text| parse_text(text, wanted))
    }

    /// Reads an address and a port.
    pub(crate) fn address<'s>(&'s mut self, key: &str, doc: &str) -> Reading<'s, 'p, SocketAddr> {
        let wanted = "an address and port such as \"127.0.0.1:8080\" or \"[::1]:8080\"";
        self.parsed(key, wanted, doc)
    }

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
            let text = text_of(node)?;
            if let Some((_, value)) = choices.iter().find(|(word, _)| *word == text) {
                return Ok(*value);
            }
            let all: Vec<String> = words().map(|word| format!("{word:?}")).collect();
            let mut message = format!("{}is not one of {}", shown::value(text), all.join(", "));
            if let Some(word) = closest(text, words()) {
                message.push_str(&format!("; did you mean {word:?}?"));
            }
            Err(vec![message])
        })
    }

    /// Reads `true` or `false`.
    pub(crate) fn boolean<'s>(&'s mut self, key: &str, doc: &str) -> Reading<'s, 'p, bool> {
        self.reading(
            key,
            doc,
            || json!({ "type": "boolean" }),
            |node| match &node.value {
                Value::Boolean(value) => Ok(*value),
                Value::Variable(text) if text.trim().eq_ignore_ascii_case("true") => Ok(true),
                Value::Variable(text) if text.trim().eq_ignore_ascii_case("false") => Ok(false),
                other => Err(vec![wrong_type("true or false", other)]),
            },
        )
    }

    /// Reads a whole number within bounds. `u64::MAX` as the upper bound stands for none.
    pub(crate) fn integer<'s>(
        &'s mut self,
        key: &str,
        bounds: RangeInclusive<u64>,
        doc: &str,
    ) -> Reading<'s, 'p, u64> {
        let (least, most) = (*bounds.start(), *bounds.end());
        let schema = || match most {
            u64::MAX => json!({ "type": "integer", "minimum": least }),
            _ => json!({ "type": "integer", "minimum": least, "maximum": most }),
        };
        self.reading(key, doc, schema, move |node| {
            let number = match &node.value {
                Value::Integer(number) => u64::try_from(*number).ok(),
                Value::Variable(text) => text.trim().parse().ok(),
                _ => None,
            };
            number.filter(|number| bounds.contains(number)).ok_or_else(|| {
                let wanted = match most {
                    _ if least == most => least.to_string(),
                    u64::MAX => format!("a whole number from {least} on"),
                    _ => format!("a whole number from {least} to {most}"),
                };
                vec![wrong_type(&wanted, &node.value)]
            })
        })
    }

    /// Reads a number from 0 to 1.
    pub(crate) fn fraction<'s>(&'s mut self, key: &str, doc: &str) -> Reading<'s, 'p, f64> {
        let schema = || json!({ "type": "number", "minimum": 0, "maximum": 1 });
        self.reading(key, doc, schema, |node| {
            let number = match &node.value {
                Value::Float(number) => Some(*number),
                Value::Integer(number) => Some(*number as f64),
                Value::Variable(text) => text.trim().parse().ok(),
                _ => None,
            };
            let number = number.filter(|number| (0.0..=1.0).contains(number));
            number.ok_or_else(|| vec![wrong_type("a number from 0 to 1", &node.value)])
        })
    }

    /// Reads a size in bytes within bounds, such as `"32 MiB"`. `u64::MAX` as the upper bound stands for none.
    pub(crate) fn size<'s>(
        &'s mut self,
        key: &str,
        bounds: RangeInclusive<u64>,
        doc: &str,
    ) -> Reading<'s, 'p, u64> {
        let (least, most) = (*bounds.start(), *bounds.end());
        let words = match (least, most) {
            (0 | 1, u64::MAX) => String::new(),
            (0 | 1, _) => format!(" At most {}.", size_text(most)),
            (_, u64::MAX) => format!(" At least {}.", size_text(least)),
            _ => format!(" From {} to {}.", size_text(least), size_text(most)),
        };
        let schema = || json!({ "type": "string", "pattern": SIZE });
        self.reading(key, &format!("{doc}{words}"), schema, move |node| {
            let wanted = "a size such as \"32 MiB\"";
            let size = parse_text::<bytesize::ByteSize>(text_of(node)?, wanted);
            let size = size.map_err(|message| vec![message])?.as_u64();
            if size < least {
                return Err(vec![format!("must be at least {}", size_text(least))]);
            }
            if size > most {
                return Err(vec![format!("must be at most {}", size_text(most))]);
            }
            Ok(size)
        })
    }

    /// Reads a time span, such as `"14d"`, of at most [`MAX_DURATION`]; 0 is allowed.
    pub(crate) fn duration<'s>(&'s mut self, key: &str, doc: &str) -> Reading<'s, 'p, Duration> {
        self.duration_from(key, Duration::ZERO, doc)
    }

    /// Reads a timeout or an interval. Raises it to 1 ms, below which it would always expire, or spin.
    pub(crate) fn timeout<'s>(&'s mut self, key: &str, doc: &str) -> Reading<'s, 'p, Duration> {
        self.duration_from(key, Duration::from_millis(1), doc)
    }

    /// Reads a time span and raises it to `least`. Allows 0 only if `least` is 0.
    pub(crate) fn duration_from<'s>(
        &'s mut self,
        key: &str,
        least: Duration,
        doc: &str,
    ) -> Reading<'s, 'p, Duration> {
        let schema = || json!({ "type": "string", "pattern": DURATION });
        self.reading(key, doc, schema, move |node| {
            let wanted = "a time span such as \"30s\", \"15m\" or \"14d\"";
            let duration = parse_text::<humantime::Duration>(text_of(node)?, wanted);
            let duration: Duration = duration.map_err(|message| vec![message])?.into();
            if duration.is_zero() && !least.is_zero() {
                return Err(vec!["must be more than 0".to_owned()]);
            }
            if duration > MAX_DURATION {
                return Err(vec!["must be at most 10 years (10y)".to_owned()]);
            }
            Ok(duration.max(least))
        })
    }

    /// Reads a list of strings, each of which another type is made of; `wanted` is a noun phrase.
    pub(crate) fn list<'s, T: FromStr + Display>(
        &'s mut self,
        key: &str,
        wanted: &'s str,
        doc: &str,
    ) -> Reading<'s, 'p, Vec<T>> {
        self.list_as(key, doc, move |item| {
            item.parse().map_err(|_| format!("{}is not {wanted}", shown::value(item)))
        })
    }

    /// Reads a list of strings, each of which `parse` turns into a value. In a variable, commas separate them.
    pub(crate) fn list_as<'s, T, E: Display>(
        &'s mut self,
        key: &str,
        doc: &str,
        parse: impl Fn(&str) -> Result<T, E> + 's,
    ) -> Reading<'s, 'p, Vec<T>> {
        let schema = || json!({ "type": "array", "items": { "type": "string" } });
        let reading = self.reading(key, doc, schema, move |node| {
            let text = |item: &TomlNode| match &item.value {
                Value::Text(text) => Some(text.clone()),
                _ => None,
            };
            let items: Option<Vec<String>> = match &node.value {
                Value::Variable(text) => {
                    Some(text.split(',').map(|item| item.trim().to_owned()).collect())
                }
                Value::List(items) => items.iter().map(text).collect(),
                _ => None,
            };
            let items = items.ok_or_else(|| vec![wrong_type("a list of strings", &node.value)])?;
            let (mut values, mut mistakes) = (Vec::with_capacity(items.len()), Vec::new());
            for item in items {
                match parse(&item) {
                    Ok(value) => values.push(value),
                    Err(mistake) => mistakes.push(mistake.to_string()),
                }
            }
            if mistakes.is_empty() { Ok(values) } else { Err(mistakes) }
        });
        Reading { is_list: true, ..reading }
    }

    pub(super) fn reading<'s, T>(
        &'s mut self,
        key: &str,
        doc: &str,
        schema: impl FnOnce() -> Json,
        parse: impl Fn(&TomlNode) -> Result<T, Vec<String>> + 's,
    ) -> Reading<'s, 'p, T> {
        let mut schema = self.schema.is_some().then(schema);
        if let Some(schema) = &mut schema {
            describe(schema, doc);
        }
        let node = self.take(key);
        let value = node.as_ref().and_then(|node| match parse(node) {
            Ok(value) => Some(value),
            Err(mistakes) => {
                for mistake in mistakes {
                    self.report_at(&node.origin, key, mistake);
                }
                None
            }
        });
        let (key, parse) = (key.to_owned(), Box::new(parse));
        let is_given = node.is_some();
        Reading { section: self, key, is_given, is_list: false, value, parse, schema }
    }
}

pub(super) fn text_of(node: &TomlNode) -> Result<&str, Vec<String>> {
    match &node.value {
        Value::Text(text) | Value::Variable(text) => Ok(text),
        other => Err(vec![wrong_type("a string", other)]),
    }
}

fn parse_text<T: FromStr>(text: &str, wanted: &str) -> Result<T, String> {
    text.trim().parse().map_err(|_| format!("{}is not {wanted}", shown::value(text)))
}

/// Returns a size as the file would write it.
fn size_text(bytes: u64) -> String {
    let unit = UNITS.iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit));
    match unit {
        Some((name, unit)) => format!("{} {name}", bytes / unit),
        None => format!("{bytes} B"),
    }
}
