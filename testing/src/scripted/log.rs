//! The log of a script.

use std::fmt;

use usher::database::statement::Statement;
use usher::database::{Isolation, Value};

/// One call on a script, logged when it arrives.
///
/// It is printed as one line with the number of its transaction, such as `[1] DELETE FROM users
/// WHERE id = $1 ($1 = 7)`.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The number of the transaction, counted from 1 in the order of their beginnings; none outside
    /// a transaction.
    pub transaction: Option<u64>,
    /// The call.
    pub event: Event,
}

/// A call on a script, or what happens to one of its transactions.
#[derive(Clone, Debug)]
pub enum Event {
    /// A statement: a query, an execution, or the statement of a cursor.
    Statement {
        /// Its text.
        text: String,
        /// Its parameters: the first is `$1`.
        params: Vec<Value>,
    },
    /// The beginning of a transaction.
    Begin {
        /// The requested isolation.
        isolation: Isolation,
        /// Whether it is read-only.
        read_only: bool,
    },
    /// A commit.
    Commit,
    /// A rollback: by the component, or because the transaction was aborted when it should have
    /// been committed.
    Rollback,
    /// The next rows of a cursor.
    Fetch,
    /// The transaction was dropped, which rolls it back.
    Dropped,
    /// The connection was lost during a statement, and the transaction with it.
    Lost,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(number) = self.transaction {
            write!(f, "[{number}] ")?;
        }
        self.event.fmt(f)
    }
}

impl Event {
    pub(crate) fn statement(statement: &Statement, params: &[Value]) -> Self {
        Self::Statement {
            text: statement.text.to_string(),
            params: params.to_vec(),
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Statement { text, params } if params.is_empty() => f.write_str(text),
            Self::Statement { text, params } => write!(f, "{text} ({})", Parameters(params)),
            Self::Begin {
                isolation,
                read_only,
            } => {
                let level = match isolation {
                    Isolation::ReadCommitted => "READ COMMITTED",
                    Isolation::RepeatableRead => "REPEATABLE READ",
                    Isolation::Serializable => "SERIALIZABLE",
                };
                write!(
                    f,
                    "BEGIN {level}{}",
                    if *read_only { ", READ ONLY" } else { "" }
                )
            }
            Self::Commit => f.write_str("COMMIT"),
            Self::Rollback => f.write_str("ROLLBACK"),
            Self::Fetch => f.write_str("FETCH"),
            Self::Dropped => f.write_str("dropped"),
            Self::Lost => f.write_str("connection lost"),
        }
    }
}

/// Parameters as the log prints them: `$1 = 7, $2 = "Ann"`.
pub(crate) struct Parameters<'v>(pub(crate) &'v [Value]);

impl fmt::Display for Parameters<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, value) in self.0.iter().enumerate() {
            let before = if index == 0 { "" } else { ", " };
            write!(f, "{before}${} = {}", index + 1, Shown(value))?;
        }
        Ok(())
    }
}

/// A value as the log prints it.
struct Shown<'v>(&'v Value);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Value::Null => f.write_str("null"),
            Value::Boolean(value) => write!(f, "{value}"),
            Value::Integer(value) => write!(f, "{value}"),
            Value::Real(value) => write!(f, "{value:?}"),
            Value::Text(text) => write!(f, "{text:?}"),
            Value::Bytes(bytes) => {
                f.write_str("bytes ")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
            }
            Value::Uuid((high, low)) => write!(
                f,
                "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
                high >> 32,
                high >> 16 & 0xffff,
                high & 0xffff,
                low >> 48,
                low & 0xffff_ffff_ffff
            ),
            Value::Timestamp(micros) => write!(f, "timestamp {micros}"),
            Value::Decimal(digits) => write!(f, "decimal {digits}"),
            Value::Json(text) => write!(f, "json {text}"),
        }
    }
}
