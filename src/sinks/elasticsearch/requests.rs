//! Requests to the target: with a fixed credential, or signed for Amazon OpenSearch Service.
//! <https://docs.aws.amazon.com/opensearch-service/latest/developerguide/request-signing.html>

use http::HeaderMap;
use http::header::AUTHORIZATION;
use url::Url;

use super::config::ElasticsearchSinkConfig;
use crate::aws::AwsSigner;
use crate::http_client::{Answer, HttpClient, authorization};
use crate::sinks::{Reason, Verdict};

/// Name of Amazon OpenSearch Service in signatures.
const SERVICE: &str = "es";

/// Client of the target.
#[derive(Debug)]
pub(super) struct BulkClient {
    http: HttpClient,
    signer: Option<AwsSigner>,
}

impl BulkClient {
    /// Creates a client, and reads its credentials again. Opens no connection.
    pub(super) fn open(settings: &ElasticsearchSinkConfig) -> Result<BulkClient, Reason> {
        let mut headers = HeaderMap::new();
        if let Some(value) = authorization(&settings.authorization)? {
            headers.insert(AUTHORIZATION, value);
        }
        let signer = settings.aws.as_ref();
        let signer =
            signer.map(|aws| AwsSigner::open(aws, SERVICE, &settings.client)).transpose()?;
        Ok(BulkClient { http: HttpClient::open(&settings.client, headers)?, signer })
    }

    /// Sends a GET request; a second time with other credentials, if AWS refuses those of a role.
    pub(super) async fn get(&self, url: &Url) -> Result<Answer, Verdict> {
        let Some(signer) = &self.signer else { return Ok(self.http.get(url).await?) };
        let headers = signer.sign("GET", url, &HeaderMap::new(), b"").await?;
        let mut answer = self.http.get_with(url, headers).await?;
        if answer.status == 403 && signer.has_role() {
            signer.forget().await;
            let headers = signer.sign("GET", url, &HeaderMap::new(), b"").await?;
            answer = self.http.get_with(url, headers).await?;
        }
        Ok(answer)
    }

    /// Sends a POST request; a second time with other credentials, if AWS refuses those of a role.
    pub(super) async fn post(
        &self,
        url: &Url,
        content_type: &str,
        body: Vec<u8>,
    ) -> Result<Answer, Verdict> {
        let (headers, body) = self.http.encode(content_type, body).await?;
        let Some(signer) = &self.signer else {
            return Ok(self.http.post_encoded(url, headers, body).await?);
        };
        let signed = signer.sign("POST", url, &headers, &body).await?;
        let mut answer = self.http.post_encoded(url, with(&headers, signed), body.clone()).await?;
        if answer.status == 403 && signer.has_role() {
            signer.forget().await;
            let signed = signer.sign("POST", url, &headers, &body).await?;
            answer = self.http.post_encoded(url, with(&headers, signed), body).await?;
        }
        Ok(answer)
    }
}

fn with(headers: &HeaderMap, signed: HeaderMap) -> HeaderMap {
    let mut all = headers.clone();
    all.extend(signed);
    all
}
