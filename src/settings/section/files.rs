//! Reads paths and secrets. A configuration names the file or variable of a secret and never contains it.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::reading::text_of;
use super::{Reading, Section};
use crate::secret::{Form, Secret, username_mistake};
use crate::settings::problem::Origin;

impl<'p> Section<'p> {
    /// Reads a path. A relative path in the file leads from the file's directory, so that the working directory of
    /// a command does not matter. A relative path in a variable leads from the working directory, as in a shell.
    pub(crate) fn path<'s>(&'s mut self, key: &str, doc: &str) -> Reading<'s, 'p, PathBuf> {
        let problems = self.problems;
        self.reading(
            key,
            doc,
            || json!({ "type": "string" }),
            move |node| {
                let text = text_of(node)?;
                if text.is_empty() {
                    return Err(vec!["is empty; write a path, or leave it out".to_owned()]);
                }
                let directory = problems.file().and_then(Path::parent).unwrap_or(Path::new(""));
                Ok(match node.origin {
                    Origin::Line(_) => directory.join(text),
                    Origin::Variable(_) => PathBuf::from(text),
                })
            },
        )
    }

    /// Reads a secret that may be left out; `Some(None)` if it is.
    pub(crate) fn optional_secret(
        &mut self,
        key: &str,
        form: Form,
        doc: &str,
    ) -> Option<Option<Secret>> {
        let names = [key.to_owned(), format!("{key}_file"), format!("{key}_env")];
        if self.schema.is_none() && !names.iter().any(|name| self.is_given(name)) {
            names[1..].iter().for_each(|name| self.know(name));
            return Some(None);
        }
        self.secret(key, form, doc).map(Some)
    }

    /// Reads a secret, given as `KEY_file` or `KEY_env` and never inline.
    pub(crate) fn secret(&mut self, key: &str, form: Form, doc: &str) -> Option<Secret> {
        let (by_file, by_env) = (format!("{key}_file"), format!("{key}_env"));
        // The key itself is not among the keys that messages offer.
        if let Some(node) = self.table.remove(key) {
            let advice = format!("secrets are not written here; use {by_file} or {by_env}");
            self.report_at(&node.origin, key, advice);
            self.ignore(&[&by_file, &by_env]);
            return None;
        }
        let origin = [&by_env, &by_file]
            .into_iter()
            .find_map(|name| self.table.get(name).map(|node| node.origin.clone()));
        let path = self.path(&by_file, &format!("{doc} Path of a file that holds it."));
        let path = path.optional();
        let name = self.text(&by_env, &format!("{doc} Name of a variable that holds it."));
        let name = name.optional();
        let (path, name) = (path?, name?);
        if self.schema.is_none() && !self.problems.reads_secrets_of(&self.path) {
            return Some(Secret::unread());
        }
        let read = match (&path, &name) {
            (Some(path), None) => Secret::from_file(path, form).map_err(|error| error.to_string()),
            (None, Some(name)) => Secret::from_variable(name, self.problems.variable(name), form)
                .map_err(|error| error.to_string()),
            (None, None) => Err(format!("is missing; write {by_file} or {by_env}")),
            (Some(_), Some(_)) => Err(format!("use {by_file} or {by_env}, not both")),
        };
        let key = if name.is_some() { &by_env } else { &by_file };
        match (read, origin) {
            (Ok(secret), _) => Some(secret),
            (Err(message), Some(origin)) => {
                self.report_at(&origin, key, message);
                None
            }
            (Err(message), None) => {
                self.report(key, message);
                None
            }
        }
    }

    /// Returns the value of a variable whose name a platform has chosen, such as `AZURE_CLIENT_ID`.
    pub(crate) fn variable(&self, name: &str) -> Option<&'p str> {
        self.problems.variable(name)
    }

    /// Reads a user name for HTTP Basic.
    pub(crate) fn http_username<'s>(&'s mut self, key: &str, doc: &str) -> Reading<'s, 'p, String> {
        self.text_as(key, doc, |name| {
            let mistake = username_mistake(name);
            mistake.map_or_else(|| Ok(name.to_owned()), |mistake| Err(mistake.to_owned()))
        })
    }

    /// Reads the table `basic`: user name and password for HTTP Basic. `Some(None)` if there is none.
    pub(crate) fn http_basic(&mut self, doc: &str) -> Option<Option<(String, Secret)>> {
        self.optional_table("basic", doc, |basic| {
            let username = basic.http_username("username", "User name.").required("davinci-siem");
            let password = basic.secret("password", Form::Line, "Password.");
            Some((username?, password?))
        })
    }

    fn ignore(&mut self, keys: &[&str]) {
        for key in keys {
            self.table.remove(*key);
        }
    }
}
