//! Signatures: those of Standard Webhooks (`webhook-id`, `webhook-timestamp`, `webhook-signature`), and one HMAC of the
//! body in a header that the configuration names.
//! <https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md>

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderValue;
use sha2::{Digest, Sha256};

use super::config::{HmacConfig, HmacEncoding, signing_key};
use crate::secret::Secret;
use crate::sinks::{Item, Reason};

/// Bytes of the items' hash that its id shows.
const ID_BYTES: usize = 16;

/// An id that a repetition of the same items has again. The same bytes from another place of the spool
/// are another event: one from another source, or a replay that an operator wants to arrive.
pub(super) fn id_of(items: &[Item]) -> String {
    let mut hash = Sha256::new();
    for Item { position, payload } in items {
        hash.update(position.to_le_bytes());
        hash.update((payload.len() as u64).to_le_bytes());
        hash.update(payload);
    }
    let digest = hash.finalize();
    let digits: String = digest.iter().take(ID_BYTES).map(|byte| format!("{byte:02x}")).collect();
    format!("msg_{digits}")
}

/// One signature for each key, so that either of two is enough while one is changed.
pub(super) fn sign(keys: &[Secret], id: &str, at: u64, body: &[u8]) -> Result<String, Reason> {
    let mut signatures = Vec::with_capacity(keys.len());
    for key in keys {
        let key = signing_key(key)
            .and_then(|key| Hmac::<Sha256>::new_from_slice(&key).ok())
            .ok_or_else(|| Reason::new("a signing key is not whsec_ and base64; correct it"))?;
        let signed = key
            .chain_update(id)
            .chain_update(".")
            .chain_update(at.to_string())
            .chain_update(".")
            .chain_update(body);
        signatures.push(format!("v1,{}", STANDARD.encode(signed.finalize().into_bytes())));
    }
    Ok(signatures.join(" "))
}

/// Returns the HMAC-SHA-256 of the body, as the receiver expects it in its header.
pub(super) fn hmac(
    settings: &HmacConfig,
    key: &Secret,
    body: &[u8],
) -> Result<HeaderValue, Reason> {
    let mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes())
        .map_err(|_| Reason::new("the key of hmac cannot be used; correct it"))?;
    let signature = mac.chain_update(body).finalize().into_bytes();
    let text = match settings.encoding {
        HmacEncoding::Hex => signature.iter().map(|byte| format!("{byte:02x}")).collect(),
        HmacEncoding::Base64 => STANDARD.encode(signature),
    };
    HeaderValue::try_from(format!("{}{text}", settings.prefix))
        .map_err(|error| Reason::new(error.to_string()))
}
