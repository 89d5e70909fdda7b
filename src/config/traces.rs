//! `[traces]`: where the service's own spans go, over OTLP/HTTP.

use super::section::Section;
use super::sink::{
    Authorization, Client, Compression, Header, read_authorization, read_client, read_headers,
};

/// Traces.
#[derive(Debug, Clone)]
pub struct Traces {
    /// The collector, and how it is reached. `/v1/traces` is not in the URL yet.
    pub client: Client,
    /// Headers of every request.
    pub headers: Vec<Header>,
    /// Who we say that we are.
    pub authorization: Authorization,
    /// How many of all traces are kept, from 0 to 1.
    pub ratio: f64,
}

/// Why they are refused by a build that cannot export them.
const NO_FEATURE: &str = "cannot be exported: this build was made without the feature otlp. The container image \
                          has it; otherwise build with --features otlp, or leave the table out";

pub(super) fn read(root: &mut Section<'_>) -> Option<Traces> {
    let mut section = root.table_if_given("traces")?;
    let compressions = [("none", Compression::None), ("gzip", Compression::Gzip)];
    let collector = "http://localhost:4318";
    let traces = Traces {
        client: read_client(&mut section, "endpoint", collector, &compressions, Compression::None),
        headers: read_headers(&mut section),
        authorization: read_authorization(&mut section, "bearer", "Bearer"),
        ratio: section.fraction("ratio").unwrap_or(1.0),
    };
    section.finish();
    if cfg!(not(feature = "otlp")) {
        root.report("traces", NO_FEATURE.to_owned());
    }
    Some(traces)
}
