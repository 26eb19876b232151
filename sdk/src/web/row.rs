//! Rows as structs, by the names of their columns.

use super::value::FromValue;
use crate::database::Value;

/// A struct that a row can be read as. `#[derive(FromRow)]` reads each field from the column of its
/// name, or from that of `#[row(column = "…")]`.
pub trait FromRow: Sized {
    /// Reads a row.
    ///
    /// # Errors
    /// When the result has no such column, or the column has another type.
    fn from_row(row: &mut Row<'_>) -> Result<Self, RowError>;
}

/// A row whose values are taken by the names of their columns.
#[derive(Debug)]
pub struct Row<'c> {
    columns: &'c [String],
    values: Vec<Value>,
    /// Where the next column probably is: fields and columns mostly have the same order.
    next: usize,
}

/// A field of a struct, and its column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field {
    /// The struct.
    pub owner: &'static str,
    /// The field.
    pub name: &'static str,
    /// The column.
    pub column: &'static str,
}

impl<'c> Row<'c> {
    /// A row of a result with these columns.
    #[must_use]
    pub fn new(columns: &'c [String], values: Vec<Value>) -> Self {
        Self {
            columns,
            values,
            next: 0,
        }
    }

    /// Takes the value of a field. A value can be taken once.
    ///
    /// # Errors
    /// When the result has no such column, or the column has another type.
    pub fn take<T: FromValue>(&mut self, field: Field) -> Result<T, RowError> {
        let is_it = |name: &String| name == field.column;
        let at = if self.columns.get(self.next).is_some_and(is_it) {
            Some(self.next)
        } else {
            self.columns.iter().position(is_it)
        };
        let error = |found| RowError {
            field,
            expected: T::EXPECTED,
            found,
        };
        let slot = at.and_then(|at| {
            self.next = at + 1;
            self.values.get_mut(at)
        });
        let slot = slot.ok_or_else(|| error(None))?;
        T::from_value(std::mem::replace(slot, Value::Null)).map_err(|found| error(Some(found)))
    }
}

/// A row that cannot be read as a struct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowError {
    /// The field that cannot be read.
    pub field: Field,
    /// What it is read from.
    pub expected: &'static str,
    /// What was found, or `None` if the result has no such column.
    pub found: Option<&'static str>,
}

impl std::fmt::Display for RowError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self {
            field:
                Field {
                    owner,
                    name,
                    column,
                },
            expected,
            found,
        } = self;
        write!(f, "{owner}.{name} cannot be read: ")?;
        match found {
            None => write!(
                f,
                "the result has no column `{column}`; select it, or name another one with \
                 #[row(column = \"…\")]"
            ),
            Some(found) => write!(
                f,
                "the column `{column}` has {found}, and {expected} is expected"
            ),
        }
    }
}

impl std::error::Error for RowError {}

#[cfg(test)]
mod tests {
    use super::super::FromRow;
    use super::Row;
    use crate::database::Value;

    #[derive(Debug, PartialEq, FromRow)]
    struct Note {
        id: i64,
        #[row(column = "body")]
        text: Option<String>,
        pages: u8,
    }

    fn read(columns: &[&str], values: Vec<Value>) -> Result<Note, String> {
        let columns: Vec<String> = columns.iter().map(|&name| name.to_owned()).collect();
        Note::from_row(&mut Row::new(&columns, values)).map_err(|error| error.to_string())
    }

    #[test]
    fn row_with_columns_in_any_order_is_read_by_name() {
        let note = Note {
            id: 1,
            text: Some("a".into()),
            pages: 2,
        };
        let (id, text, pages) = (
            Value::Integer(1),
            Value::Text("a".into()),
            Value::Integer(2),
        );
        let values = vec![pages.clone(), Value::Real(0.5), text.clone(), id.clone()];
        let read_again = read(&["pages", "other", "body", "id"], values);
        assert_eq!(read_again.as_ref(), Ok(&note));
        assert_eq!(
            read(&["id", "body", "pages"], vec![id, text, pages]),
            Ok(note)
        );
    }

    #[test]
    fn missing_column_is_named_with_struct_and_field() {
        assert_eq!(
            read(&["id"], vec![Value::Integer(1)]).unwrap_err(),
            "Note.text cannot be read: the result has no column `body`; select it, or name \
             another one with #[row(column = \"…\")]"
        );
    }

    #[test]
    fn value_of_other_type_is_named_with_both_types() {
        let values = vec![Value::Integer(1), Value::Null, Value::Integer(300)];
        assert_eq!(
            read(&["id", "body", "pages"], values).unwrap_err(),
            "Note.pages cannot be read: the column `pages` has an integer outside this range, \
             and an unsigned integer of 8 bits is expected"
        );
    }
}
