//! One page of a list of PingOne's API.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use url::Url;
use url::form_urlencoded::Serializer;

/// Elements of one page, and the query of the next page.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) elements: Vec<Box<RawValue>>,
    /// Query of the next page. PingOne names a next page also on the last one, which is then empty.
    pub(crate) next: Option<String>,
}

#[derive(Deserialize, Default)]
struct PageDocument {
    #[serde(default, rename = "_embedded")]
    embedded: HashMap<String, Box<RawValue>>,
    #[serde(default, rename = "_links")]
    links: HashMap<String, Box<RawValue>>,
}

#[derive(Deserialize)]
struct Link {
    href: String,
}

impl Page {
    /// Reads the page of the list `name`. `None` if the document is no page.
    ///
    /// Of the next page's link only the query is used: some links of PingOne have a wrong path, and none may lead the
    /// token to another host.
    pub(super) fn read(body: &[u8], name: &str) -> Option<Page> {
        // An array would pass for a document without fields.
        let body = Some(body.trim_ascii_start()).filter(|body| body.starts_with(b"{"))?;
        let PageDocument { embedded, links } = serde_json::from_slice(body).ok()?;
        let elements = match embedded.get(name) {
            Some(list) => serde_json::from_str(list.get()).ok()?,
            // PingOne may leave an empty list out. A document with nothing or with another list is no page: taken for
            // an empty one, it would end the list in silence.
            None if embedded.is_empty() && !links.is_empty() => Vec::new(),
            None => return None,
        };
        let next = links.get("next").and_then(|link| serde_json::from_str(link.get()).ok());
        let next = next.and_then(|Link { href }| query_of(&href));
        Some(Page { elements, next })
    }
}

fn query_of(href: &str) -> Option<String> {
    let base: Url = "https://localhost/".parse().ok()?;
    let url = base.join(href).ok()?;
    url.query().map(str::to_owned)
}

/// Encodes a query. A blank is `%20`, because not every parser of a path takes `+` for one.
pub(crate) fn encoded(pairs: &[(&str, &str)]) -> String {
    let mut query = Serializer::new(String::new());
    query.extend_pairs(pairs);
    query.finish().replace('+', "%20")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: &str) -> Option<(usize, Option<String>)> {
        Page::read(body.as_bytes(), "activities").map(|page| (page.elements.len(), page.next))
    }

    #[test]
    fn a_page_has_elements_and_the_query_of_the_next_one() {
        let cursor = || Some("cursor=a%2Bb&limit=5".to_owned());
        for (body, expected) in [
            ("{}", None),
            (r#"{"code":"INVALID","message":"an error with 200"}"#, None),
            (r#"{"_links":{"self":{"href":"https://api.example/x"}}}"#, Some((0, None))),
            (r#"{"_embedded":{"activities":[{"id":"a"},7]}}"#, Some((2, None))),
            (r#"{"_links":{"self":{}},"_embedded":{"flows":[1]},"size":0}"#, None),
            (
                r#"{"_links":{"next":{"href":"https://elsewhere.example/x?cursor=a%2Bb&limit=5"}}}"#,
                Some((0, cursor())),
            ),
            (
                r#"{"_links":{"next":{"href":"/v1/x?cursor=a%2Bb&limit=5"},"self":"odd"}}"#,
                Some((0, cursor())),
            ),
            (r#"{"_links":{"next":{"href":"https://api.example/x"}}}"#, Some((0, None))),
            (r#"{"_embedded":{"activities":{}}}"#, None),
            ("[]", None),
            ("<html>", None),
        ] {
            assert_eq!(read(body), expected, "{body}");
        }
    }

    #[test]
    fn a_query_has_no_plus_for_a_blank() {
        let query = encoded(&[("filter", "a gt \"x+y\""), ("limit", "5")]);
        assert_eq!(query, "filter=a%20gt%20%22x%2By%22&limit=5");
    }
}
