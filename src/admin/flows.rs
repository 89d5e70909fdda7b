//! Statistics of flows as JSON. They contain text of the events, so they are for operators only.

use std::sync::Arc;

use axum::Json;
use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use url::form_urlencoded;

use super::Admin;
use super::operations::failure;
use crate::interactions::FlowReport;
use crate::spool::Millis;

pub(super) async fn flows(State(admin): State<Arc<Admin>>, RawQuery(query): RawQuery) -> Response {
    let since = match since(query.as_deref().unwrap_or_default()) {
        Ok(since) => since,
        Err(message) => return failure(StatusCode::BAD_REQUEST, &message),
    };
    let report = match &admin.analytics {
        Some(analytics) => analytics.report(since),
        None => FlowReport::default(),
    };
    Json(report).into_response()
}

/// Reads the start, in ms since the Unix epoch; 0 for all hours that are kept.
fn since(query: &str) -> Result<Millis, String> {
    let mut since = 0;
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let number = value.parse().ok().filter(|number| *number >= 0);
        since = match (&*name, number) {
            ("since", Some(number)) => number,
            ("since", None) => {
                return Err("since has to be a number of ms since the Unix epoch".to_owned());
            }
            _ => return Err(format!("unknown parameter {name:?}; known is since")),
        };
    }
    Ok(since)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_read_from_the_query() {
        assert_eq!(since(""), Ok(0));
        assert_eq!(since("since=1795440937500"), Ok(1_795_440_937_500));
        for (query, word) in [("since=-1", "since"), ("since=x", "since"), ("from=1", "\"from\"")] {
            assert!(since(query).is_err_and(|message| message.contains(word)), "{query}");
        }
    }
}
