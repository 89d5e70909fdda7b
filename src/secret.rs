//! A secret: read from a file or a variable, wiped when dropped, never printed.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq;

/// A password, token or header value. Its `Debug` shows nothing of it.
#[derive(Debug, Clone)]
pub struct Secret {
    value: SecretString,
    /// Where it can be read again.
    file: Option<PathBuf>,
}

/// In constant time, though it is settings that are compared, not what a stranger sent.
impl PartialEq for Secret {
    fn eq(&self, other: &Secret) -> bool {
        let is_same = self.expose().as_bytes().ct_eq(other.expose().as_bytes());
        bool::from(is_same) && self.file == other.file
    }
}

impl Eq for Secret {}

impl Secret {
    /// The value, for comparing and sending only.
    pub fn expose(&self) -> &str {
        self.value.expose_secret()
    }

    /// The file that holds it, if it did not come from a variable.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Reads it again: someone may have replaced the file meanwhile. A variable never changes.
    pub fn reread(&self) -> Result<Secret, String> {
        self.file.as_deref().map_or_else(|| Ok(self.clone()), Secret::from_file)
    }

    /// The file's text without the line break that editors leave at its end.
    pub(crate) fn from_file(path: &Path) -> Result<Secret, String> {
        let text = std::fs::read_to_string(path).map_err(|error| {
            format!(
                "{} cannot be read: {error}. Check the path and its permissions",
                path.display()
            )
        })?;
        Secret::new(text.trim_end_matches(['\r', '\n']).to_owned(), Some(path.to_owned()))
            .ok_or_else(|| format!("{} is empty; put the secret into it", path.display()))
    }

    pub(crate) fn from_variable(name: &str, value: Option<&str>) -> Result<Secret, String> {
        value
            .and_then(|value| Secret::new(value.to_owned(), None))
            .ok_or_else(|| format!("the variable {name} is not set; set it to the secret"))
    }

    /// Stands for a secret that was not asked for. It has the form that every key accepts: a signing key's, of enough
    /// different characters.
    pub(crate) fn unread() -> Secret {
        let value = "whsec_bm90IHJlYWQsIGFuZCBnb29kIGZvciBub3RoaW5nIGF0IGFsbA==".to_owned();
        Secret { value: SecretString::from(value), file: None }
    }

    fn new(text: String, file: Option<PathBuf>) -> Option<Secret> {
        (!text.is_empty()).then(|| Secret { value: SecretString::from(text), file })
    }
}
