//! Paths and secrets: what a configuration names and does not hold.

use std::path::{Path, PathBuf};

use super::Section;
use crate::config::problem::Origin;
use crate::secret::{Form, Secret};

impl Section<'_> {
    /// A path. A relative one that stands in the file leads from the file's directory, so that it does not matter
    /// where a command is typed; one in a variable leads from the working directory, as in any shell.
    pub(in crate::config) fn path(&mut self, key: &str) -> Option<PathBuf> {
        let is_in_file = matches!(self.origin(key), Some(Origin::Line(_)));
        let text = self.text(key)?;
        if text.is_empty() {
            self.report(key, "is empty; write a path, or leave it out".to_owned());
        }
        Some(if is_in_file { self.beside_file(&text) } else { PathBuf::from(text) })
    }

    /// A path as the configuration file means it; without a file, as the working directory does.
    pub(in crate::config) fn beside_file(&self, path: &str) -> PathBuf {
        let directory = self.file().and_then(Path::parent).unwrap_or(Path::new(""));
        directory.join(path)
    }

    /// A path that has to be there.
    pub(in crate::config) fn required_path(&mut self, key: &str, example: &str) -> Option<PathBuf> {
        if self.is_missing(key) {
            self.report(key, format!("is missing; write for example {key} = {example:?}"));
        }
        self.path(key)
    }

    /// A secret that may be left out.
    pub(in crate::config) fn secret_if_given(&mut self, key: &str, form: Form) -> Option<Secret> {
        let names = [key.to_owned(), format!("{key}_file"), format!("{key}_env")];
        if names.iter().all(|name| self.is_missing(name)) {
            names[1..].iter().for_each(|name| self.ask(name));
            return None;
        }
        self.secret(key, form)
    }

    /// A secret, given as `KEY_file` or `KEY_env` and never inline.
    pub(in crate::config) fn secret(&mut self, key: &str, form: Form) -> Option<Secret> {
        let (by_file, by_env) = (format!("{key}_file"), format!("{key}_env"));
        // Not among the keys that are offered.
        if let Some(node) = self.table.remove(key) {
            let advice = format!("secrets are not written here; use {by_file} or {by_env}");
            self.problems.report(Some(&node.origin), &self.key(key), advice);
            return None;
        }
        let origin = self.origin(&by_env).or_else(|| self.origin(&by_file));
        let given = (self.path(&by_file), self.text(&by_env));
        if !self.problems.reads_secrets_of(&self.path) {
            return Some(Secret::unread());
        }
        let read = match &given {
            (Some(path), None) => Secret::from_file(path, form).map_err(|error| error.to_string()),
            (None, Some(name)) => Secret::from_variable(name, self.problems.variable(name), form)
                .map_err(|error| error.to_string()),
            (None, None) => Err(format!("is missing; write {by_file} or {by_env}")),
            (Some(_), Some(_)) => Err(format!("use {by_file} or {by_env}, not both")),
        };
        let key = self.key(if given.1.is_some() { &by_env } else { &by_file });
        read.map_err(|message| self.problems.report(origin.as_ref(), &key, message)).ok()
    }
}
