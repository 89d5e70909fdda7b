//! Every mistake is named, and none quotes the file.

use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

/// A private key's PEM, and the base64 in it.
fn key() -> (String, String) {
    let pem = rcgen::KeyPair::generate().expect("a key").serialize_pem().replace('\r', "");
    let inner = pem.lines().filter(|line| !line.starts_with('-')).collect();
    (pem, inner)
}

fn certificate() -> String {
    rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("made").cert.pem()
}

/// Returns the message about a file with this content, read as a private key.
fn said(content: impl AsRef<[u8]>) -> String {
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), content).expect("written");
    private_key(file.path()).expect_err("a mistake").to_string()
}

/// Returns whether the text contains no eight consecutive bytes of the secret.
fn holds_none_of(text: &str, secret: &str) -> bool {
    !secret.as_bytes().windows(8).any(|window| find(text.as_bytes(), window).is_some())
}

#[test]
fn every_mistake_has_its_message_and_quotes_nothing() {
    let (pem, inner) = key();
    let body = pem.replace("-----BEGIN PRIVATE KEY-----\n", "");
    let utf16: Vec<u8> = "\u{feff}"
        .chars()
        .chain(pem.chars())
        .collect::<String>()
        .encode_utf16()
        .flat_map(u16::to_le_bytes)
        .collect();
    for (content, expected) in [
        (String::new().into_bytes(), "it is empty"),
        (pem.replace('\n', "").into_bytes(), "line breaks are missing"),
        (pem.replace('\n', " ").into_bytes(), "line breaks are missing"),
        (pem.replace('\n', "\\n").into_bytes(), "a backslash and an n"),
        (pem.replace('\n', "\\r\\n").into_bytes(), "a backslash and an n"),
        (format!("\u{feff}{pem}").into_bytes(), "byte order mark"),
        (utf16, "it is UTF-16"),
        (pem.replace('\n', "\n\0").into_bytes(), "NUL"),
        (inner.clone().into_bytes(), "base64 without PEM markers"),
        (inner.trim_end_matches('=').as_bytes().to_vec(), "base64 without PEM markers"),
        (STANDARD.encode(&pem).into_bytes(), "base64 of a PEM file"),
        (STANDARD.decode(&inner).expect("base64"), "is not PEM text; convert DER"),
        (pem.as_bytes()[..pem.len() - 40].to_vec(), "it ends before -----END"),
        (body.into_bytes(), "is not PEM, which begins"),
        (pem.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY").into_bytes(), "openssl pkey"),
        (pem.replace("-----\n", "-----\nProc-Type: 4,ENCRYPTED\n").into_bytes(), "openssl pkey"),
        (pem.replace("PRIVATE KEY", "OPENSSH PRIVATE KEY").into_bytes(), "a key of OpenSSH"),
        (pem.replace("PRIVATE KEY", "PUBLIC KEY").into_bytes(), "a public key"),
        (pem.replace('\n', "\n  ").into_bytes(), "is not base64"),
        (format!("  {}", pem.replace('\n', "\n  ")).into_bytes(), "indented"),
        (pem.replacen(&inner[..4], "!!!!", 1).into_bytes(), "is not base64"),
        (certificate().into_bytes(), "it holds a certificate"),
    ] {
        let message = said(&content);
        assert!(message.starts_with("holds no usable private key: "), "{message}");
        assert!(message.contains(expected), "{expected}: {message}");
        assert!(holds_none_of(&message, &inner), "{message}");
    }
    assert_eq!(
        private_key(Path::new("/nowhere")).expect_err("none").to_string(),
        "cannot be read: it does not exist"
    );
}

#[test]
fn usable_files_are_accepted() {
    let (pem, _) = key();
    for content in [pem.clone(), pem.replace('\n', "\r\n"), format!("{}{pem}", certificate())] {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), content).expect("written");
        private_key(file.path()).expect("a key");
    }
}

proptest! {
    #[test]
    fn no_message_quotes_a_damaged_key(
        cut in 0_usize..300,
        from in 0_usize..300,
        with in "[ -~\\n\\r\\\\]{0,8}",
    ) {
        let (pem, inner) = key();
        let from = from.min(pem.len());
        let mut damaged = pem.clone();
        damaged.replace_range(from..(from + cut).min(pem.len()), &with);
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), &damaged).expect("written");
        if let Err(error) = private_key(file.path()) {
            let message = format!("{error} {error:?}");
            prop_assert!(holds_none_of(&message, &inner), "{}", message);
        }
    }
}
