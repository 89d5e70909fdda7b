//! Credentials files, and the configuration by which a server trusts them.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use nkeys::KeyPair;
use serde_json::{Value, json};

/// Trust in credentials files: an operator signs an account, the account signs a user.
pub struct Operator {
    operator: KeyPair,
    pub account: KeyPair,
}

impl Operator {
    pub fn new() -> Operator {
        Operator { operator: KeyPair::new_operator(), account: KeyPair::new_account() }
    }

    /// Configuration of operator and account; the server also requires a system account.
    pub fn server(&self) -> String {
        let system = KeyPair::new_account().public_key();
        let (own, account) = (self.operator.public_key(), self.account.public_key());
        let jwt = |key: &str, nats: &Value| token(&self.operator, key, nats);
        let unlimited = json!({
            "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1,
            "leaf": -1, "wildcards": true, "mem_storage": -1, "disk_storage": -1, "streams": -1,
            "consumer": -1,
        });
        let mut limited = unlimited.clone();
        for limit in ["mem_storage", "disk_storage", "streams", "consumer"] {
            limited[limit] = 0.into();
        }
        let of_account =
            |limits: &Value| json!({ "type": "account", "version": 2, "limits": limits });
        let operator = json!({ "type": "operator", "version": 2, "system_account": system });
        format!(
            "operator: \"{}\"\nsystem_account: {system}\nresolver: MEMORY\n\
             resolver_preload: {{ {account}: \"{}\", {system}: \"{}\" }}\n",
            jwt(&own, &operator),
            jwt(&account, &of_account(&unlimited)),
            jwt(&system, &of_account(&limited)),
        )
    }

    pub fn credentials(&self, account: &KeyPair) -> String {
        let user = KeyPair::new_user();
        let nats = json!({
            "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1, "pub": {}, "sub": {},
        });
        let jwt = token(account, &user.public_key(), &nats);
        format!(
            "-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n\
             -----BEGIN USER NKEY SEED-----\n{}\n------END USER NKEY SEED------\n",
            user.seed().expect("a seed")
        )
    }
}

/// Returns a JWT in the format of NATS, signed by `issuer`.
fn token(issuer: &KeyPair, subject: &str, nats: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let claims = json!({
        "jti": subject, "iat": 1_700_000_000, "iss": issuer.public_key(), "name": "test",
        "sub": subject, "nats": nats,
    });
    let signed = format!("{}.{}", part(&header), part(&claims));
    let signature = issuer.sign(signed.as_bytes()).expect("signed");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
}
