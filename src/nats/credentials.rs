//! Credentials sent to a server, read again for each connection.

use async_nats::Auth;
use nkeys::KeyPair;

use super::Authentication;

/// Credentials that cannot be used. The messages never quote a secret.
#[derive(Debug, thiserror::Error)]
pub(super) enum CredentialsError {
    /// The secret cannot be read.
    #[error("{0}")]
    Secret(String),
    /// A credentials file without a block of this name.
    #[error("the credentials hold no {0}; use a file as nsc generate creds writes it")]
    MissingBlock(&'static str),
    /// The text is not a seed of an `NKey`.
    #[error("the NKey seed is not one; it begins with SU, and nk -gen user makes one")]
    Seed,
    /// The key is a public one.
    #[error("the NKey cannot sign; use a seed, no public key")]
    PublicKey,
}

/// Reads the secret again and answers the server's challenge with it.
pub(super) fn answer(
    authentication: &Authentication,
    challenge: &[u8],
) -> Result<Auth, CredentialsError> {
    let mut auth = Auth::new();
    let Some(secret) = authentication.secret() else { return Ok(auth) };
    let secret = secret.reread().map_err(|error| CredentialsError::Secret(error.to_string()))?;
    match authentication {
        Authentication::None => {}
        Authentication::Token(_) => auth.token = Some(secret.expose().to_owned()),
        Authentication::Password { username, .. } => {
            auth.username = Some(username.clone());
            auth.password = Some(secret.expose().to_owned());
        }
        Authentication::NKey(_) => {
            let key = key_pair(secret.expose().trim())?;
            auth.signature = Some(sign(&key, challenge)?);
            auth.nkey = Some(key.public_key());
        }
        Authentication::Credentials(_) => {
            let jwt = block(secret.expose(), "NATS USER JWT")?;
            let key = key_pair(block(secret.expose(), "USER NKEY SEED")?)?;
            auth.signature = Some(sign(&key, challenge)?);
            auth.jwt = Some(jwt.to_owned());
        }
    }
    Ok(auth)
}

/// Returns the line below `-----BEGIN NAME-----`.
fn block<'a>(text: &'a str, name: &'static str) -> Result<&'a str, CredentialsError> {
    let heading = format!("-----BEGIN {name}-----");
    let mut lines = text.lines().map(str::trim).skip_while(|line| *line != heading).skip(1);
    let line = lines.find(|line| !line.is_empty()).filter(|line| !line.starts_with('-'));
    line.ok_or(CredentialsError::MissingBlock(name))
}

fn key_pair(seed: &str) -> Result<KeyPair, CredentialsError> {
    // The library's error may quote the seed.
    KeyPair::from_seed(seed).map_err(|_| CredentialsError::Seed)
}

fn sign(key: &KeyPair, challenge: &[u8]) -> Result<Vec<u8>, CredentialsError> {
    key.sign(challenge).map_err(|_| CredentialsError::PublicKey)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::{Form, Secret};

    fn secret(text: &str) -> Secret {
        Secret::from_variable("X", Some(text), Form::Text).expect("a secret")
    }

    #[test]
    fn each_kind_answers_in_its_own_way() {
        let answer = |authentication: &Authentication| answer(authentication, b"nonce");
        let nobody = answer(&Authentication::None).expect("nothing");
        assert!(nobody.token.is_none() && nobody.nkey.is_none() && nobody.username.is_none());
        let token = answer(&Authentication::Token(secret("t"))).expect("a token");
        assert_eq!(token.token.as_deref(), Some("t"));
        let username = "u".to_owned();
        let user = answer(&Authentication::Password { username, password: secret("p") });
        let user = user.expect("a user");
        assert_eq!((user.username.as_deref(), user.password.as_deref()), (Some("u"), Some("p")));
    }

    #[test]
    fn a_key_signs_and_stays() {
        let key = KeyPair::new_user();
        let seed = key.seed().expect("a seed");
        let creds = format!(
            "-----BEGIN NATS USER JWT-----\r\neyJ0.eyJq.c2ln\r\n------END NATS USER JWT------\r\n\r\n\
             ************************* IMPORTANT *************************\r\n\
             -----BEGIN USER NKEY SEED-----\r\n{seed}\r\n------END USER NKEY SEED------\r\n"
        );
        let by_key = answer(&Authentication::NKey(secret(&seed)), b"nonce").expect("signed");
        let by_creds = answer(&Authentication::Credentials(secret(&creds)), b"nonce");
        let by_creds = by_creds.expect("signed");
        assert_eq!(by_key.nkey.as_deref(), Some(key.public_key().as_str()));
        assert_eq!((by_creds.nkey, by_creds.jwt.as_deref()), (None, Some("eyJ0.eyJq.c2ln")));
        for signature in [by_key.signature, by_creds.signature] {
            let signature = signature.expect("a signature");
            assert!(key.verify(b"nonce", &signature).is_ok());
        }
    }

    #[test]
    fn unusable_credentials_are_not_shown() {
        let jwt_only = "-----BEGIN NATS USER JWT-----\ncanary\n------END NATS USER JWT------\n";
        let empty = "-----BEGIN NATS USER JWT-----\n------END NATS USER JWT------\n";
        for (authentication, said) in [
            (Authentication::NKey(secret("SUcanary")), "is not one"),
            (Authentication::Credentials(secret("canary")), "hold no NATS USER JWT"),
            (Authentication::Credentials(secret(empty)), "hold no NATS USER JWT"),
            (Authentication::Credentials(secret(jwt_only)), "hold no USER NKEY SEED"),
        ] {
            let Err(error) = answer(&authentication, b"") else { panic!("{authentication:?}") };
            let message = error.to_string();
            assert!(message.contains(said) && !message.contains("canary"), "{message}");
        }
    }
}
