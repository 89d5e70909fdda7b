//! A service whose sink delivers to fakes of Google Cloud, and a service account with its key.

use std::process::Command;
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use super::azure::QUICK;
use super::service::Home;
use super::targets::Target;
use super::targets::google::{AUDIENCE, EMAIL, GoogleApis, GoogleIssuer, INSTANCE};

/// Sinks with Google's APIs.
pub const SINKS: [&str; 2] = ["google_secops", "pubsub"];

/// The issuer of tokens and the APIs.
pub struct Google {
    pub issuer: Target<GoogleIssuer>,
    pub apis: Target<GoogleApis>,
}

impl Google {
    pub fn start() -> Google {
        let issuer = Target::start(GoogleIssuer::new(key().1.clone()));
        let apis = GoogleApis::new(Arc::clone(&issuer.state().tokens));
        issuer.state().url = issuer.url.clone();
        Google { issuer, apis: Target::start(apis) }
    }

    /// A home with a sink of this type that signs in with the key of a service account.
    pub fn home(&self, sink: &str, more: &str) -> Home {
        let keys = format!("credentials_file = \"credentials.json\"\n{QUICK}{more}");
        self.home_with(sink, &keys, &self.service_account())
    }

    /// A home with a sink of this type, these keys, and this content of `credentials.json`.
    pub fn home_with(&self, sink: &str, keys: &str, credentials: &Value) -> Home {
        let place = match sink {
            "pubsub" => "topic = \"davinci\"\n".to_owned(),
            _ => format!("location = \"eu\"\ninstance = \"{INSTANCE}\"\nlog_type = \"OCSF\"\n"),
        };
        let home = Home::new(&format!(
            "[sinks.google]\ntype = \"{sink}\"\nendpoint = \"{}\"\nproject = \"my-project\"\n{place}{keys}",
            self.apis.url
        ));
        std::fs::write(home.path("credentials.json"), credentials.to_string()).expect("written");
        home
    }

    /// Content of a service account's credentials file.
    pub fn service_account(&self) -> Value {
        json!({
            "type": "service_account", "project_id": "my-project", "private_key_id": "k1",
            "private_key": key().0, "client_email": EMAIL, "client_id": "1",
            "token_uri": format!("{}/token", self.issuer.url)
        })
    }

    /// Content of a federated identity's credentials file.
    pub fn federated(&self, source: &Value, acts_as_account: bool) -> Value {
        let mut found = json!({
            "type": "external_account", "audience": AUDIENCE, "credential_source": source,
            "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
            "token_url": format!("{}/sts", self.issuer.url)
        });
        if acts_as_account {
            let url = format!("{}/impersonate", self.issuer.url);
            found["service_account_impersonation_url"] = url.into();
        }
        found
    }

    pub fn ids(&self) -> Vec<String> {
        self.apis.state().ids()
    }
}

/// A private key as PEM, and its public key as PKCS #1. Made once: that takes a moment.
pub fn key() -> &'static (String, Vec<u8>) {
    static KEY: OnceLock<(String, Vec<u8>)> = OnceLock::new();
    KEY.get_or_init(|| {
        let directory = tempfile::tempdir().expect("a directory");
        let run = |arguments: &str| {
            let command = Command::new("openssl")
                .args(arguments.split(' '))
                .current_dir(directory.path())
                .output();
            let output = command.expect("openssl runs");
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        run("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out key.pem");
        run("rsa -in key.pem -RSAPublicKey_out -outform DER -out public.der");
        let read = |name: &str| std::fs::read(directory.path().join(name)).expect("a file");
        (String::from_utf8(read("key.pem")).expect("PEM"), read("public.der"))
    })
}
