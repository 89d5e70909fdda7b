//! Parts of a configured text that a message may show. People write secrets into the wrong place.

use std::path::{Path, PathBuf};

/// Maximum length of a run of characters that is always shown: too short for a secret.
const MAX_PLAIN_CHARS: usize = 7;

/// Maximum length of a word in a name.
const MAX_WORD_CHARS: usize = 20;

/// Maximum length of a file name or key.
const MAX_NAME_CHARS: usize = 64;

/// Returns a path for a message, or a placeholder if part of it may be a secret.
///
/// Existing directories are shown, and names made of words. A token or key written in place of a
/// path is neither.
pub(crate) fn path(path: &Path) -> String {
    match is_plausible(path) {
        true => path.display().to_string(),
        false => "(the name is not shown: it does not look like a path)".to_owned(),
    }
}

/// Returns whether a text looks like a path.
pub(crate) fn is_plausible(path: &Path) -> bool {
    let Some(text) = path.to_str() else { return path.exists() };
    let mut so_far = PathBuf::new();
    (text.contains(['/', '.']) || path.exists())
        && path.components().all(|component| {
            so_far.push(component);
            let name = component.as_os_str().to_str().unwrap_or_default();
            is_wordy(name) || so_far.symlink_metadata().is_ok()
        })
}

/// Returns whether a text looks like the name of an environment variable: upper-case words.
pub(crate) fn is_variable(text: &str) -> bool {
    let is_word = |word: &str| {
        let letters = word.trim_end_matches(|c: char| c.is_ascii_digit());
        word.len() <= MAX_WORD_CHARS
            && word.len() - letters.len() <= 4
            && letters.bytes().all(|byte| byte.is_ascii_uppercase())
    };
    !text.is_empty()
        && text.len() <= MAX_NAME_CHARS
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.split('_').all(is_word)
}

/// Returns whether a configuration key may be shown: it consists of words, like every known key.
pub(crate) fn is_key(text: &str) -> bool {
    is_wordy(text)
}

/// Returns a quoted value followed by a blank, or an empty string if it may be a secret. Numbers,
/// addresses and short values are shown.
pub(crate) fn value(text: &str) -> String {
    let is_number = |c: char| c.is_ascii_digit() || ".:/, +-".contains(c);
    if text.chars().count() <= MAX_PLAIN_CHARS
        || (text.len() <= MAX_NAME_CHARS && text.chars().all(is_number))
    {
        format!("{text:?} ")
    } else {
        String::new()
    }
}

/// Describes why a file or directory cannot be used, without the system's error number.
pub(crate) fn reason(error: &std::io::Error) -> String {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::NotFound => "it does not exist".to_owned(),
        ErrorKind::PermissionDenied => "this user has no permission".to_owned(),
        ErrorKind::IsADirectory => "it is a directory".to_owned(),
        ErrorKind::NotADirectory => "part of the path is not a directory".to_owned(),
        ErrorKind::InvalidData => "it is not UTF-8 text".to_owned(),
        ErrorKind::InvalidInput => "it is not a path".to_owned(),
        kind => kind.to_string(),
    }
}

/// Returns whether a name consists of words and numbers: "splunk-token.txt" does,
/// "q3Vx8LmZ0tR7yBnK" does not.
fn is_wordy(name: &str) -> bool {
    name.len() <= MAX_NAME_CHARS && name.split(|c: char| !c.is_alphanumeric()).all(is_word)
}

fn is_word(word: &str) -> bool {
    let letters = word.trim_end_matches(char::is_numeric);
    let rest = letters.strip_prefix(char::is_uppercase).unwrap_or(letters);
    let is_cased = rest.chars().all(|c| c.is_alphabetic() && !c.is_uppercase())
        || letters.chars().all(char::is_uppercase);
    let digits = word.len() - letters.len();
    word.len() < 4 || (is_cased && letters.chars().count() <= MAX_WORD_CHARS && digits <= 8)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Typical secrets: random bytes in base64 and hexadecimal, a UUID, a JWT, an `NKey` seed.
    const SECRETS: [&str; 9] = [
        "q3Vx8LmZ0tR7yBnK",
        "b7e0d4c19f6a82537d1c0b9ae84f6253",
        "6f1d2c3b-9a8e-4d7c-b5f4-e3a2b1c0d9f8",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhIn0.c2lnbmF0dXJl",
        "SUAMLK2ZNL35WSMW37E7UD4VZ7ELPKW7DHC3BWBSD2GCZ7IUQQXZIORRBU",
        "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        "aGVsbG8gd29ybGQ/aGVsbG8gd29ybGQ+aGVsbG8=",
        "/9j4AAQSkZJRgABAQEAYABgAAD2wBDAAgGBgcGBQg",
        "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIBl7",
    ];

    #[test]
    fn a_secret_in_the_wrong_place_is_not_shown() {
        for secret in SECRETS {
            assert!(!is_plausible(Path::new(secret)), "{secret}");
            assert!(!is_plausible(&Path::new("/run/secrets").join(secret)), "{secret}");
            assert!(!is_plausible(&Path::new("/etc").join(secret)), "{secret}");
            assert!(!is_variable(secret) && !is_key(secret), "{secret}");
            assert_eq!(value(secret), "", "{secret}");
        }
        assert!(!is_plausible(Path::new("hunter2")), "no path, and no such file");
    }

    #[test]
    fn names_are_shown() {
        let directory = tempfile::tempdir().expect("a directory");
        let missing = directory.path().join("token.txt");
        for path in [
            "/run/secrets/splunk-token",
            "/etc/davinci-siem/tls.crt",
            "./tls/server.key",
            "/nowhere",
            "../K8s/Signing_Key2.pem",
            missing.to_str().expect("UTF-8"),
        ] {
            assert!(is_plausible(Path::new(path)), "{path}");
        }
        for name in ["TOKEN", "PINGONE_WEBHOOK_PASSWORD", "S3_KEY2", "_X"] {
            assert!(is_variable(name), "{name}");
        }
        for key in ["adress", "max_size", "tls2", "in-flight"] {
            assert!(is_key(key), "{key}");
        }
        for shown in ["32 Mib!", "10.0.0.0/33", "127.0.0.1:99999", "yes", "-1"] {
            assert_eq!(value(shown), format!("{shown:?} "));
        }
    }
}
