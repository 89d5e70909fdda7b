//! Exports spans in batches from a task of its own. Logs the first failure of a series only.

use std::time::Duration;

use http::HeaderMap;
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::transform::common::tonic::ResourceAttributesWithSchema;
use opentelemetry_proto::transform::trace::tonic::group_spans_by_resource_and_scope;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SpanData;
use prometheus::IntCounter;
use prost::Message;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};
use url::Url;

use super::TracesConfig;
use crate::http_client::{self, Answer, HttpClient, RequestError, advice, below};
use crate::shutdown::{self, Shutdown, Trigger};

/// Maximum number of spans in one request.
const MAX_BATCH_SPANS: usize = 512;

/// Maximum time that a span waits for a batch to fill.
const MAX_BATCH_WAIT: Duration = Duration::from_secs(1);

/// Path of the OTLP traces endpoint, appended to the configured URL.
const TRACES_PATH: &str = "/v1/traces";

/// Number of doublings of the backoff between attempts, up to 64 seconds.
const MAX_BACKOFF_DOUBLINGS: u32 = 6;

/// Handle of the running export task.
#[derive(Debug)]
pub(crate) struct ExportTask {
    task: JoinHandle<()>,
    end: Trigger,
}

struct Exporter {
    settings: TracesConfig,
    url: Url,
    resource: ResourceAttributesWithSchema,
    /// Recreated after each failure, so that changed secrets and certificates are read again.
    requests: Option<HttpClient>,
    is_failing: bool,
    exported: IntCounter,
    dropped: IntCounter,
}

/// Failed export of a batch of spans.
struct ExportError {
    message: String,
    /// Minimum wait before the batch may be sent again; `None` if it must not be sent again.
    retry_after: Option<Duration>,
}

/// Starts the export of the spans from the queue.
pub(super) fn start(
    settings: TracesConfig,
    resource: &Resource,
    ended: mpsc::Receiver<SpanData>,
    exported: IntCounter,
    dropped: IntCounter,
) -> ExportTask {
    let (end, ending) = shutdown::channel();
    let exporter = Exporter {
        url: url(&settings.client.url),
        settings,
        resource: resource.into(),
        requests: None,
        is_failing: false,
        exported,
        dropped,
    };
    ExportTask { task: tokio::spawn(exporter.run(ended, ending)), end }
}

/// Returns the URL of the traces endpoint: the path is appended to the configured endpoint, as OTLP
/// defines, unless it is already there.
fn url(endpoint: &Url) -> Url {
    match endpoint.path().trim_end_matches('/').ends_with(TRACES_PATH) {
        true => endpoint.clone(),
        false => below(endpoint, TRACES_PATH),
    }
}

impl ExportTask {
    /// Exports the remaining spans with one attempt, within the time limit.
    pub(crate) async fn finish(mut self, within: Duration) {
        self.end.begin();
        if timeout(within, &mut self.task).await.is_err() {
            self.task.abort();
            tracing::warn!("the last spans were not exported: the collector took too long");
        }
    }
}

impl Exporter {
    async fn run(mut self, mut ended: mpsc::Receiver<SpanData>, mut end: Shutdown) {
        loop {
            let spans = gather(&mut ended, &mut end).await;
            if spans.is_empty() {
                return;
            }
            self.send(spans, &mut end).await;
        }
    }

    async fn send(&mut self, spans: Vec<SpanData>, end: &mut Shutdown) {
        let count = spans.len() as u64;
        let resource_spans = group_spans_by_resource_and_scope(spans, &self.resource);
        let body = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
        for attempt in 0.. {
            let is_last = end.has_begun();
            let ExportError { message, retry_after } = match self.attempt(body.clone()).await {
                Ok(rejected) => return self.taken(count, rejected),
                Err(error) => error,
            };
            self.requests = None;
            if !std::mem::replace(&mut self.is_failing, true) {
                tracing::warn!(
                    reason = message,
                    "spans are not exported; nothing else depends on it"
                );
            }
            let Some(requested) = retry_after.filter(|_| !is_last) else {
                return self.dropped.inc_by(count);
            };
            let bound = Duration::from_secs(1 << MAX_BACKOFF_DOUBLINGS.min(attempt));
            let wait = bound.mul_f64(rand::random()).max(requested);
            tokio::select! {
                () = sleep(wait.min(Duration::from_secs(1 << MAX_BACKOFF_DOUBLINGS))) => {}
                () = end.begun() => {}
            }
        }
    }

    /// Sends one request. Returns the number of spans that the collector rejected.
    async fn attempt(&mut self, body: Vec<u8>) -> Result<u64, ExportError> {
        let repeat = |error: RequestError| ExportError {
            message: error.message,
            retry_after: Some(Duration::ZERO),
        };
        let requests = match &self.requests {
            Some(requests) => requests,
            None => self.requests.insert(open(&self.settings).map_err(repeat)?),
        };
        let posted = requests.post(&self.url, "application/x-protobuf", HeaderMap::new(), body);
        let answer = posted.await.map_err(repeat)?;
        match answer.status {
            200..=299 => Ok(rejected(&answer)),
            // OTLP forbids a retry after any other status.
            429 | 502..=504 => {
                let message = format!("the collector answers {}", answer.status);
                let retry_after = Some(answer.retry_after.unwrap_or_default());
                Err(ExportError { message, retry_after })
            }
            status => {
                let message = format!("the collector answers {status}: {}", advice(status));
                Err(ExportError { message, retry_after: None })
            }
        }
    }

    fn taken(&mut self, count: u64, rejected: u64) {
        let rejected = rejected.min(count);
        self.exported.inc_by(count - rejected);
        self.dropped.inc_by(rejected);
        if std::mem::replace(&mut self.is_failing, false) {
            tracing::info!("spans are exported again");
        }
    }
}

fn open(settings: &TracesConfig) -> Result<HttpClient, RequestError> {
    let headers = http_client::headers(&settings.headers, &settings.authorization)?;
    HttpClient::open(&settings.client, headers)
}

/// Returns the number of spans that a collector rejected in a 200 (partial success). Any other body
/// means 0.
fn rejected(answer: &Answer) -> u64 {
    let response = ExportTraceServiceResponse::decode(&*answer.body).unwrap_or_default();
    response.partial_success.map_or(0, |part| part.rejected_spans.try_into().unwrap_or(0))
}

/// Collects a batch of spans. Returns an empty batch after shutdown, when the queue is empty.
async fn gather(ended: &mut mpsc::Receiver<SpanData>, end: &mut Shutdown) -> Vec<SpanData> {
    let mut spans = Vec::with_capacity(MAX_BATCH_SPANS);
    let due = sleep(MAX_BATCH_WAIT);
    tokio::pin!(due);
    loop {
        let room = MAX_BATCH_SPANS - spans.len();
        tokio::select! {
            taken = ended.recv_many(&mut spans, room) => {
                if taken == 0 || taken == room {
                    return spans;
                }
            }
            () = &mut due, if !spans.is_empty() => return spans,
            () = end.begun(), if !ended.is_closed() => ended.close(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocols_path_is_appended_to_the_endpoint() {
        for (endpoint, sent_to) in [
            ("http://collector:4318", "http://collector:4318/v1/traces"),
            ("http://collector:4318/", "http://collector:4318/v1/traces"),
            ("https://example.com/otlp", "https://example.com/otlp/v1/traces"),
            ("https://example.com/otlp/", "https://example.com/otlp/v1/traces"),
            ("https://example.com/otlp/v1/traces", "https://example.com/otlp/v1/traces"),
        ] {
            assert_eq!(url(&endpoint.parse().expect("a URL")).as_str(), sent_to, "{endpoint}");
        }
    }
}
