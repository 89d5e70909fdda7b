//! Verdicts on every answer of a store, and the settings.

use std::time::Duration;

use super::answer::{Creation, StoreKind, failed, unconfirmed};
use super::aws::Addressing;
use super::config::{ObjectStoreSinkConfig, StoreConfig};
use super::exchange::{Exchange, ExchangeResult, StoreAnswer};
use crate::config;
use crate::sinks::{TargetConfig, Verdict};

/// Returns the word for a verdict, and its message.
fn judged(kind: StoreKind, is_for_store: bool, status: u16, code: &str) -> (String, String) {
    let code = Some(code.to_owned()).filter(|code| !code.is_empty());
    let retry_after = Some(Duration::from_secs(7));
    let answer = StoreAnswer { status, code, retry_after, is_page: false };
    let result = ExchangeResult::Answer(answer);
    let exchange = Exchange { peer: "store:443".to_owned(), is_for_store, result };
    word(failed(Some(exchange), kind, "archive"))
}

fn word(creation: Creation) -> (String, String) {
    match creation {
        Creation::Stored => ("stored".to_owned(), String::new()),
        Creation::Exists(reason) => ("exists".to_owned(), reason.to_string()),
        Creation::Failed(verdict) => {
            let word = verdict.as_str().to_owned();
            if let Verdict::Retry { after, .. } = &verdict {
                assert_eq!(*after, Some(Duration::from_secs(7)), "Retry-After is kept");
            }
            (word, verdict.into_reason().to_string())
        }
    }
}

#[test]
fn each_answer_to_an_object_has_its_verdict() {
    use StoreKind::{AzureBlob, Gcs, S3};
    for (kind, status, code, word, advice) in [
        (S3, 412, "PreconditionFailed", "exists", "not written"),
        (S3, 304, "", "exists", "not written"),
        (AzureBlob, 409, "BlobAlreadyExists", "exists", "not written"),
        (AzureBlob, 409, "BlobImmutableDueToPolicy", "exists", "not written"),
        (AzureBlob, 412, "ConditionNotMet", "exists", "not written"),
        (Gcs, 412, "PreconditionFailed", "exists", "not written"),
        // Another request with the same name is under way.
        (S3, 409, "ConditionalRequestConflict", "retry", "sent again"),
        (AzureBlob, 409, "ContainerBeingDeleted", "retry", ""),
        (Gcs, 409, "", "retry", ""),
        (S3, 503, "SlowDown", "retry", "503 (SlowDown)"),
        (S3, 500, "InternalError", "retry", ""),
        (S3, 400, "RequestTimeout", "retry", ""),
        (S3, 307, "TemporaryRedirect", "retry", ""),
        (AzureBlob, 503, "ServerBusy", "retry", ""),
        (Gcs, 429, "TooManyRequests", "retry", ""),
        (Gcs, 408, "", "retry", ""),
        (S3, 502, "", "retry", ""),
        (S3, 504, "", "retry", ""),
        (S3, 404, "NoSuchBucket", "fatal", "bucket archive does not exist"),
        (AzureBlob, 404, "ContainerNotFound", "fatal", "does not exist"),
        (S3, 403, "AccessDenied", "fatal", "permissions"),
        (S3, 403, "SignatureDoesNotMatch", "fatal", "correct the credentials"),
        (S3, 403, "RequestTimeTooSkewed", "fatal", "clock"),
        (AzureBlob, 401, "NoAuthenticationInformation", "fatal", "credentials"),
        (S3, 400, "ExpiredToken", "fatal", "has expired"),
        (S3, 400, "AuthorizationHeaderMalformed", "fatal", "region"),
        (S3, 301, "PermanentRedirect", "fatal", "region"),
        (S3, 400, "EntityTooLarge", "fatal", "batch.bytes"),
        (AzureBlob, 413, "RequestBodyTooLarge", "fatal", "batch.bytes"),
        (S3, 501, "NotImplemented", "fatal", "If-None-Match"),
        (S3, 400, "InvalidArgument", "fatal", "refuses the object"),
        (S3, 405, "MethodNotAllowed", "fatal", "refuses the object"),
        (S3, 200, "", "retry", "without an ETag"),
    ] {
        let (found, message) = judged(kind, true, status, code);
        assert_eq!(found, word, "{kind:?} {status} {code}: {message}");
        assert!(message.contains(advice), "{kind:?} {status} {code}: {message}");
    }
}

/// A page has not come from the store, so that it proves nothing about the object.
#[test]
fn a_page_is_no_answer_of_a_store() {
    let exchange = |status, is_page| {
        let retry_after = Some(Duration::from_secs(7));
        let answer = StoreAnswer { status, code: None, retry_after, is_page };
        let result = ExchangeResult::Answer(answer);
        Exchange { peer: "store:443".to_owned(), is_for_store: true, result }
    };
    for status in [200, 304, 412] {
        let (found, message) = word(failed(Some(exchange(status, true)), StoreKind::S3, "archive"));
        assert_eq!(found, "retry", "{status}");
        assert!(message.contains("a login page or a proxy"), "{message}");
    }
    let page = unconfirmed(Some(&exchange(200, true))).expect("a failure");
    assert_eq!(word(page).0, "retry");
    assert_eq!(unconfirmed(Some(&exchange(200, false))), None);
}

#[test]
fn a_refusal_of_credentials_is_not_taken_for_one_of_the_store() {
    for (status, word) in [
        (400, "fatal"),
        (403, "fatal"),
        (404, "fatal"),
        (412, "fatal"),
        (429, "retry"),
        (500, "retry"),
        (503, "retry"),
    ] {
        let (found, message) = judged(StoreKind::S3, false, status, "");
        assert_eq!(found, word, "{status}");
        assert!(message.contains("request for credentials"), "{message}");
    }
    let none = failed(None, StoreKind::S3, "archive");
    assert!(matches!(none, Creation::Failed(Verdict::Fatal { .. })), "{none:?}");
}

fn parse(text: &str, variables: &[(&str, &str)]) -> Result<ObjectStoreSinkConfig, String> {
    let text = format!("[sinks.a]\ntype = \"object_store\"\n{text}");
    let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into()));
    let config = config::parse(&text, None, variables).map_err(|problems| problems.to_string())?;
    match &config.sinks[0].target {
        TargetConfig::ObjectStore(sink) => Ok(sink.clone()),
        other => Err(format!("{other:?}")),
    }
}

const KEY: &str = "s3.access_key = { id = \"AKIA\", secret_env = \"S\" }\n";
const BUCKET: &str = "s3.bucket = \"archive\"\ns3.region = \"eu-central-1\"\n";

#[test]
fn a_range_that_is_held_in_memory_is_smaller() {
    let parquet = "format = \"ocsf\"\nencoding = \"parquet\"\n";
    for (keys, largest) in [
        ("", "1 GiB"),
        ("compression = \"gzip\"\n", "1 GiB"),
        ("compression = \"none\"\n", "256 MiB"),
        (parquet, "256 MiB"),
    ] {
        let with = |bytes: &str| {
            let batch = format!("batch = {{ bytes = \"{bytes}\" }}\n");
            parse(&format!("{keys}{batch}{BUCKET}{KEY}"), &[("S", "x")]).map(drop)
        };
        assert_eq!(with(largest), Ok(()), "{keys}");
        let found = with(if largest == "1 GiB" { "1025 MiB" } else { "257 MiB" });
        let found = found.expect_err("too much");
        assert!(found.contains("batch.bytes: must be at most") || largest == "1 GiB", "{found}");
    }
}

#[test]
fn a_bucket_is_addressed_by_host_at_amazon_and_by_path_elsewhere() {
    let own = "endpoint = \"https://minio.example.com:9000\"\n";
    let chosen = "s3.addressing = \"path\"\n";
    for (keys, addressing, url) in [
        ("", Addressing::VirtualHost, "https://s3.eu-central-1.amazonaws.com/"),
        (own, Addressing::Path, "https://minio.example.com:9000/"),
        (chosen, Addressing::Path, "https://s3.eu-central-1.amazonaws.com/"),
    ] {
        let config = parse(&format!("{BUCKET}{KEY}{keys}"), &[("S", "x")]).expect("valid");
        let StoreConfig::S3(s3) = &config.store else { panic!("S3") };
        assert_eq!((s3.addressing, config.client.url.as_str()), (addressing, url), "{keys}");
    }
    let azure = "azure = { account = \"examplearchive\", container = \"davinci\", account_key_env = \"S\" }\n";
    let config = parse(azure, &[("S", "x")]).expect("valid");
    assert_eq!(config.client.url.as_str(), "https://examplearchive.blob.core.windows.net/");
    let gov = "azure = { account = \"examplearchive\", container = \"davinci\", cloud = \"usgov\", managed_identity = {} }\n";
    let config = parse(gov, &[]).expect("valid");
    assert_eq!(config.client.url.as_str(), "https://examplearchive.blob.core.usgovcloudapi.net/");
    let config = parse("gcs.bucket = \"archive\"\nprefix = \"a/b\"\n", &[]).expect("valid");
    assert_eq!(config.client.url.as_str(), "https://storage.googleapis.com/");
}

#[test]
fn mistakes_are_reported() {
    let role = "arn:aws:iam::123456789012:role/archive";
    for (keys, said) in [
        (String::new(), "s3: is missing; write a table s3, azure or gcs"),
        (format!("{BUCKET}{KEY}gcs.bucket = \"archive\""), "exclude each other"),
        (BUCKET.to_owned(), "access_key: is missing"),
        (format!("{BUCKET}{KEY}s3.instance_role = {{}}"), "exclude each other; use one"),
        (format!("{BUCKET}s3.web_identity = {{}}"), "it, or set AWS_ROLE_ARN"),
        (
            format!("{BUCKET}s3.web_identity = {{ role_arn = \"archive\" }}"),
            "is not the ARN of a role",
        ),
        (
            format!("{BUCKET}s3.web_identity = {{ role_arn = \"{role}\" }}"),
            "AWS_WEB_IDENTITY_TOKEN_FILE",
        ),
        (format!("{BUCKET}s3.container_role = {{}}"), "takes effect in an ECS task or an EKS pod"),
        (
            format!("{BUCKET}s3.access_key = {{ id = \"A\", secret = \"canary\" }}"),
            "use secret_file or secret_env",
        ),
        (format!("{KEY}s3.region = \"eu-1\""), "bucket: is missing"),
        (format!("{KEY}s3.bucket = \"s3://canary\""), "is not the name of a bucket"),
        (format!("{KEY}s3.bucket = \"archive\""), "region: is missing"),
        (format!("{BUCKET}{KEY}prefix = \"/a\""), "is not a path such as"),
        (format!("{BUCKET}{KEY}prefix = \"a/../b\""), "is not a path such as"),
        (format!("{BUCKET}{KEY}format = \"cef\""), "which this target does not take"),
        (format!("{BUCKET}{KEY}concurrency = 2"), "must be 1, not 2"),
        (format!("{BUCKET}{KEY}retry = {{ give_up = {{ attempts = 3 }} }}"), "is no key here"),
        (format!("{BUCKET}{KEY}batch = {{ bytes = \"2 GiB\" }}"), "must be at most"),
        (format!("{BUCKET}{KEY}encoding = \"parquet\""), "needs format = \"ocsf\""),
        (
            format!(
                "{BUCKET}{KEY}security_lake = {{ region = \"eu-central-1\", account_id = \"123456789012\" }}"
            ),
            "needs encoding",
        ),
        (
            format!(
                "{BUCKET}{KEY}format = \"ocsf\"\nencoding = \"parquet\"\ncompression = \"gzip\""
            ),
            "leave it out",
        ),
        (
            format!("{BUCKET}{KEY}s3.assume_role = {{ role_arn = \"x\" }}"),
            "is not the ARN of a role",
        ),
        (
            "azure = { account = \"a.b\", container = \"davinci\", account_key_env = \"S\" }"
                .to_owned(),
            "without a domain",
        ),
        (
            "azure = { account = \"examplearchive\", container = \"davinci\" }".to_owned(),
            "client_secret",
        ),
    ] {
        let found = parse(&keys, &[("S", "x")]).expect_err("a mistake");
        assert!(found.contains(said) && !found.contains("canary"), "{keys}: {found}");
    }
}

#[test]
fn a_pod_and_a_task_take_their_role_from_the_variables_of_aws() {
    let keys = format!("{BUCKET}s3.container_role = {{}}");
    let full = ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://169.254.170.23/v1/credentials");
    let file = ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/var/run/token");
    let relative = ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "/v2/credentials/x");
    let of =
        |variables: &[(&str, &str)]| format!("{:?}", parse(&keys, variables).expect("valid").store);
    assert!(of(&[full, file]).contains("Pod"));
    assert!(of(&[relative]).contains("Task"));
    let web = format!("{BUCKET}s3.web_identity = {{}}");
    let arn = ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/archive");
    let config = parse(&web, &[arn, ("AWS_WEB_IDENTITY_TOKEN_FILE", "/token")]).expect("valid");
    assert_eq!(config.store.files(), [std::path::PathBuf::from("/token")]);
}
