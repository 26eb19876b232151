//! The rows of a result, read without a copy of their texts.

use super::error::Error;
use super::packed::{CELL, Packed};
use super::value::{Param, Rows, Value};

/// The rows of a result, in the order in which the database returned them.
///
/// Where the host packed them, no value is copied before it is read, so a service of long lists
/// reads its rows like this ([`Statements::query_records`](super::Statements::query_records)) and
/// asks for packed rows (`docs/database.md`).
#[derive(Clone, Debug, PartialEq)]
pub struct Records(Form);

#[derive(Clone, Debug, PartialEq)]
enum Form {
    Rows(Rows),
    Packed(Packed),
}

impl Default for Records {
    fn default() -> Self {
        Self(Form::Rows(Rows::new()))
    }
}

impl From<Rows> for Records {
    fn from(rows: Rows) -> Self {
        Self(Form::Rows(rows))
    }
}

impl Records {
    /// The rows of a statement that asked for packed rows: as they are, if the host did not pack
    /// them.
    ///
    /// # Errors
    /// [`Error::Invalid`] if they are packed in another layout.
    pub fn unpack(mut rows: Rows) -> Result<Self, Error> {
        if let [row] = &mut rows[..]
            && let [Value::Bytes(packed)] = &mut row[..]
        {
            return Packed::new(std::mem::take(packed))
                .map(|packed| Self(Form::Packed(packed)))
                .ok_or_else(other_layout);
        }
        Ok(rows.into())
    }

    /// The number of rows.
    #[must_use]
    pub fn len(&self) -> usize {
        match &self.0 {
            Form::Rows(rows) => rows.len(),
            Form::Packed(packed) => packed.len(),
        }
    }

    /// Whether there are no rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of all texts, decimals and JSON.
    #[must_use]
    pub fn text_bytes(&self) -> usize {
        let bytes = |value: &Value| match value {
            Value::Text(text) | Value::Decimal(text) | Value::Json(text) => text.len(),
            _ => 0,
        };
        match &self.0 {
            Form::Rows(rows) => rows.iter().flatten().map(bytes).sum(),
            Form::Packed(packed) => packed.texts().len(),
        }
    }

    /// All texts, decimals and JSON in one piece, if the host packed the rows. What holds for it
    /// holds for each of them, such as that nothing in it must be escaped.
    #[must_use]
    pub fn texts(&self) -> Option<&str> {
        match &self.0 {
            Form::Rows(_) => None,
            Form::Packed(packed) => Some(packed.texts()),
        }
    }

    /// The rows, in order.
    pub fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        (0..self.len()).filter_map(|row| self.get(row))
    }

    /// One row.
    #[must_use]
    #[inline]
    pub fn get(&self, row: usize) -> Option<Record<'_>> {
        Some(Record(match &self.0 {
            Form::Rows(rows) => Values::Row(rows.get(row)?.iter()),
            Form::Packed(packed) => Values::Packed(packed, packed.row(row)?.iter()),
        }))
    }

    /// The rows as values of their own.
    ///
    /// # Errors
    /// [`Error::Invalid`] if they are packed in another layout.
    pub fn into_rows(self) -> Result<Rows, Error> {
        match self.0 {
            Form::Rows(rows) => Ok(rows),
            Form::Packed(packed) => packed.to_rows().ok_or_else(other_layout),
        }
    }
}

fn other_layout() -> Error {
    Error::Invalid("the host packs rows in another layout".into())
}

/// One row: its values, in the order of the columns. A value that the host packed in another layout
/// is missing, and so are those after it.
#[derive(Clone, Debug)]
pub struct Record<'a>(Values<'a>);

#[derive(Clone, Debug)]
enum Values<'a> {
    Row(std::slice::Iter<'a, Value>),
    Packed(&'a Packed, std::slice::Iter<'a, [u8; CELL]>),
}

impl<'a> Record<'a> {
    /// The next value, if it is an integer.
    #[inline]
    pub fn integer(&mut self) -> Option<i64> {
        match &mut self.0 {
            Values::Row(values) => match values.next()? {
                Value::Integer(value) => Some(*value),
                _ => None,
            },
            Values::Packed(_, cells) => Packed::integer(*cells.next()?),
        }
    }

    /// The next value, if it is a text, or the empty text if it is NULL.
    #[inline]
    pub fn text_or_empty(&mut self) -> Option<&'a str> {
        match &mut self.0 {
            Values::Row(values) => match values.next()? {
                Value::Null => Some(""),
                Value::Text(text) => Some(text),
                _ => None,
            },
            Values::Packed(packed, cells) => packed.text_or_empty(*cells.next()?),
        }
    }
}

impl<'a> Iterator for Record<'a> {
    type Item = Param<'a>;

    #[inline]
    fn next(&mut self) -> Option<Param<'a>> {
        match &mut self.0 {
            Values::Row(values) => values.next().map(Value::param),
            Values::Packed(packed, cells) => {
                let value = packed.value(*cells.next()?);
                if value.is_none() {
                    *cells = [].iter();
                }
                value
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::packed::tests::{packed, place};
    use super::*;

    fn values(records: &Records) -> Vec<Vec<Param<'_>>> {
        records.iter().map(Iterator::collect).collect()
    }

    #[test]
    fn packed_and_plain_rows_read_the_same() {
        let cells = [(2, 1), (4, place(0, 1)), (2, 2), (0, 0)];
        let bytes = Value::Bytes(packed(2, &cells, &[], "a"));
        let packed = Records::unpack(vec![vec![bytes]]).expect("packed rows");
        let plain = Records::from(vec![
            vec![Value::Integer(1), Value::Text("a".into())],
            vec![Value::Integer(2), Value::Null],
        ]);
        assert_eq!(values(&packed), values(&plain));
        assert_eq!((packed.len(), packed.text_bytes()), (2, 1));
        assert_eq!((plain.len(), plain.text_bytes()), (2, 1));
        assert_eq!((packed.texts(), plain.texts()), (Some("a"), None));
        for records in [&packed, &plain] {
            let mut second = records.get(1).expect("a row");
            assert_eq!(second.clone().text_or_empty(), None);
            assert_eq!(
                (second.integer(), second.text_or_empty()),
                (Some(2), Some(""))
            );
            assert_eq!(second.integer(), None);
            let mut first = records.get(0).expect("a row").skip(1);
            assert_eq!(first.next(), Some(Param::Text("a")));
        }
        assert_eq!(packed.into_rows(), plain.into_rows());
    }

    #[test]
    fn rows_that_are_not_packed_stay() {
        let one = vec![vec![Value::Integer(1), Value::Null]];
        let two = vec![vec![Value::Bytes(vec![1])], vec![Value::Bytes(vec![2])]];
        for rows in [Rows::new(), one, two] {
            assert_eq!(Records::unpack(rows.clone()), Ok(rows.into()));
        }
    }

    #[test]
    fn other_layout_is_invalid() {
        let rows = vec![vec![Value::Bytes(vec![2])]];
        assert!(matches!(Records::unpack(rows), Err(Error::Invalid(_))));
    }

    #[test]
    fn value_of_another_layout_ends_its_row_only() {
        let cells = [(10, 0), (2, 1), (2, 2), (2, 3)];
        let rows = vec![vec![Value::Bytes(packed(2, &cells, &[], ""))]];
        let records = Records::unpack(rows).expect("rows");
        let expected = [vec![], vec![Param::Integer(2), Param::Integer(3)]];
        assert_eq!(values(&records), expected);
        assert!(matches!(records.into_rows(), Err(Error::Invalid(_))));
    }
}
