//! Renders the texts of a task, each by the rule of its field.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::helpers::Registries;
use crate::mentions;
use crate::system::ENVIRONMENT;
use crate::template::{self, Condition, TemplateFile, Text};
use crate::variables::Variables;

/// What the texts of a task are rendered with.
pub(crate) struct Scope<'a> {
    pub(crate) registries: &'a Registries,
    pub(crate) variables: &'a mut Variables,
    /// The script's folder.
    pub(crate) folder: Option<&'a Path>,
}

impl Scope<'_> {
    /// A message: as it comes, but not empty.
    pub(crate) fn message(&self, text: &Text) -> Result<String, String> {
        let rendered = text.render(self.registries, self.variables)?;
        if rendered.is_empty() { Err(empty(text)) } else { Ok(rendered) }
    }

    /// Refuses a text with a variable that a dry run cannot know.
    pub(crate) fn refuse_unknown(&self, text: &Text) -> Result<(), String> {
        self.variables.refuse_unknown(mentions::in_template(&text.source))
    }

    /// A text as it comes, also an empty one; only NUL, which no program can be given, is refused.
    pub(crate) fn verbatim(&self, text: &Text) -> Result<String, String> {
        let rendered = text.render(self.registries, self.variables)?;
        if rendered.contains('\0') {
            return Err(format!("field ({}): a NUL character is not allowed", text.key));
        }
        Ok(rendered)
    }

    /// A text without blanks at its ends.
    pub(crate) fn text(&self, text: &Text) -> Result<String, String> {
        let rendered = text.render(self.registries, self.variables)?;
        let trimmed = rendered.trim();
        if trimmed.is_empty() {
            return Err(empty(text));
        }
        if trimmed.contains('\0') {
            return Err(format!("field ({}): a NUL character is not allowed", text.key));
        }
        Ok(trimmed.to_owned())
    }

    /// A text without any blank: a name.
    pub(crate) fn word(&self, text: &Text) -> Result<String, String> {
        let word = self.text(text)?;
        if word.contains(char::is_whitespace) {
            return Err(format!("field ({}): spaces are not allowed", text.key));
        }
        Ok(word)
    }

    /// A path; a relative one is below the script's folder.
    pub(crate) fn path(&self, text: &Text) -> Result<PathBuf, String> {
        let path = PathBuf::from(self.text(text)?);
        if path.is_absolute() {
            return Ok(path);
        }
        let folder = self.folder.ok_or_else(|| {
            format!("field ({}): {} must begin with / in a script without a folder", text.key, path.display())
        })?;
        Ok(folder.join(path))
    }

    pub(crate) fn optional_word(&self, text: Option<&Text>) -> Result<Option<String>, String> {
        text.map(|text| self.word(text)).transpose()
    }

    /// A boolean; `None` when the field is absent.
    pub(crate) fn flag(&self, text: Option<&Text>) -> Result<Option<bool>, String> {
        let Some(text) = text else { return Ok(None) };
        match self.text(text)?.as_str() {
            "true" => Ok(Some(true)),
            "false" => Ok(Some(false)),
            other => Err(format!("field ({}) value is not a boolean: {other}", text.key)),
        }
    }

    /// A whole number; `None` when the field is absent.
    pub(crate) fn number(&self, text: Option<&Text>) -> Result<Option<u32>, String> {
        let Some(text) = text else { return Ok(None) };
        let rendered = self.text(text)?;
        let wrong = |_| format!("field ({}) value is not a whole number: {rendered}", text.key);
        rendered.parse().map(Some).map_err(wrong)
    }

    /// A shell command; inside an error when a value of it means something to a shell, unless that is wanted.
    pub(crate) fn command(&self, text: &Text, is_unsafe: bool) -> Result<Result<String, String>, String> {
        let rendered = if is_unsafe {
            text.render(self.registries, self.variables)?
        } else {
            match text.render_command(self.registries, self.variables)? {
                Ok(rendered) => rendered,
                refused => return Ok(refused),
            }
        };
        if rendered.trim().is_empty() {
            return Err(empty(text));
        }
        if rendered.contains('\0') {
            return Err(format!("field ({}): a NUL character is not allowed", text.key));
        }
        Ok(Ok(rendered))
    }

    /// A file's content, where the programs' environment is known as `ENV_PATH` and so on. Inside an error when it cannot be
    /// rendered: as in jetp that is a failure which `ignore_errors` covers.
    pub(crate) fn file_content(&mut self, file: &TemplateFile) -> Result<Result<String, String>, String> {
        self.variables.refuse_unknown(file.names.iter().map(String::as_str))?;
        let environment =
            ENVIRONMENT.iter().map(|(name, value)| (format!("ENV_{name}"), Value::from(*value)));
        let before = self.variables.overlay(environment.collect::<Map<_, _>>());
        let rendered = template::render(&file.template, self.registries, self.variables.context());
        self.variables.lay_back(before);
        Ok(rendered)
    }

    pub(crate) fn holds(&self, condition: &Condition) -> Result<bool, String> {
        condition.holds(self.registries, self.variables)
    }
}

fn empty(text: &Text) -> String {
    format!("field ({}): evaluated to empty string", text.key)
}
