//! Rows in one value, for a statement that asks for it.
//!
//! The engine lowers a row value by value, and calls the component to allocate each row and each
//! text, some 2,000 instructions for a row of four values. One value of bytes is one allocation and
//! one copy. A component asks with a comment after the first word of its statement, which every
//! other host and the database itself ignore, so that its imports stay the same. The layout is in
//! docs/database.md.

use super::types::{Row, Rows, Value};

/// What follows the first word of a statement whose rows are packed.
const HINT: &str = "/* usher:packed */";

/// Whether a statement asks for packed rows.
pub(super) fn is_asked(statement: &str) -> bool {
    statement
        .split_once(' ')
        .is_some_and(|(_, rest)| rest.starts_with(HINT))
}

/// A result as the component gets it that may have asked for packed rows.
pub(super) fn result(mut result: Rows, is_asked: bool) -> Rows {
    if is_asked {
        result.rows = pack(result.rows);
    }
    result
}

/// The rows as the component gets them. Rows of one value stay as they are, because packed rows are
/// recognised by being one value.
pub(super) fn pack(rows: Vec<Row>) -> Vec<Row> {
    let columns = rows.first().map_or(0, Vec::len);
    let Some(header) = u32::try_from(columns).ok().filter(|columns| *columns > 1) else {
        return rows;
    };
    // A guess that is right for short texts.
    let mut packed = Vec::with_capacity(4 + rows.len() * columns * 16);
    packed.extend(header.to_le_bytes());
    for row in rows {
        for value in row {
            put(&mut packed, &value);
        }
    }
    vec![vec![Value::Bytes(packed)]]
}

fn put(packed: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => packed.push(0),
        Value::Boolean(value) => packed.extend([1, u8::from(*value)]),
        Value::Integer(value) => put_fixed(packed, 2, value.to_le_bytes()),
        Value::Real(value) => put_fixed(packed, 3, value.to_le_bytes()),
        Value::Text(value) => put_sized(packed, 4, value.as_bytes()),
        Value::Bytes(value) => put_sized(packed, 5, value),
        Value::Uuid((high, low)) => {
            put_fixed(packed, 6, high.to_le_bytes());
            packed.extend(low.to_le_bytes());
        }
        Value::Timestamp(value) => put_fixed(packed, 7, value.to_le_bytes()),
        Value::Decimal(value) => put_sized(packed, 8, value.as_bytes()),
        Value::Json(value) => put_sized(packed, 9, value.as_bytes()),
    }
}

fn put_fixed<const N: usize>(packed: &mut Vec<u8>, tag: u8, bytes: [u8; N]) {
    packed.push(tag);
    packed.extend(bytes);
}

fn put_sized(packed: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    packed.push(tag);
    // Results are limited to far less than 4 GiB: the memory of a component is.
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    packed.extend(length.to_le_bytes());
    packed.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comment_after_the_first_word_asks() {
        assert!(is_asked("SELECT /* usher:packed */ id FROM users"));
        for statement in [
            "SELECT id FROM users",
            "/* usher:packed */ SELECT id FROM users",
            "SELECT id /* usher:packed */ FROM users",
            "SELECT",
            "",
        ] {
            assert!(!is_asked(statement), "{statement}");
        }
    }

    #[test]
    fn rows_of_several_values_are_one_value() {
        let rows = vec![
            vec![Value::Integer(-2), Value::Text("é".into())],
            vec![Value::Null, Value::Boolean(true)],
        ];
        let packed = pack(rows);
        let expected = [
            &[2, 0, 0, 0][..],
            &[2, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[4, 2, 0, 0, 0, 0xc3, 0xa9],
            &[0, 1, 1],
        ]
        .concat();
        match &packed[..] {
            [row] => assert!(matches!(&row[..], [Value::Bytes(bytes)] if *bytes == expected)),
            _ => panic!("{packed:?}"),
        }
    }

    #[test]
    fn rows_of_one_value_and_no_rows_stay() {
        assert!(pack(Vec::new()).is_empty());
        let one = pack(vec![vec![Value::Integer(1)], vec![Value::Integer(2)]]);
        assert_eq!(one.len(), 2);
    }
}
