//! Rates of sources and sinks, from two documents of the status.

use std::collections::HashMap;

use serde::Serialize;
use serde_json::Value;
use tokio::time::Instant;

/// State of the service, with rates in events per second.
#[derive(Debug, Default, Serialize)]
pub(super) struct TopReport {
    pub(super) version: String,
    pub(super) spool_bytes: u64,
    pub(super) spool_max_bytes: u64,
    /// Entries in quarantine.
    pub(super) quarantined: u64,
    pub(super) sources: Vec<SourceRates>,
    pub(super) sinks: Vec<SinkRates>,
}

/// Rates of a source, in events per second.
#[derive(Debug, Serialize)]
pub(super) struct SourceRates {
    pub(super) source: String,
    pub(super) accepted: f64,
    pub(super) duplicates: f64,
    pub(super) quarantined: f64,
    /// `receiving`, `blocked`, or the time since the last request.
    pub(super) state: String,
}

/// Rates of a sink, in events per second.
#[derive(Debug, Serialize)]
pub(super) struct SinkRates {
    pub(super) sink: String,
    pub(super) delivered: f64,
    pub(super) dead_lettered: f64,
    /// Events that the sink has not committed; `null` if the spool cannot be read.
    pub(super) lag: Option<u64>,
    /// State, with the reason of a failure.
    pub(super) state: String,
}

/// Totals of the previous document.
#[derive(Debug, Default)]
pub(super) struct Rates {
    totals: HashMap<(String, String), u64>,
    at: Option<Instant>,
}

impl Rates {
    /// Returns the state in a document, with the rates since the previous one; they are 0 in the first.
    pub(super) fn update(&mut self, status: &Value, now: Instant) -> TopReport {
        let seconds = self.at.map(|at| (now - at).as_secs_f64()).filter(|seconds| *seconds > 0.0);
        let totals: HashMap<(String, String), u64> = list(&status["spool"]["totals"])
            .map(|total| ((text(&total[0]), text(&total[1])), total[2].as_u64().unwrap_or(0)))
            .collect();
        let before = std::mem::replace(&mut self.totals, totals);
        self.at = Some(now);
        let rate = |name: &str, disposition: &str| {
            let key = (name.to_owned(), disposition.to_owned());
            let of = |totals: &HashMap<_, u64>| totals.get(&key).copied().unwrap_or(0);
            let count = of(&self.totals).saturating_sub(of(&before));
            seconds.map_or(0.0, |seconds| count as f64 / seconds)
        };
        let number = |key: &str| status["spool"][key].as_u64().unwrap_or(0);
        TopReport {
            version: text(&status["version"]),
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
        let first = rates.update(&status(1000, 0), start);
        assert_eq!((first.sinks[0].delivered, first.sources[0].accepted), (0.0, 0.0));
        let second = rates.update(&status(1500, 7_260_000), start + Duration::from_secs(2));
        assert_eq!((second.sinks[0].delivered, second.sources[0].accepted), (250.0, 250.0));
        assert_eq!(
            (second.sinks[0].lag, second.sinks[0].state.as_str()),
            (Some(7), "paused: token")
        );
        assert_eq!(second.sources[0].state, "silent for 2h 1m");
        // A restored spool has lower totals.
        let third = rates.update(&status(10, 0), start + Duration::from_secs(3));
        assert_eq!(third.sinks[0].delivered, 0.0);
    }
}
