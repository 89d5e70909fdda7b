//! `[traces]`: collector of the service's own spans, over OTLP/HTTP.

use crate::http_client::{Authorization, HeaderConfig, HttpClientConfig, NONE_OR_GZIP};
use crate::settings::Section;

/// Export of traces.
#[derive(Debug, Clone)]
pub struct TracesConfig {
    /// Connection to the collector. Its URL does not hold `/v1/traces` yet.
    pub client: HttpClientConfig,
    /// Headers of every request.
    pub headers: Vec<HeaderConfig>,
    pub authorization: Authorization,
    /// Share of all traces that are kept, from 0 to 1.
    pub ratio: f64,
}

/// Message of a build that cannot export traces.
const NO_FEATURE: &str = "cannot be exported: this build was made without the feature otlp. The container image \
                          has it; otherwise build with --features otlp, or leave the table out";

impl TracesConfig {
    /// Reads `[traces]`, if the table is there.
    pub(crate) fn read(root: &mut Section<'_>) -> Option<Option<TracesConfig>> {
        let is_given = root.is_given("traces");
        let traces = root.optional_table("traces", "Export of traces over OTLP/HTTP.", |section| {
            let example = "http://localhost:4318";
            let client =
                HttpClientConfig::read(section, "endpoint", example, &NONE_OR_GZIP, "none");
            let headers = HeaderConfig::read_all(section);
            let authorization = Authorization::read(section, "bearer", "Bearer");
            let doc = "Share of all requests and deliveries that are traced.";
            let ratio = section.fraction("ratio", doc).or("1");
            Some(TracesConfig {
                client: client?,
                headers: headers?,
                authorization: authorization?,
                ratio: ratio?,
            })
        });
        if is_given && cfg!(not(feature = "otlp")) {
            root.report("traces", NO_FEATURE);
        }
        traces
    }
}
