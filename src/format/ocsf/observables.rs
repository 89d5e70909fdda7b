//! Observables: values that analysts can search in every class.

use super::layout::field;
use crate::format::document::Document;
use crate::json::write_string;

/// Number and caption of a type of observables.
pub(super) type ObservableType = (u8, &'static str);

pub(super) const IP_ADDRESS: ObservableType = (2, "IP Address");
pub(super) const USER_NAME: ObservableType = (4, "User Name");

/// The observables of one event, as JSON without the brackets around them.
#[derive(Debug, Default)]
pub(super) struct Observables(Vec<u8>);

impl Observables {
    /// Adds the value of a field.
    pub(super) fn add(&mut self, name: &str, (type_id, caption): ObservableType, value: &str) {
        if value.is_empty() {
            return;
        }
        let Observables(out) = self;
        let separator = if out.is_empty() { "" } else { "," };
        let head = format!(
            "{separator}{{\"name\":\"{name}\",\"type\":\"{caption}\",\"type_id\":{type_id},\"value\":"
        );
        out.extend_from_slice(head.as_bytes());
        write_string(out, value);
        out.push(b'}');
    }

    /// Sets the field, if there are observables.
    pub(super) fn finish(self, document: &mut Document) {
        if !self.0.is_empty() {
            document.write(const { field("observables") }, |out| {
                out.push(b'[');
                out.extend_from_slice(&self.0);
                out.push(b']');
            });
        }
    }
}
