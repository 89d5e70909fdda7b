//! Temporary credentials of another role: `AssumeRole` of AWS STS, signed with the sink's own credentials.
//! <https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html>

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures_util::future::BoxFuture;
use http::header::CONTENT_TYPE;
use memchr::memmem;
use object_store::aws::{AwsAuthorizer, AwsCredential, AwsCredentialProvider};
use object_store::client::{HttpClient, HttpRequest};
use object_store::{CredentialProvider, Error};
use thiserror::Error as ThisError;
use tokio::sync::Mutex;
use url::form_urlencoded::Serializer;

use crate::aws::AssumeRoleConfig;

/// Time before the expiry at which credentials are renewed.
const RENEWAL_MARGIN: Duration = Duration::from_mins(5);

/// Gives the library the credentials of a role.
#[derive(Debug)]
pub(super) struct AssumedRole {
    role: AssumeRoleConfig,
    region: String,
    /// The sink's own credentials.
    own: AwsCredentialProvider,
    client: HttpClient,
    /// The current credentials, and the time until which they are used. Locked during a request, so that there is one
    /// at a time.
    current: Mutex<Option<(Arc<AwsCredential>, SystemTime)>>,
}

/// Error for the library, which is never shown.
#[derive(Debug, ThisError)]
#[error("the role cannot be assumed")]
struct NotAssumed;

impl AssumedRole {
    pub(super) fn new(
        role: &AssumeRoleConfig,
        region: &str,
        own: AwsCredentialProvider,
        client: HttpClient,
    ) -> AssumedRole {
        let (role, region) = (role.clone(), region.to_owned());
        AssumedRole { role, region, own, client, current: Mutex::default() }
    }

    /// Returns the request, which is not signed yet.
    fn request(&self) -> Option<HttpRequest> {
        let AssumeRoleConfig { role_arn, external_id, sts_endpoint } = &self.role;
        let mut form = Serializer::new(String::new());
        form.append_pair("Action", "AssumeRole")
            .append_pair("Version", "2011-06-15")
            .append_pair("RoleArn", role_arn)
            .append_pair("RoleSessionName", "davinci-siem");
        if let Some(external_id) = external_id {
            form.append_pair("ExternalId", external_id);
        }
        let default = || format!("https://sts.{}.amazonaws.com", self.region);
        let url = sts_endpoint.clone().unwrap_or_else(default);
        http::Request::post(format!("{url}/"))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.finish().into())
            .ok()
    }

    /// Returns new credentials, and the time until which they are used; `None` if STS gives none. The recorded exchange
    /// tells the reason.
    async fn assume(&self) -> Option<(Arc<AwsCredential>, SystemTime)> {
        let mut request = self.request()?;
        let own = self.own.get_credential().await.ok()?;
        let signer = AwsAuthorizer::new(&own, "sts", &self.region);
        signer.try_authorize(&mut request, None).ok()?;
        let answer = self.client.execute(request).await.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        let body = answer.into_body().bytes().await.ok()?;
        let expiration =
            chrono::DateTime::parse_from_rfc3339(&text_in(&body, "Expiration")?).ok()?;
        let credential = AwsCredential {
            key_id: text_in(&body, "AccessKeyId")?,
            secret_key: text_in(&body, "SecretAccessKey")?,
            token: Some(text_in(&body, "SessionToken")?),
        };
        Some((Arc::new(credential), SystemTime::from(expiration) - RENEWAL_MARGIN))
    }
}

impl CredentialProvider for AssumedRole {
    type Credential = AwsCredential;

    fn get_credential<'s, 'f>(&'s self) -> BoxFuture<'f, object_store::Result<Arc<AwsCredential>>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async {
            let mut current = self.current.lock().await;
            if let Some((credential, _)) =
                current.as_ref().filter(|(_, until)| SystemTime::now() < *until)
            {
                return Ok(Arc::clone(credential));
            }
            let error = || Error::Generic { store: "AWS STS", source: Box::new(NotAssumed) };
            let (credential, until) = self.assume().await.ok_or_else(error)?;
            *current = Some((Arc::clone(&credential), until));
            Ok(credential)
        })
    }
}

/// Returns the text of the first XML element of that name. The values of STS hold no entity.
fn text_in(body: &[u8], name: &str) -> Option<String> {
    let open = format!("<{name}>");
    let start = memmem::find(body, open.as_bytes())? + open.len();
    let length = memmem::find(&body[start..], b"</")?;
    String::from_utf8(body[start..start + length].to_vec()).ok()
}
