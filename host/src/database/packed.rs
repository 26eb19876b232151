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
    let mut packed = Packed::with_capacity(rows.len() * columns);
    let count = rows.len();
    for value in rows.into_iter().flatten() {
        packed.put(&value);
    }
    vec![vec![Value::Bytes(packed.finish(header, count))]]
}

/// The parts of packed rows.
struct Packed {
    cells: Vec<u8>,
    bytes: Vec<u8>,
    texts: Vec<u8>,
}

/// The size of the numbers before the cells.
const HEADER: usize = 12;

/// The size of a cell.
const CELL: usize = 9;

impl Packed {
    fn with_capacity(cells: usize) -> Self {
        let mut packed = Self {
            cells: Vec::with_capacity(HEADER + cells * CELL),
            bytes: Vec::new(),
            texts: Vec::new(),
        };
        packed.cells.extend([0; HEADER]);
        packed
    }

    fn put(&mut self, value: &Value) {
        let (kind, content) = match value {
            Value::Null => (0, 0),
            Value::Boolean(value) => (1, u64::from(*value)),
            Value::Integer(value) => (2, value.cast_unsigned()),
            Value::Real(value) => (3, value.to_bits()),
            Value::Text(value) => (4, append(&mut self.texts, value.as_bytes())),
            Value::Bytes(value) => (5, append(&mut self.bytes, value)),
            Value::Uuid((high, low)) => {
                let start = append(&mut self.bytes, &high.to_le_bytes());
                append(&mut self.bytes, &low.to_le_bytes());
                // Its length is that of both halves.
                (6, start + (8 << 32))
            }
            Value::Timestamp(value) => (7, value.cast_unsigned()),
            Value::Decimal(value) => (8, append(&mut self.texts, value.as_bytes())),
            Value::Json(value) => (9, append(&mut self.texts, value.as_bytes())),
        };
        let mut cell = [kind; CELL];
        cell[1..].copy_from_slice(&content.to_le_bytes());
        self.cells.extend(cell);
    }

    fn finish(mut self, columns: u32, rows: usize) -> Vec<u8> {
        let numbers = [columns, size(rows), size(self.texts.len())];
        let header = self.cells.first_chunk_mut::<HEADER>();
        if let Some(header) = header {
            for (place, number) in header.as_chunks_mut().0.iter_mut().zip(numbers) {
                *place = number.to_le_bytes();
            }
        }
        self.cells
            .reserve_exact(self.bytes.len() + self.texts.len());
        self.cells.extend(self.bytes);
        self.cells.extend(self.texts);
        self.cells
    }
}

/// Adds a value to the others of its kind. Returns where it is: the start in the lower half, the
/// length in the upper one.
fn append(values: &mut Vec<u8>, value: &[u8]) -> u64 {
    let start = u64::from(size(values.len()));
    values.extend_from_slice(value);
    start | u64::from(size(value.len())) << 32
}

/// A size in 32 bits. Results are limited to far less than 4 GiB: the memory of a component is.
fn size(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
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
            vec![Value::Null, Value::Uuid((1 << 56, 2))],
        ];
        let packed = pack(rows);
        let expected = [
            &[2, 0, 0, 0, 2, 0, 0, 0, 2, 0, 0, 0][..],
            &[2, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff],
            &[4, 0, 0, 0, 0, 2, 0, 0, 0],
            &[0; 9],
            &[6, 0, 0, 0, 0, 16, 0, 0, 0],
            &[0, 0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0],
            "é".as_bytes(),
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
