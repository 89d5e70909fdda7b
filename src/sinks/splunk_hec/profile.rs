//! Profiles: the defaults of Splunk, and of other collectors with its protocol. A key of the configuration wins over
//! the value of its profile.
//!
//! docs/sinks/hec-profiles.md names the source of each value, and what could not be verified.

use crate::sinks::BatchDefaults;

/// Defaults for one collector.
#[derive(Debug, PartialEq, Eq)]
pub struct HecProfile {
    /// Endpoint for messages.
    pub(super) example: &'static str,
    /// Path of the requests with events, after that of the endpoint; empty: the endpoint is complete.
    pub(super) path: &'static str,
    /// Parameters without which the endpoint's query is incomplete.
    pub(super) query: &'static [&'static str],
    /// Scheme of the token in `Authorization`.
    pub(super) scheme: &'static str,
    /// False if a sourcetype would choose a parser, which the operator has chosen at the collector.
    pub(super) has_sourcetype: bool,
    pub(super) answers: Answers,
    pub(super) batch: BatchDefaults,
}

/// Part of an answer that decides about the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answers {
    /// Splunk's codes, with the number of an invalid event.
    Codes,
    /// The status.
    Statuses,
    /// The status, and a body: the collector documents one.
    StatusesWithBody,
}

/// Splunk Enterprise and Splunk Cloud, which refuses bodies of more than about 5 MiB.
pub(super) const SPLUNK: HecProfile = HecProfile {
    example: "https://splunk.example.com:8088",
    path: "/services/collector/event",
    query: &[],
    scheme: "Splunk",
    has_sourcetype: true,
    answers: Answers::Codes,
    batch: BatchDefaults { events: "1000", bytes: "1 MiB" },
};

/// Falcon LogScale.
const LOGSCALE: HecProfile = HecProfile {
    example: "https://cloud.community.humio.com",
    path: "/api/v1/ingest/hec",
    scheme: "Bearer",
    has_sourcetype: false,
    answers: Answers::Statuses,
    batch: BatchDefaults { events: "2000", bytes: "4 MiB" },
    ..SPLUNK
};

/// HEC connector of CrowdStrike Next-Gen SIEM, whose URL is complete.
const CROWDSTRIKE_NGSIEM: HecProfile = HecProfile {
    example: "https://example.ingest.us-1.crowdstrike.com/services/collector",
    path: "",
    ..LOGSCALE
};

/// Splunk HEC source of Cribl Stream.
const CRIBL: HecProfile =
    HecProfile { example: "https://cribl.example.com:8088", answers: Answers::Statuses, ..SPLUNK };

/// HLC endpoint of Amazon CloudWatch Logs.
const CLOUDWATCH: HecProfile = HecProfile {
    example: "https://logs.eu-central-1.amazonaws.com/?logGroup=pingone&logStream=davinci",
    query: &["logGroup", "logStream"],
    scheme: "Bearer",
    answers: Answers::StatusesWithBody,
    batch: BatchDefaults { events: "1000", bytes: "900 kB" },
    ..SPLUNK
};

/// All profiles, by their names in the configuration.
pub(super) const PROFILES: [(&str, &HecProfile); 5] = [
    ("splunk", &SPLUNK),
    ("logscale", &LOGSCALE),
    ("crowdstrike_ngsiem", &CROWDSTRIKE_NGSIEM),
    ("cribl", &CRIBL),
    ("cloudwatch", &CLOUDWATCH),
];
