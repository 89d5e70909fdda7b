//! Rates of sources and sinks, from two documents of the status.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

/// State of the service, with rates in events per second.
#[derive(Debug, Default, Serialize)]
pub(super) struct TopReport {
    pub(super) version: String,
    /// Reason why the spool cannot be read. Its numbers and all rates are unknown then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) spool_error: Option<String>,
    pub(super) spool_bytes: Option<u64>,
    pub(super) spool_max_bytes: Option<u64>,
    /// Entries in quarantine.
    pub(super) quarantined: Option<u64>,
    pub(super) sources: Vec<SourceRates>,
    pub(super) sinks: Vec<SinkRates>,
}

/// Rates of a source, in events per second; `null` if they are unknown.
#[derive(Debug, Serialize)]
pub(super) struct SourceRates {
    pub(super) source: String,
    pub(super) accepted: Option<f64>,
    pub(super) duplicates: Option<f64>,
    pub(super) quarantined: Option<f64>,
    /// `receiving`, `blocked`, or the time since the last request.
    pub(super) state: String,
}

/// Rates of a sink, in events per second; `null` if they are unknown.
#[derive(Debug, Serialize)]
pub(super) struct SinkRates {
    pub(super) sink: String,
    pub(super) delivered: Option<f64>,
    pub(super) dead_lettered: Option<f64>,
    /// Events that the sink has not committed; `null` if the spool cannot be read.
    pub(super) lag: Option<u64>,
    /// State, with the reason of a failure.
    pub(super) state: String,
}

/// Totals of the last document that had any, and its time.
#[derive(Debug, Default)]
pub(super) struct Rates(Option<(Totals, Instant)>);

/// Totals by name of the source or sink, and disposition.
type Totals = HashMap<(String, String), u64>;

impl Rates {
    /// Returns the state in a document, with the rates since the previous document with totals. They are unknown in the
    /// first one, and while the spool cannot be read.
    pub(super) fn update(&mut self, status: &Value, now: Instant) -> TopReport {
        let totals: Option<Totals> = status["spool"]["totals"].as_array().map(|totals| {
            let totals = totals.iter();
            totals
                .map(|total| ((text(&total[0]), text(&total[1])), total[2].as_u64().unwrap_or(0)))
                .collect()
        });
        let period = match (&totals, &self.0) {
            (Some(totals), Some((before, at))) => {
                Some((totals.clone(), before.clone(), (now - *at).as_secs_f64()))
            }
            _ => None,
        };
        let rate = |name: &str, disposition: &str| {
            let (totals, before, seconds) = period.as_ref().filter(|(.., it)| *it > 0.0)?;
            let key = (name.to_owned(), disposition.to_owned());
            let of = |totals: &Totals| totals.get(&key).copied().unwrap_or(0);
            Some(of(totals).saturating_sub(of(before)) as f64 / seconds)
        };
        if let Some(totals) = totals {
            self.0 = Some((totals, now));
        }
        let number = |key: &str| status["spool"][key].as_u64();
        TopReport {
            version: text(&status["version"]),
            spool_error: status["spool_error"].as_str().map(str::to_owned),
            spool_bytes: number("size"),
            spool_max_bytes: number("max_size"),
            quarantined: number("quarantined"),
            sources: list(&status["sources"])
                .map(|source| {
                    let name = text(&source["source"]);
                    SourceRates {
                        accepted: rate(&name, "accepted"),
                        duplicates: rate(&name, "duplicate"),
                        quarantined: rate(&name, "quarantined"),
                        state: source_state(source),
                        source: name,
                    }
                })
                .collect(),
            sinks: list(&status["sinks"])
                .map(|sink| {
                    let name = text(&sink["sink"]);
                    SinkRates {
                        delivered: rate(&name, "delivered"),
                        dead_lettered: rate(&name, "dead_lettered"),
                        lag: sink["lag"].as_u64(),
                        state: match sink["reason"].as_str() {
                            Some(reason) => format!("{}: {reason}", text(&sink["state"])),
                            None => text(&sink["state"]),
                        },
                        sink: name,
                    }
                })
                .collect(),
        }
    }
}

fn source_state(source: &Value) -> String {
    let silent = source["silent_millis"].as_u64().unwrap_or(0) / 1000;
    match (source["blocked_since"].is_null(), source["last_heard"].is_null()) {
        (false, _) => "blocked".to_owned(),
        (true, true) => "no request yet".to_owned(),
        (true, false) if silent < 60 => "receiving".to_owned(),
        (true, false) => {
            let silent = std::time::Duration::from_secs(silent - silent % 60);
            format!("silent for {}", humantime::format_duration(silent))
        }
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::json;

    use super::*;

    #[test]
    fn rates_are_counted_between_two_documents() {
        let status = |delivered: u64, silent: u64| {
            json!({
                "version": "1", "spool": { "size": 5, "max_size": 10, "quarantined": 2, "totals": [
                    ["pingone", "accepted", delivered], ["siem", "delivered", delivered],
                ]},
                "sinks": [{ "sink": "siem", "lag": 7, "state": "paused", "reason": "token" }],
                "sources": [{ "source": "pingone", "last_heard": 1, "silent_millis": silent }],
            })
        };
        let (mut rates, start) = (Rates::default(), Instant::now());
        let of = |report: &TopReport| (report.sinks[0].delivered, report.sources[0].accepted);
        let first = rates.update(&status(1000, 0), start);
        assert_eq!(of(&first), (None, None));
        let second = rates.update(&status(1500, 7_260_000), start + Duration::from_secs(2));
        assert_eq!(of(&second), (Some(250.0), Some(250.0)));
        assert_eq!(
            (second.sinks[0].lag, second.sinks[0].state.as_str()),
            (Some(7), "paused: token")
        );
        assert_eq!(second.sources[0].state, "silent for 2h 1m");
        // A restored spool has lower totals.
        let third = rates.update(&status(10, 0), start + Duration::from_secs(3));
        assert_eq!(third.sinks[0].delivered, Some(0.0));
        let mut unreadable = status(0, 0);
        (unreadable["spool"], unreadable["spool_error"]) = (Value::Null, "no answer".into());
        let fourth = rates.update(&unreadable, start + Duration::from_secs(4));
        assert_eq!(of(&fourth), (None, None));
        assert_eq!((fourth.spool_bytes, fourth.quarantined), (None, None));
        assert_eq!(fourth.spool_error.as_deref(), Some("no answer"));
        let fifth = rates.update(&status(110, 0), start + Duration::from_secs(8));
        assert_eq!(of(&fifth), (Some(20.0), Some(20.0)), "since the last known totals");
    }
}
