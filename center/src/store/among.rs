//! Conditions on the customers that somebody may see.

use sqlx::any::AnyArguments;
use sqlx::query::Query;
use sqlx::{Any, AssertSqlSafe};

use crate::access::Visible;

/// A condition, and its values.
pub(super) struct Among {
    sql: String,
    values: Vec<String>,
}

impl Among {
    /// That this column is a customer among the visible ones. Its placeholders begin with number `first`.
    pub(super) fn new(column: &'static str, visible: &Visible, first: usize) -> Self {
        let Visible::Only(list) = visible else {
            return Self { sql: "1 = 1".to_owned(), values: Vec::new() };
        };
        if list.is_empty() {
            return Self { sql: "1 = 0".to_owned(), values: Vec::new() };
        }
        let places: Vec<String> = (first..first + list.len()).map(|number| format!("${number}")).collect();
        let values = list.iter().map(ToString::to_string).collect();
        Self { sql: format!("{column} IN ({})", places.join(", ")), values }
    }

    /// A statement in which `{among}` stands for the condition.
    pub(super) fn within(&self, statement: &'static str) -> AssertSqlSafe<String> {
        // Only placeholders and names of columns from this program are in it.
        AssertSqlSafe(statement.replace("{among}", &self.sql))
    }

    /// Binds the values, after those of the placeholders before `first`.
    pub(super) fn bind<'q>(&self, query: Query<'q, Any, AnyArguments>) -> Query<'q, Any, AnyArguments> {
        self.values.iter().fold(query, |query, value| query.bind(value.clone()))
    }
}
