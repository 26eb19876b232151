//! Rows that a test begins with.

use usher::database::Value;

/// Statements that fill a database before a test, past the component and its rules.
///
/// Each is one statement in the database's own SQL. Parameters are `$1`, `$2` and so on.
#[derive(Clone, Debug, Default)]
pub struct Seed {
    pub(crate) statements: Vec<(String, Vec<Value>)>,
}

impl Seed {
    /// A seed of one statement.
    pub fn sql(statement: impl Into<String>) -> Self {
        Self::default().then(statement, [])
    }

    /// Adds a statement with its parameters.
    #[must_use]
    pub fn then(
        mut self,
        statement: impl Into<String>,
        params: impl IntoIterator<Item = Value>,
    ) -> Self {
        let params = params.into_iter().collect();
        self.statements.push((statement.into(), params));
        self
    }
}

/// So many users: `User 1` with `user1@example.com` has the id 1, and so on.
pub fn users(count: u32) -> Seed {
    // PostgreSQL and SQLite share this text.
    let insert = "WITH RECURSIVE numbers (n) AS \
        (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < $1) \
        INSERT INTO users (name, email) \
        SELECT 'User ' || n, 'user' || n || '@example.com' FROM numbers";
    match count {
        0 => Seed::default(),
        count => Seed::default().then(insert, [Value::Integer(count.into())]),
    }
}
