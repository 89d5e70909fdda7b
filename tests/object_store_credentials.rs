//! Credentials of the `object_store` sink: each role of AWS and the metadata server of Google, against services that
//! answer as the clouds document it; and a search for the temporary secrets.

use axum::http::HeaderMap;
use axum::response::Response;

use crate::object_store::config;
use crate::support::canary::{TOKEN, assert_silent, shown, text};
use crate::support::events::{batch, id, ids};
use crate::support::service::Home;
use crate::support::targets::bucket::{Bucket, KEY_ID};
use crate::support::targets::{Behaviour, Target, Traffic, answer, header};

/// Proof that a request for credentials has to contain.
const PROOF: &str = "eyJhbGciOiJSUzI1NiJ9.proof";

/// Services that give temporary credentials: `IMDSv2`, the agent of EKS, STS, and the metadata server of Google.
#[derive(Default)]
struct Credentials {
    traffic: Traffic,
    /// Paths that were asked.
    asked: Vec<String>,
}

impl Behaviour for Credentials {
    fn traffic(&mut self) -> &mut Traffic {
        &mut self.traffic
    }

    fn take(&mut self, path: &str, query: &str, headers: &HeaderMap, body: &[u8]) -> Response {
        let body = String::from_utf8_lossy(body).into_owned();
        self.asked.push(path.to_owned());
        let expiration = "2099-01-01T00:00:00Z";
        let json = format!(
            "{{\"AccessKeyId\":\"{KEY_ID}\",\"SecretAccessKey\":\"{TOKEN}\",\"Token\":\"{TOKEN}\",\"Expiration\":\"{expiration}\"}}"
        );
        let is_proved = |name: &str| header(headers, name) == PROOF;
        match path {
            "/latest/api/token" => answer(200, PROOF.to_owned()),
            "/latest/meta-data/iam/security-credentials/"
                if is_proved("x-aws-ec2-metadata-token") =>
            {
                answer(200, "archive".to_owned())
            }
            "/latest/meta-data/iam/security-credentials/archive"
                if is_proved("x-aws-ec2-metadata-token") =>
            {
                answer(200, json)
            }
            "/pod" if is_proved("authorization") => answer(200, json),
            "/computeMetadata/v1/instance/service-accounts/default/token"
                if header(headers, "metadata-flavor") == "Google" =>
            {
                let token = format!("{{\"access_token\":\"{TOKEN}\",\"expires_in\":3600}}");
                answer(200, token)
            }
            "/" if body.contains("Action=AssumeRole&") && body.contains("ExternalId=partner-7") => {
                assert!(header(headers, "authorization").contains("/us-east-1/sts/aws4_request"));
                let result = format!(
                    "<AssumeRoleResponse><Credentials><AccessKeyId>{KEY_ID}</AccessKeyId><SecretAccessKey>{TOKEN}\
                     </SecretAccessKey><SessionToken>{TOKEN}</SessionToken><Expiration>{expiration}</Expiration>\
                     </Credentials></AssumeRoleResponse>"
                );
                answer(200, result)
            }
            "/" if query.contains("Action=AssumeRoleWithWebIdentity") && query.contains(PROOF) => {
                answer(
                    200,
                    format!(
                        "<AssumeRoleWithWebIdentityResponse><AssumeRoleWithWebIdentityResult><Credentials>\
                     <SessionToken>{TOKEN}</SessionToken><SecretAccessKey>{TOKEN}</SecretAccessKey>\
                     <AccessKeyId>{KEY_ID}</AccessKeyId><Expiration>{expiration}</Expiration></Credentials>\
                     </AssumeRoleWithWebIdentityResult></AssumeRoleWithWebIdentityResponse>"
                    ),
                )
            }
            _ => answer(
                403,
                format!("<Error><Code>AccessDenied</Code><Message>{TOKEN}</Message></Error>"),
            ),
        }
    }
}

/// Returns the home of a sink that gets its credentials by `keys` from `credentials`.
fn home(bucket: &Target<Bucket>, credentials: &Target<Credentials>, keys: &str) -> Home {
    let access_key = format!("access_key = {{ id = \"{KEY_ID}\", secret_env = \"SECRET\" }}");
    let text = config(bucket, "batch = { age = \"10ms\" }").replace(&access_key, keys);
    let host = credentials.url.strip_prefix("http://").expect("a URL");
    let uri = format!("{}/pod", credentials.url);
    let home = Home::new(&text);
    let token = home.path("token").display().to_string();
    let home = home.with_variables(&[
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", &uri),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", &token),
        ("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/archive"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", &token),
        ("GCE_METADATA_HOST", host),
    ]);
    std::fs::write(token, PROOF).expect("written");
    home
}

fn stored(bucket: &Target<Bucket>) -> Vec<String> {
    let mut ids: Vec<String> = bucket.all_lines().iter().map(|line| id(line)).collect();
    ids.sort();
    ids
}

#[test]
fn every_role_of_aws_writes_objects_with_temporary_credentials() {
    let credentials = Target::start(Credentials::default());
    let url = &credentials.url;
    for (keys, asked) in [
        (format!("instance_role = {{ metadata_endpoint = \"{url}\" }}"), 3),
        (format!("web_identity = {{ sts_endpoint = \"{url}\" }}"), 1),
        ("container_role = {}".to_owned(), 1),
        (
            format!(
                "web_identity = {{ sts_endpoint = \"{url}\" }}, assume_role = {{ role_arn = \"arn:aws:iam::123456789012:role/lake\", external_id = \"partner-7\", sts_endpoint = \"{url}\" }}"
            ),
            2,
        ),
    ] {
        let bucket = Target::start(Bucket::default());
        bucket.state().credential = Some(TOKEN.to_owned());
        credentials.state().asked.clear();
        let home = home(&bucket, &credentials, &keys);
        let service = home.start();
        for number in 0..3 {
            service.post(&batch([format!("event-{number:04}")]));
            service.wait_until_settled("archive");
        }
        assert_eq!(stored(&bucket), ids(3), "{keys}");
        let found = credentials.state().asked.clone();
        assert_eq!(found.len(), asked, "{keys}: asked once: {found:?}");
        let mut written =
            vec![shown(&service), text(&home.run_with(&service, &["check", "--connect"]))];
        written.push(service.terminate().1);
        written.iter().for_each(|said| assert_silent(said, TOKEN, &keys));
    }
}

#[test]
fn googles_metadata_server_gives_the_token_for_a_bucket_of_google() {
    let credentials = Target::start(Credentials::default());
    let bucket = Target::start(Bucket::default());
    bucket.state().credential = Some(format!("Bearer {TOKEN}"));
    bucket.state().condition = Some(("x-goog-if-generation-match", "0"));
    let text = config(&bucket, "batch = { age = \"10ms\" }");
    let gcs = text.lines().map(|line| match line.starts_with("s3 = ") {
        true => "gcs = { bucket = \"archive\" }",
        false => line,
    });
    let text = gcs.collect::<Vec<_>>().join("\n");
    let host = credentials.url.strip_prefix("http://").expect("a URL").to_owned();
    let home =
        Home::new(&text).with_variables(&[("GCE_METADATA_HOST", &host), ("HOME", "/nowhere")]);
    let service = home.start();
    service.post(&batch(ids(3)));
    service.wait_until_settled("archive");
    assert_eq!(stored(&bucket), ids(3));
    let said = [shown(&service), service.terminate().1];
    said.iter().for_each(|said| assert_silent(said, TOKEN, "gcs"));
}

#[test]
fn refused_credentials_pause_the_sink_and_name_their_service() {
    let credentials = Target::start(Credentials::default());
    let url = &credentials.url;
    let host = url.rsplit('/').next().expect("a host").to_owned();
    let bucket = Target::start(Bucket::default());
    bucket.state().credential = Some(TOKEN.to_owned());
    let home =
        home(&bucket, &credentials, &format!("web_identity = {{ sts_endpoint = \"{url}\" }}"));
    std::fs::write(home.path("token"), "another").expect("written");
    let service = home.start();
    service.post(&batch(ids(3)));
    let reason = crate::object_store::paused(&service);
    assert!(reason.contains(&host) && reason.contains("request for credentials"), "{reason}");
    assert_silent(&shown(&service), TOKEN, "refused");
    // The file's change wakes the sink.
    std::fs::write(home.path("token"), PROOF).expect("written");
    service.wait_until_settled("archive");
    assert_eq!(stored(&bucket), ids(3));
}
