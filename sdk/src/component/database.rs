//! Implements the database trait by the import `usher:database`.

use super::bindings::usher::database::types::{self, Isolation, SqlDialect};
use super::bindings::usher::database::{database as import, streaming};
use crate::database::{
    Cursor, Database, Dialect, Error, Param, Records, Refusal, RefusalKind, Rows, Statements,
    Table, Transaction, Value, is_asked,
};

/// The database behind the import.
#[derive(Clone, Copy, Debug)]
pub struct Import;

impl Statements for Import {
    fn query(&self, statement: &str, params: &[Param<'_>]) -> Result<Rows, Error> {
        import::query(statement, &lower(params))
            .map_err(Error::from)
            .and_then(|found| records(statement, found.rows)?.into_rows())
    }

    fn query_records(&self, statement: &str, params: &[Param<'_>]) -> Result<Records, Error> {
        import::query(statement, &lower(params))
            .map_err(Error::from)
            .and_then(|found| records(statement, found.rows))
    }

    fn query_table(&self, statement: &str, params: &[Param<'_>]) -> Result<Table, Error> {
        import::query(statement, &lower(params))
            .map_err(Error::from)
            .and_then(|found| table(statement, found))
    }

    fn execute(&self, statement: &str, params: &[Param<'_>]) -> Result<u64, Error> {
        import::execute(statement, &lower(params)).map_err(Error::from)
    }
}

impl Database for Import {
    type Transaction = import::Transaction;
    type Cursor = ImportCursor;

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
        let inner = streaming::Cursor::open(statement, &lower(params))?;
        let packed = is_asked(statement);
        Ok(ImportCursor { inner, packed })
    }
}

/// A cursor of the import.
#[derive(Debug)]
pub struct ImportCursor {
    inner: streaming::Cursor,
    /// Whether its statement asks for packed rows.
    packed: bool,
}

impl Cursor for ImportCursor {
    fn columns(&self) -> Vec<String> {
        self.inner.columns()
    }

    fn next(&mut self, at_most: u32) -> Result<Rows, Error> {
        self.next_records(at_most)?.into_rows()
    }

    fn next_records(&mut self, at_most: u32) -> Result<Records, Error> {
        let rows = lift(self.inner.next(at_most)?);
        if self.packed {
            Records::unpack(rows)
        } else {
            Ok(rows.into())
        }
    }
}

impl Statements for import::Transaction {
    fn query(&self, statement: &str, params: &[Param<'_>]) -> Result<Rows, Error> {
        self.query(statement, &lower(params))
            .map_err(Error::from)
            .and_then(|found| records(statement, found.rows)?.into_rows())
    }

    fn query_records(&self, statement: &str, params: &[Param<'_>]) -> Result<Records, Error> {
        self.query(statement, &lower(params))
            .map_err(Error::from)
            .and_then(|found| records(statement, found.rows))
    }

    fn query_table(&self, statement: &str, params: &[Param<'_>]) -> Result<Table, Error> {
        self.query(statement, &lower(params))
            .map_err(Error::from)
            .and_then(|found| table(statement, found))
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
        Param::Boolean(value) => types::Value::Boolean(value),
        Param::Integer(value) => types::Value::Integer(value),
        Param::Real(value) => types::Value::Real(value),
        Param::Text(value) => types::Value::Text(value.into()),
        Param::Bytes(value) => types::Value::Bytes(value.into()),
        Param::Uuid(high, low) => types::Value::Uuid((high, low)),
        Param::Timestamp(value) => types::Value::Timestamp(value),
        Param::Decimal(value) => types::Value::Decimal(value.into()),
        Param::Json(value) => types::Value::Json(value.into()),
    };
    params.iter().map(lower).collect()
}

fn table(statement: &str, table: types::Rows) -> Result<Table, Error> {
    Ok(Table {
        columns: table.columns,
        rows: records(statement, table.rows)?.into_rows()?,
    })
}

fn records(statement: &str, rows: Vec<types::Row>) -> Result<Records, Error> {
    let rows = lift(rows);
    if is_asked(statement) {
        Records::unpack(rows)
    } else {
        Ok(rows.into())
    }
}

fn lift(rows: Vec<types::Row>) -> Rows {
    let value = |value| match value {
        types::Value::Null => Value::Null,
        types::Value::Boolean(value) => Value::Boolean(value),
        types::Value::Integer(value) => Value::Integer(value),
        types::Value::Real(value) => Value::Real(value),
        types::Value::Text(value) => Value::Text(value),
        types::Value::Bytes(value) => Value::Bytes(value),
        types::Value::Uuid((high, low)) => Value::Uuid(high, low),
        types::Value::Timestamp(value) => Value::Timestamp(value),
        types::Value::Decimal(value) => Value::Decimal(value),
        types::Value::Json(value) => Value::Json(value),
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
                    types::RefusalKind::ForeignKeyViolation => RefusalKind::ForeignKeyViolation,
                    types::RefusalKind::NotNullViolation => RefusalKind::NotNullViolation,
                    types::RefusalKind::CheckViolation => RefusalKind::CheckViolation,
                    types::RefusalKind::SerializationFailure => RefusalKind::SerializationFailure,
                    types::RefusalKind::Other => RefusalKind::Other,
                },
                code: refusal.code,
                message: refusal.message,
                constraint: refusal.constraint,
                column: refusal.column,
            }),
        }
    }
}
