//! Rows that a host passes as one value, for a statement that asks for it.
//!
//! Each value of a row costs at the component boundary, and each text an allocation. A statement
//! whose first word is followed by `/* usher:packed */` asks for its rows as one value of bytes. A
//! host that does not know the comment passes rows as ever, so both are read here. The layout is in
//! `docs/database.md`.

use crate::database::{Error, Rows, Value};

const HINT: &str = "/* usher:packed */";

/// Whether a statement asks for packed rows.
#[must_use]
pub fn is_asked(statement: &str) -> bool {
    statement
        .split_once(' ')
        .is_some_and(|(_, rest)| rest.starts_with(HINT))
}

/// The rows of a statement that asked for packed rows: as they are, if the host did not pack them.
///
/// # Errors
/// `invalid` if they are packed in another layout.
pub fn unpack(rows: Rows) -> Result<Rows, Error> {
    match &rows[..] {
        [row] => match &row[..] {
            [Value::Bytes(packed)] => read(packed)
                .ok_or_else(|| Error::Invalid("the host packs rows in another layout".into())),
            _ => Ok(rows),
        },
        _ => Ok(rows),
    }
}

fn read(packed: &[u8]) -> Option<Rows> {
    let mut reader = Reader(packed);
    let columns = usize::try_from(u32::from_le_bytes(reader.fixed()?)).ok()?;
    // Every value takes a byte at least, and no row is empty.
    if columns == 0 || columns > packed.len() {
        return None;
    }
    let mut rows = Rows::new();
    while !reader.0.is_empty() {
        let mut row = Vec::with_capacity(columns);
        for _ in 0..columns {
            row.push(reader.value()?);
        }
        rows.push(row);
    }
    Some(rows)
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn fixed<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (bytes, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*bytes)
    }

    fn sized(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(u32::from_le_bytes(self.fixed()?)).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn text(&mut self) -> Option<String> {
        str::from_utf8(self.sized()?).ok().map(str::to_owned)
    }

    fn value(&mut self) -> Option<Value> {
        let [tag] = self.fixed()?;
        Some(match tag {
            0 => Value::Null,
            1 => Value::Boolean(self.fixed::<1>()? != [0]),
            2 => Value::Integer(i64::from_le_bytes(self.fixed()?)),
            3 => Value::Real(f64::from_le_bytes(self.fixed()?)),
            4 => Value::Text(self.text()?),
            5 => Value::Bytes(self.sized()?.to_owned()),
            6 => Value::Uuid(
                u64::from_le_bytes(self.fixed()?),
                u64::from_le_bytes(self.fixed()?),
            ),
            7 => Value::Timestamp(i64::from_le_bytes(self.fixed()?)),
            8 => Value::Decimal(self.text()?),
            9 => Value::Json(self.text()?),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(bytes: &[u8]) -> Rows {
        vec![vec![Value::Bytes(bytes.to_owned())]]
    }

    #[test]
    fn packed_rows_are_read() {
        let bytes = [
            &[2, 0, 0, 0][..],
            &[2, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[4, 2, 0, 0, 0, 0xc3, 0xa9],
            &[0, 1, 1],
        ]
        .concat();
        let expected = vec![
            vec![Value::Integer(-2), Value::Text("é".into())],
            vec![Value::Null, Value::Boolean(true)],
        ];
        assert_eq!(unpack(packed(&bytes)), Ok(expected));
    }

    #[test]
    fn rows_that_are_not_packed_stay() {
        let one = vec![vec![Value::Integer(1), Value::Null]];
        let two = vec![vec![Value::Bytes(vec![1])], vec![Value::Bytes(vec![2])]];
        for rows in [Rows::new(), one, two] {
            assert_eq!(unpack(rows.clone()), Ok(rows));
        }
    }

    #[test]
    fn other_layout_is_invalid() {
        for bytes in [
            &[][..],
            &[2, 0, 0],
            &[0, 0, 0, 0],
            &[0, 0, 0, 0, 0],
            &[2, 0, 0, 0, 0],
            &[1, 0, 0, 0, 10],
            &[1, 0, 0, 0, 2, 1],
            &[1, 0, 0, 0, 4, 2, 0, 0, 0, 65],
            &[1, 0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff, 65],
            &[1, 0, 0, 0, 4, 1, 0, 0, 0, 0xff],
            &[0xff, 0xff, 0xff, 0xff, 0],
        ] {
            assert!(
                matches!(unpack(packed(bytes)), Err(Error::Invalid(_))),
                "{bytes:?}"
            );
        }
    }
}
