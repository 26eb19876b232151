//! Rows in one value, for a statement that asks for it.
//!
//! The engine lowers a row value by value, and calls the component to allocate each row and each
//! text, some 2,000 instructions for a row of four values. One value of bytes is one allocation and
//! one copy. A component asks with a comment after the first word of its statement, which every
//! other host and the database itself ignore, so that its imports stay the same. The layout is in
//! docs/database.md.

use super::types::{Row, Value};
use super::value_ref::ValueRef;

/// What follows the first word of a statement whose rows are packed.
const HINT: &str = "/* usher:packed */";

/// Whether a statement asks for packed rows.
pub(super) fn is_asked(statement: &str) -> bool {
    statement
        .split_once(' ')
        .is_some_and(|(_, rest)| rest.starts_with(HINT))
}

/// Whether rows of so many columns can be packed. Rows of one value stay as they are, because
/// packed rows are recognised by being one value.
pub(super) fn is_possible(columns: usize) -> bool {
    columns > 1
}

/// The value of packed rows, if these rows of so many columns are packed.
fn packed(columns: usize, rows: &[Row]) -> Option<&[u8]> {
    match rows {
        [row] if is_possible(columns) => match &row[..] {
            [Value::Bytes(packed)] => Some(packed),
            _ => None,
        },
        _ => None,
    }
}

/// Rows of so many columns as a component gets them that asked for packed ones. A back end may have
/// packed them already.
pub(super) fn pack(columns: usize, rows: Vec<Row>) -> Vec<Row> {
    if rows.is_empty() || !is_possible(columns) || packed(columns, &rows).is_some() {
        return rows;
    }
    let mut packer = Packer::new(columns);
    for row in &rows {
        packer.begin_row();
        for value in row {
            packer.put(&value.into());
        }
    }
    packer.finish()
}

/// The number of rows that a back end returned, which may be packed, with so many columns.
pub fn row_count(columns: usize, rows: &[Row]) -> usize {
    match packed(columns, rows).and_then(numbers) {
        Some([_, count, _]) => count,
        None => rows.len(),
    }
}

/// A copy of rows of so many columns, each value by itself.
pub(super) fn unpack(columns: usize, rows: &[Row]) -> Vec<Row> {
    packed(columns, rows)
        .and_then(unpacked)
        .unwrap_or_else(|| rows.to_vec())
}

/// The numbers of columns, rows and bytes of text before the cells.
fn numbers(packed: &[u8]) -> Option<[usize; 3]> {
    let header = packed.first_chunk::<HEADER>()?.as_chunks().0;
    let mut numbers = [0; 3];
    for (number, bytes) in numbers.iter_mut().zip(header) {
        *number = usize::try_from(u32::from_le_bytes(*bytes)).ok()?;
    }
    Some(numbers)
}

fn unpacked(packed: &[u8]) -> Option<Vec<Row>> {
    let [columns, rows, texts] = numbers(packed)?;
    let (before, texts) = packed.split_at_checked(packed.len().checked_sub(texts)?)?;
    let cells = columns.checked_mul(rows)?.checked_mul(CELL)?;
    let (cells, bytes) = before.get(HEADER..)?.split_at_checked(cells)?;
    let value = |[kind, content @ ..]: &[u8; CELL]| {
        let content = u64::from_le_bytes(*content);
        let part = |all: &[u8]| {
            let start = usize::try_from(content & u64::from(u32::MAX)).ok()?;
            let length = usize::try_from(content >> 32).ok()?;
            all.get(start..start.checked_add(length)?)
                .map(<[u8]>::to_vec)
        };
        let text = || String::from_utf8(part(texts)?).ok();
        let half = |half: &[u8; 8]| u64::from_le_bytes(*half);
        Some(match kind {
            0 => Value::Null,
            1 => Value::Boolean(content != 0),
            2 => Value::Integer(content.cast_signed()),
            3 => Value::Real(f64::from_bits(content)),
            4 => Value::Text(text()?),
            5 => Value::Bytes(part(bytes)?),
            6 => match part(bytes)?.as_chunks() {
                ([high, low], []) => Value::Uuid((half(high), half(low))),
                _ => return None,
            },
            7 => Value::Timestamp(content.cast_signed()),
            8 => Value::Decimal(text()?),
            9 => Value::Json(text()?),
            _ => return None,
        })
    };
    let rows = cells.as_chunks().0.chunks(columns.max(1));
    rows.map(|row| row.iter().map(value).collect()).collect()
}

/// Packs rows, one value after the other.
#[derive(Debug, Default)]
pub(super) struct Packer {
    columns: usize,
    cells: Vec<u8>,
    bytes: Vec<u8>,
    texts: Vec<u8>,
    rows: usize,
    /// The lengths of the three before the last row.
    before: [usize; 3],
}

/// The size of the numbers before the cells.
const HEADER: usize = 12;

/// The size of a cell.
const CELL: usize = 9;

/// The rows for which there is room before cells are moved.
const ROWS: usize = 16;

impl Packer {
    /// For rows of so many columns.
    pub(super) fn new(columns: usize) -> Self {
        Self {
            columns,
            ..Self::default()
        }
    }

    /// Begins the next row.
    pub(super) fn begin_row(&mut self) {
        if self.rows == 0 {
            self.cells.reserve(HEADER + ROWS * self.columns * CELL);
            self.cells.resize(HEADER, 0);
        }
        self.before = [self.cells.len(), self.bytes.len(), self.texts.len()];
        self.rows += 1;
    }

    /// Adds the next value of the row.
    #[inline]
    pub(super) fn put(&mut self, value: &ValueRef<'_>) {
        let (kind, content) = match value {
            ValueRef::Null => (0, 0),
            ValueRef::Boolean(value) => (1, u64::from(*value)),
            ValueRef::Integer(value) => (2, value.cast_unsigned()),
            ValueRef::Real(value) => (3, value.to_bits()),
            ValueRef::Text(value) => (4, append(&mut self.texts, value.as_bytes())),
            ValueRef::Bytes(value) => (5, append(&mut self.bytes, value)),
            ValueRef::Uuid((high, low)) => {
                let start = append(&mut self.bytes, &high.to_le_bytes());
                append(&mut self.bytes, &low.to_le_bytes());
                // Its length is that of both halves.
                (6, start + (8 << 32))
            }
            ValueRef::Timestamp(value) => (7, value.cast_unsigned()),
            ValueRef::Decimal(value) => (8, append(&mut self.texts, value.as_bytes())),
            ValueRef::Json(value) => (9, append(&mut self.texts, value.as_bytes())),
        };
        let mut cell = [kind; CELL];
        cell[1..].copy_from_slice(&content.to_le_bytes());
        self.cells.extend(cell);
    }

    /// Takes back the row that was begun last.
    pub(super) fn undo_row(&mut self) {
        let [cells, bytes, texts] = self.before;
        self.cells.truncate(cells);
        self.bytes.truncate(bytes);
        self.texts.truncate(texts);
        self.rows = self.rows.saturating_sub(1);
    }

    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// The rows as the component gets them.
    pub(super) fn finish(mut self) -> Vec<Row> {
        if self.rows == 0 {
            return Vec::new();
        }
        let numbers = [size(self.columns), size(self.rows), size(self.texts.len())];
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
        vec![vec![Value::Bytes(self.cells)]]
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
        let packed = pack(2, rows.clone());
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
        assert_eq!(
            format!("{:?}", unpack(2, &packed)),
            format!("{rows:?}"),
            "the rows again"
        );
        assert_eq!((row_count(2, &packed), row_count(2, &rows)), (2, 2));
        assert_eq!(
            format!("{:?}", pack(2, packed.clone())),
            format!("{packed:?}")
        );
    }

    #[test]
    fn values_of_all_kinds_are_unpacked_as_they_were() {
        let rows = vec![
            vec![Value::Null, Value::Boolean(true), Value::Integer(i64::MIN)],
            vec![
                Value::Real(-0.5),
                Value::Text(String::new()),
                Value::Bytes(vec![0, 255]),
            ],
            vec![
                Value::Uuid((u64::MAX, 3)),
                Value::Timestamp(-1),
                Value::Decimal("1.50".into()),
            ],
            vec![
                Value::Json("[1]".into()),
                Value::Bytes(Vec::new()),
                Value::Text("漢".into()),
            ],
        ];
        let packed = pack(3, rows.clone());
        assert_eq!(format!("{:?}", unpack(3, &packed)), format!("{rows:?}"));
    }

    #[test]
    fn bytes_that_are_no_packed_rows_stay() {
        for bytes in [vec![], vec![1; 11], vec![255; 12], vec![2; 40]] {
            let rows = vec![vec![Value::Bytes(bytes)]];
            assert_eq!(format!("{:?}", unpack(2, &rows)), format!("{rows:?}"));
        }
    }

    #[test]
    fn row_that_is_taken_back_leaves_nothing() {
        let mut packer = Packer::new(2);
        packer.begin_row();
        packer.put(&ValueRef::Text("kept"));
        packer.put(&ValueRef::Bytes(b"kept"));
        packer.begin_row();
        packer.put(&ValueRef::Uuid((1, 2)));
        packer.put(&ValueRef::Text("taken back"));
        packer.undo_row();
        assert_eq!(packer.len(), 1);
        let rows = unpack(2, &packer.finish());
        let kept = vec![Value::Text("kept".into()), Value::Bytes(b"kept".to_vec())];
        assert_eq!(format!("{rows:?}"), format!("{:?}", [kept]));
    }

    #[test]
    fn rows_of_one_value_and_no_rows_stay() {
        assert!(pack(2, Vec::new()).is_empty());
        let one = pack(1, vec![vec![Value::Integer(1)], vec![Value::Integer(2)]]);
        assert_eq!(one.len(), 2);
    }
}
