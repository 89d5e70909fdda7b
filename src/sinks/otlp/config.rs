//! Settings of `type = "otlp"`: a receiver of OTLP logs over HTTP.

use crate::http_client::{Authorization, HeaderConfig, HttpClientConfig, NONE_OR_GZIP};
use crate::settings::Section;

/// `type = "otlp"`.
#[derive(Debug, Clone)]
pub struct OtlpSinkConfig {
    /// Connection. Its URL does not hold `/v1/logs` yet, unless the operator wrote it.
    pub client: HttpClientConfig,
    /// Headers of every request.
    pub headers: Vec<HeaderConfig>,
    pub authorization: Authorization,
}

pub(super) fn read(section: &mut Section<'_>) -> Option<OtlpSinkConfig> {
    let example = "https://otel.example.com:4318";
    let client = HttpClientConfig::read(section, "endpoint", example, &NONE_OR_GZIP, "gzip");
    let headers = HeaderConfig::read_all(section);
    let authorization = Authorization::read(section, "bearer", "Bearer");
    Some(OtlpSinkConfig { client: client?, headers: headers?, authorization: authorization? })
}
