//! Reads lists of whole numbers.

use std::ops::RangeInclusive;

use serde_json::json;

use super::{Reading, Section, wrong_type};
use crate::settings::node::Value;

impl<'p> Section<'p> {
    /// Reads a list of whole numbers within bounds. In a variable, commas separate them.
    pub(crate) fn integers<'s>(
        &'s mut self,
        key: &str,
        bounds: RangeInclusive<u64>,
        doc: &str,
    ) -> Reading<'s, 'p, Vec<u64>> {
        let (least, most) = (*bounds.start(), *bounds.end());
        let item = json!({ "type": "integer", "minimum": least, "maximum": most });
        let schema = || json!({ "type": "array", "items": item });
        self.reading(key, doc, schema, move |node| {
            let wanted = format!("a list of whole numbers from {least} to {most}");
            let number = |value: &Value| match value {
                Value::Integer(number) => u64::try_from(*number).ok(),
                _ => None,
            };
            let numbers: Option<Vec<u64>> = match &node.value {
                Value::List(items) => items.iter().map(|item| number(&item.value)).collect(),
                Value::Variable(text) => {
                    text.split(',').map(|item| item.trim().parse().ok()).collect()
                }
                _ => None,
            };
            let numbers = numbers.ok_or_else(|| vec![wrong_type(&wanted, &node.value)])?;
            match numbers.iter().find(|number| !bounds.contains(number)) {
                Some(number) => Err(vec![format!("must be {wanted}, and holds {number}")]),
                None => Ok(numbers),
            }
        })
    }
}
