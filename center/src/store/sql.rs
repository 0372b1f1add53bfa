//! A statement that is put together from parts, with its values. The parts are texts of this program; what comes from outside is a value.

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, AssertSqlSafe};

use super::Result;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Value {
    Text(String),
    Number(i64),
}

/// A statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Sql {
    text: String,
    values: Vec<Value>,
}

impl Sql {
    /// Begins one.
    pub(super) fn new(text: &'static str) -> Self {
        Self { text: text.to_owned(), values: Vec::new() }
    }

    /// Goes on.
    pub(super) fn push(&mut self, text: &'static str) -> &mut Self {
        self.text.push_str(text);
        self
    }

    /// A text.
    pub(super) fn text(&mut self, value: impl Into<String>) -> &mut Self {
        self.value(Value::Text(value.into()))
    }

    /// A number.
    pub(super) fn number(&mut self, value: i64) -> &mut Self {
        self.value(Value::Number(value))
    }

    /// Texts in brackets, for IN; nothing is in an empty list.
    pub(super) fn list<T: ToString>(&mut self, values: &[T]) -> &mut Self {
        self.push("(");
        for (index, value) in values.iter().enumerate() {
            if index > 0 {
                self.push(", ");
            }
            self.text(value.to_string());
        }
        if values.is_empty() {
            self.push("NULL");
        }
        self.push(")")
    }

    fn value(&mut self, value: Value) -> &mut Self {
        self.values.push(value);
        self.text.push('$');
        self.text.push_str(&self.values.len().to_string());
        self
    }

    /// Its rows.
    pub(super) async fn fetch(self, connection: &mut AnyConnection) -> Result<Vec<AnyRow>> {
        let mut query = sqlx::query(AssertSqlSafe(self.text));
        for value in self.values {
            query = match value {
                Value::Text(text) => query.bind(text),
                Value::Number(number) => query.bind(number),
            };
        }
        // There are many of them, each asked for seldom.
        Ok(query.persistent(false).fetch_all(connection).await?)
    }
}
