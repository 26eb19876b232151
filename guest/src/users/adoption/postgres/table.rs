//! The database, the table and its columns, as the catalogue describes them.

use super::super::catalogue::{first, query};
use super::sql;
use usher_sdk::database::{Error, Statements};

/// The database, and the privileges of the role.
pub(super) struct Environment {
    pub(super) encoding: String,
    pub(super) schema: Option<String>,
    pub(super) role: String,
    pub(super) may_create: bool,
    pub(super) may_write_functions: bool,
}

/// The table.
#[expect(
    clippy::struct_excessive_bools,
    reason = "a row of the catalogue, as it is selected"
)]
pub(super) struct Table {
    pub(super) schema: String,
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) persistence: String,
    pub(super) hides_rows: bool,
    pub(super) is_owned: bool,
    pub(super) owner: String,
    pub(super) has_relatives: bool,
    pub(super) may_have_triggers: bool,
    pub(super) rows: i64,
    pub(super) may_be_used: bool,
}

/// A column of the table.
#[expect(
    clippy::struct_excessive_bools,
    reason = "a row of the catalogue, as it is selected"
)]
pub(super) struct Column {
    pub(super) name: String,
    pub(super) kind: String,
    pub(super) declared: String,
    pub(super) is_limited: bool,
    pub(super) is_filled: bool,
    pub(super) must_be_filled: bool,
    pub(super) default: Option<String>,
    pub(super) identity: String,
    pub(super) generated: String,
    pub(super) collation: Option<String>,
    pub(super) is_bytewise: bool,
    pub(super) has_own_collation: bool,
    pub(super) dependants: Vec<String>,
}

impl Column {
    /// Whether the database provides a value on INSERT.
    pub(super) fn has_default(&self) -> bool {
        self.default.is_some() || !self.identity.is_empty() || !self.generated.is_empty()
    }
}

pub(super) fn environment(database: &impl Statements) -> Result<Environment, Error> {
    let Some(mut row) = first(database, sql::DATABASE)? else {
        return Err(Error::Invalid(
            "the database does not know its own name".into(),
        ));
    };
    Ok(Environment {
        encoding: row.text()?,
        schema: row.optional_text()?,
        role: row.text()?,
        may_create: row.flag()?,
        may_write_functions: row.flag()?,
    })
}

pub(super) fn table(database: &impl Statements) -> Result<Option<Table>, Error> {
    let Some(mut row) = first(database, sql::RELATION)? else {
        return Ok(None);
    };
    Ok(Some(Table {
        schema: row.text()?,
        name: row.text()?,
        kind: row.text()?,
        persistence: row.text()?,
        hides_rows: row.flag()?,
        is_owned: row.flag()?,
        owner: row.text()?,
        has_relatives: row.flag()?,
        may_have_triggers: row.flag()?,
        rows: row.number()?,
        may_be_used: row.flag()?,
    }))
}

pub(super) fn columns(database: &impl Statements) -> Result<Vec<Column>, Error> {
    let mut columns = Vec::new();
    for mut row in query(database, sql::COLUMNS)? {
        columns.push(Column {
            name: row.text()?,
            kind: row.text()?,
            declared: row.text()?,
            is_limited: row.flag()?,
            is_filled: row.flag()?,
            must_be_filled: row.flag()?,
            default: row.optional_text()?,
            identity: row.text()?,
            generated: row.text()?,
            collation: row.optional_text()?,
            is_bytewise: row.flag()?,
            has_own_collation: row.flag()?,
            dependants: Vec::new(),
        });
    }
    for mut row in query(database, sql::DEPENDANTS)? {
        let (name, dependant) = (row.text()?, row.text()?);
        if let Some(column) = columns.iter_mut().find(|column| column.name == name) {
            column.dependants.push(dependant);
        }
    }
    Ok(columns)
}
