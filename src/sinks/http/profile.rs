//! Profiles: the defaults of one receiver each. A key of the configuration wins over the value of its profile.
//!
//! docs/sinks/http-profiles.md names the source of each value, and what could not be verified.

use crate::sinks::BatchDefaults;

/// Defaults for one receiver.
#[derive(Debug, PartialEq, Eq)]
pub struct HttpProfile {
    /// Path of a URL that has none.
    pub(super) path: &'static str,
    /// True if the URL alone lets a sender in, so that it may only come from a file or a variable.
    pub(super) is_url_secret: bool,
    /// `body`, as the file would write it.
    pub(super) body: &'static str,
    /// Content type of events in JSON; without one, that of the body.
    pub(super) content_type: Option<&'static str>,
    /// Envelope of one event.
    pub(super) envelope: Envelope,
    /// `compression`, as the file would write it.
    pub(super) compression: &'static str,
    /// Statuses that mean success; empty: every 2xx.
    pub(super) success: &'static [u64],
    /// Credential without which the receiver refuses every request.
    pub(super) credential: Option<&'static str>,
    /// Header of `api_key`.
    pub(super) api_key_header: &'static str,
    pub(super) batch: BatchDefaults,
}

/// Bytes around the line of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Envelope {
    /// None: the line itself.
    Plain,
    /// A log of New Relic's detailed JSON, with the line as its message.
    NewRelic,
    /// An event of Cribl, with the line as `_raw`.
    Cribl,
}

/// Any receiver.
pub(super) const GENERIC: HttpProfile = HttpProfile {
    path: "",
    is_url_secret: false,
    body: "array",
    content_type: None,
    envelope: Envelope::Plain,
    compression: "none",
    success: &[],
    credential: None,
    api_key_header: "Authorization",
    batch: BatchDefaults { events: "100", bytes: "1 MiB" },
};

/// HTTP log collector of Cortex XSIAM. It expects every body compressed or none, and small ones are never compressed.
const XSIAM: HttpProfile = HttpProfile {
    path: "/logs/v1/event",
    body: "ndjson",
    content_type: Some("application/json"),
    success: &[200],
    credential: Some("api_key"),
    batch: BatchDefaults { events: "2000", bytes: "4 MB" },
    ..GENERIC
};

/// HTTP source of a hosted collector of Sumo Logic.
const SUMO: HttpProfile = HttpProfile {
    is_url_secret: true,
    body: "lines",
    compression: "gzip",
    success: &[200],
    batch: BatchDefaults { events: "1000", bytes: "900 kB" },
    ..GENERIC
};

/// Log API of New Relic.
const NEW_RELIC: HttpProfile = HttpProfile {
    path: "/log/v1",
    envelope: Envelope::NewRelic,
    compression: "gzip",
    success: &[202],
    credential: Some("api_key"),
    api_key_header: "Api-Key",
    batch: BatchDefaults { events: "1000", bytes: "900 kB" },
    ..GENERIC
};

/// Webhook cloud collector of Exabeam, for JSON.
const EXABEAM: HttpProfile = HttpProfile {
    path: "/cloud-collectors/v1/logs/json",
    compression: "gzip",
    credential: Some("bearer"),
    batch: BatchDefaults { events: "2000", bytes: "4 MB" },
    ..GENERIC
};

/// HTTP source of Panther, which accepts 1 MB with all headers.
const PANTHER: HttpProfile =
    HttpProfile { batch: BatchDefaults { events: "1000", bytes: "900 kB" }, ..GENERIC };

/// HTTP event receiver of Securonix.
const SECURONIX: HttpProfile = HttpProfile {
    body: "single",
    credential: Some("api_key"),
    api_key_header: "X-API-Key",
    ..GENERIC
};

/// HTTP Receiver protocol of QRadar, which makes one event of a body unless it knows a message pattern.
const QRADAR_HTTP: HttpProfile = HttpProfile { body: "single", ..GENERIC };

/// Webhook feed of Google SecOps, which accepts 4 MB.
const SECOPS_WEBHOOK: HttpProfile = HttpProfile {
    body: "ndjson",
    content_type: Some("application/json"),
    success: &[200],
    credential: Some("api_key"),
    api_key_header: "X-goog-api-key",
    batch: BatchDefaults { events: "1000", bytes: "3 MB" },
    ..GENERIC
};

/// HTTP source of Cribl Stream, with its own bulk API.
const CRIBL: HttpProfile = HttpProfile {
    path: "/cribl/_bulk",
    body: "ndjson",
    envelope: Envelope::Cribl,
    compression: "gzip",
    batch: BatchDefaults { events: "1000", bytes: "1 MiB" },
    ..GENERIC
};

/// All profiles, by their names in the configuration.
pub(super) const PROFILES: [(&str, &HttpProfile); 9] = [
    ("xsiam", &XSIAM),
    ("sumo", &SUMO),
    ("new_relic", &NEW_RELIC),
    ("exabeam", &EXABEAM),
    ("panther", &PANTHER),
    ("securonix", &SECURONIX),
    ("qradar_http", &QRADAR_HTTP),
    ("secops_webhook", &SECOPS_WEBHOOK),
    ("cribl", &CRIBL),
];
