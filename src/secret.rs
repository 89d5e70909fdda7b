//! Secrets: read from a file or a variable, wiped on drop, never printed.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;
use thiserror::Error;

use crate::shown;

/// A password, token or header value. Its `Debug` output does not contain it.
#[derive(Debug, Clone)]
pub struct Secret {
    value: SecretString,
    /// File to read the secret again from.
    file: Option<PathBuf>,
    form: Form,
}

/// Error of a secret. The message does not contain the secret.
#[derive(Debug, Error)]
pub enum SecretError {
    /// The file cannot be read.
    #[error("{name} cannot be read: {}. Check the path and its permissions", shown::reason(.source))]
    Unreadable {
        name: String,
        /// Error of the operating system.
        source: std::io::Error,
    },
    /// The path does not look like one. The most common mistake is the secret itself instead of a file name.
    #[error(
        "is not the name of a file that can be read, and is not shown, since it may be a secret. \
         Write the secret into a file, and the file's path here"
    )]
    NotAPath(#[source] std::io::Error),
    /// The variable is not set.
    #[error("{variable} is not set; set it to the secret, and write its name here")]
    Unset { variable: String },
    /// The content can never match, or cannot be sent.
    #[error("{origin} {mistake}")]
    Unusable {
        /// The file or variable.
        origin: String,
        /// The mistake, beginning with a verb.
        mistake: &'static str,
    },
}

/// Characters that a secret may contain, by its use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// One line of visible characters: a password, a token, the value of a compared header.
    Line,
    /// One line of visible ASCII: the value of a sent header (RFC 9110, 5.5).
    Header,
    /// Any text: a credentials file, a key.
    Text,
}

/// Compares in constant time, although both values come from the configuration.
impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        let is_same = self.expose().as_bytes().ct_eq(other.expose().as_bytes());
        bool::from(is_same) && self.file == other.file
    }
}

impl Eq for Secret {}

impl Secret {
    /// Returns the value, for comparing and sending only.
    pub fn expose(&self) -> &str {
        self.value.expose_secret()
    }

    /// Returns the file that contains the secret; `None` if it comes from a variable.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads the secret again, since its file may have been replaced. A variable never changes.
    ///
    /// # Errors
    ///
    /// See [`Secret::from_file`].
    pub fn reread(&self) -> Result<Secret, SecretError> {
        let read = |path| Secret::from_file(path, self.form);
        self.file.as_deref().map_or_else(|| Ok(self.clone()), read)
    }

    /// Reads a file and removes a byte order mark and trailing line breaks.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or its content is not a secret of this form.
    pub(crate) fn from_file(path: &Path, form: Form) -> Result<Secret, SecretError> {
        let name = shown::path(path);
        let text = std::fs::read_to_string(path).map(SecretString::from).map_err(|source| {
            match shown::is_plausible(path) {
                true => SecretError::Unreadable { name: name.clone(), source },
                false => SecretError::NotAPath(source),
            }
        })?;
        Secret::new(text.expose_secret(), Some(path.to_owned()), form)
            .map_err(|mistake| SecretError::Unusable { origin: name, mistake })
    }

    /// Reads the value of a variable and removes a byte order mark and trailing line breaks.
    ///
    /// # Errors
    ///
    /// The variable is not set, or its value is not a secret of this form.
    pub(crate) fn from_variable(
        name: &str,
        value: Option<&str>,
        form: Form,
    ) -> Result<Secret, SecretError> {
        let variable = match shown::is_variable(name) {
            true => format!("the variable {name}"),
            false => {
                "the variable of this name, which is not shown since it may be a secret,".to_owned()
            }
        };
        let Some(value) = value else { return Err(SecretError::Unset { variable }) };
        Secret::new(value, None, form)
            .map_err(|mistake| SecretError::Unusable { origin: variable, mistake })
    }

    /// Returns a placeholder for a secret that is not needed. It is valid for every key, including
    /// signing keys, which require several different characters.
    pub(crate) fn unread() -> Secret {
        let value = "whsec_bm90IHJlYWQsIGFuZCBnb29kIGZvciBub3RoaW5nIGF0IGFsbA==".to_owned();
        Secret { value: SecretString::from(value), file: None, form: Form::Text }
    }

    fn new(text: &str, file: Option<PathBuf>, form: Form) -> Result<Secret, &'static str> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let text = text.trim_end_matches(['\r', '\n']);
        match mistake(text, form) {
            Some(mistake) => Err(mistake),
            None => Ok(Secret { value: SecretString::from(text), file, form }),
        }
    }
}

/// Returns the reason why a text can never match, or cannot be sent.
fn mistake(text: &str, form: Form) -> Option<&'static str> {
    if text.trim().is_empty() {
        return Some("is empty; put the secret into it");
    }
    if form == Form::Text {
        return None;
    }
    if text.contains('\0') {
        return Some("holds a NUL byte, which HTTP cannot carry; write it again as plain text");
    }
    if text.contains(['\r', '\n']) {
        return Some("holds several lines; a secret is one line");
    }
    if text.starts_with(char::is_whitespace) || text.ends_with(char::is_whitespace) {
        return Some(
            "begins or ends with a blank or a tab, which HTTP takes off a header; remove it",
        );
    }
    if text.contains(is_invisible) {
        return Some("holds a control character or one that cannot be seen; remove it");
    }
    (form == Form::Header && !text.is_ascii())
        .then_some("holds characters that are not ASCII, which a header cannot carry; use another")
}

/// Returns whether a character is invisible, as copied text may contain.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

/// Returns the reason why a user name cannot be part of HTTP Basic (RFC 7617, 2).
pub(crate) fn username_mistake(name: &str) -> Option<&'static str> {
    if name.contains(':') {
        return Some("cannot hold a colon (RFC 7617); choose another");
    }
    if name.trim() != name || name.contains(is_invisible) {
        return Some(
            "begins or ends with a blank, or holds a character that cannot be seen; remove it",
        );
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORMS: [Form; 3] = [Form::Line, Form::Header, Form::Text];

    fn file(content: impl AsRef<[u8]>) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().expect("a file");
        std::fs::write(file.path(), content).expect("written");
        file
    }

    #[test]
    fn files_and_variables_lose_what_editors_add() {
        for form in FORMS {
            for text in ["s3cr3t", "s3cr3t\n", "s3cr3t\r\n", "s3cr3t\n\n", "\u{feff}s3cr3t\n"] {
                let by_file = Secret::from_file(file(text).path(), form).expect("read");
                let by_variable = Secret::from_variable("X", Some(text), form).expect("set");
                assert_eq!((by_file.expose(), by_variable.expose()), ("s3cr3t", "s3cr3t"));
            }
        }
    }

    #[test]
    fn secrets_that_can_never_match_are_refused_with_the_reason() {
        for (text, reason) in [
            ("", "is empty"),
            ("\n", "is empty"),
            ("\u{feff}", "is empty"),
            (" s3cr3t", "a blank or a tab"),
            ("s3cr3t \n", "a blank or a tab"),
            ("s3cr3t\t", "a blank or a tab"),
            ("s3cr3t\u{a0}", "a blank or a tab"),
            ("s3cr3t\0", "a NUL byte"),
            ("s3cr\r\n3t", "several lines"),
            ("s3cr\u{7}3t", "a control character"),
            ("s3cr\t3t", "a control character"),
            ("s3cr\u{7f}3t", "a control character"),
            ("s3cr\u{200b}3t", "a control character"),
            ("s3cr3t\u{feff}", "a control character"),
        ] {
            for form in [Form::Line, Form::Header] {
                let file = file(text);
                let by_file = Secret::from_file(file.path(), form).expect_err(text);
                let by_variable = Secret::from_variable("X", Some(text), form).expect_err(text);
                for error in [by_file, by_variable] {
                    let message = format!("{error} {error:?}");
                    assert!(message.contains(reason), "{text:?}: {message}");
                    assert!(!message.contains("s3cr"), "{message}");
                }
            }
        }
        assert!(Secret::from_variable("X", Some("pässwort"), Form::Line).is_ok());
        assert!(Secret::from_variable("X", Some("pässwort"), Form::Header).is_err());
        assert!(Secret::from_variable("X", Some("two words"), Form::Header).is_ok());
    }

    #[test]
    fn a_secret_in_place_of_a_name_is_not_shown() {
        for secret in ["q3Vx8LmZ0tR7yBnK", "canary-token", "SUAMLK2ZNL35WSMW37E7UD4VZ7ELPK"] {
            let by_file = Secret::from_file(Path::new(secret), Form::Line).expect_err("none");
            let by_variable = Secret::from_variable(secret, None, Form::Line).expect_err("none");
            let messages = format!("{by_file} {by_file:?} {by_variable} {by_variable:?}");
            assert!(!messages.contains(secret), "{messages}");
        }
        let message = Secret::from_variable("HEC_TOKEN", None, Form::Line).expect_err("none");
        let message = message.to_string();
        assert!(message.starts_with("the variable HEC_TOKEN is not set"), "{message}");
    }

    proptest! {
        #[test]
        fn an_accepted_header_value_is_sent_unchanged(text in "\\PC{0,3}[ -~\\x00-\\x1f]{0,12}\\PC{0,2}") {
            if let Ok(secret) = Secret::from_variable("X", Some(&text), Form::Header) {
                let value = http::HeaderValue::from_str(secret.expose()).expect("a header");
                prop_assert_eq!(value.as_bytes().trim_ascii(), secret.expose().as_bytes());
            }
        }
    }
}
