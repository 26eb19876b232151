//! Implements the service's database trait by the import `usher:database`.

use super::bindings::usher::database::types::{self, Isolation, SqlDialect};
use super::bindings::usher::database::{database as import, streaming};
use crate::database::{
    Cursor, Database, Dialect, Error, Param, Refusal, RefusalKind, Rows, Statements, Transaction,
    Value,
};

/// The database behind the import.
pub(super) struct Import;

impl Statements for Import {
    fn query(&self, statement: &str, params: &[Param<'_>]) -> Result<Rows, Error> {
        import::query(statement, &lower(params))
            .map(|found| rows(found.rows))
            .map_err(Error::from)
    }

    fn execute(&self, statement: &str, params: &[Param<'_>]) -> Result<u64, Error> {
        import::execute(statement, &lower(params)).map_err(Error::from)
    }
}

impl Database for Import {
    type Transaction = import::Transaction;
    type Cursor = streaming::Cursor;

    fn dialect(&self) -> Dialect {
        match import::dialect() {
            SqlDialect::Postgres => Dialect::Postgres,
            SqlDialect::Sqlite => Dialect::Sqlite,
        }
    }

    fn begin(&self) -> Result<Self::Transaction, Error> {
        import::Transaction::begin(Isolation::ReadCommitted, false).map_err(Error::from)
    }

    fn open(&self, statement: &str, params: &[Param<'_>]) -> Result<Self::Cursor, Error> {
        streaming::Cursor::open(statement, &lower(params)).map_err(Error::from)
    }
}

impl Cursor for streaming::Cursor {
    fn next(&mut self, at_most: u32) -> Result<Rows, Error> {
        streaming::Cursor::next(self, at_most)
            .map(rows)
            .map_err(Error::from)
    }
}

impl Statements for import::Transaction {
    fn query(&self, statement: &str, params: &[Param<'_>]) -> Result<Rows, Error> {
        self.query(statement, &lower(params))
            .map(|found| rows(found.rows))
            .map_err(Error::from)
    }

    fn execute(&self, statement: &str, params: &[Param<'_>]) -> Result<u64, Error> {
        self.execute(statement, &lower(params)).map_err(Error::from)
    }
}

impl Transaction for import::Transaction {
    fn commit(self) -> Result<(), Error> {
        import::Transaction::commit(self).map_err(Error::from)
    }
}

fn lower(params: &[Param<'_>]) -> Vec<types::Value> {
    let lower = |param: &Param<'_>| match *param {
        Param::Null => types::Value::Null,
        Param::Integer(value) => types::Value::Integer(value),
        Param::Text(value) => types::Value::Text(value.into()),
    };
    params.iter().map(lower).collect()
}

fn rows(rows: Vec<types::Row>) -> Rows {
    let value = |value| match value {
        types::Value::Null => Value::Null,
        types::Value::Boolean(value) => Value::Boolean(value),
        types::Value::Integer(value) => Value::Integer(value),
        types::Value::Text(value) => Value::Text(value),
        _ => Value::Other,
    };
    rows.into_iter()
        .map(|row| row.into_iter().map(value).collect())
        .collect()
}

impl From<types::Error> for Error {
    fn from(error: types::Error) -> Self {
        match error {
            types::Error::Unavailable(why) => Self::Unavailable(why),
            types::Error::Overloaded => Self::Overloaded,
            types::Error::Timeout => Self::Timeout,
            types::Error::InDoubt => Self::InDoubt,
            types::Error::Denied(why) => Self::Denied(why),
            types::Error::Invalid(why) => Self::Invalid(why),
            types::Error::TooLarge(limit) => Self::TooLarge(limit),
            types::Error::Refused(refusal) => Self::Refused(Refusal {
                kind: match refusal.kind {
                    types::RefusalKind::UniqueViolation => RefusalKind::UniqueViolation,
                    types::RefusalKind::SerializationFailure => RefusalKind::SerializationFailure,
                    _ => RefusalKind::Other,
                },
                code: refusal.code,
                message: refusal.message,
                constraint: refusal.constraint,
            }),
        }
    }
}
