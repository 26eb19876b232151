//! Rows that a host passes as one value, for a statement that asks for it.
//!
//! Each value of a row costs at the component boundary, and each text an allocation. A statement
//! whose first word is followed by `/* usher:packed */` asks for its rows as one value of bytes. A
//! host that does not know the comment passes rows as ever. The layout is in `docs/database.md`.

use super::value::{Param, Rows, Value};

const HINT: &str = "/* usher:packed */";

/// The size of the numbers before the cells: of columns, of rows, and of bytes of text.
const HEADER: usize = 12;

/// The size of a cell: the kind of a value, and the value or where it is.
pub(super) const CELL: usize = 9;

/// The kinds of cells that most rows are made of.
const NULL: u8 = 0;
const INTEGER: u8 = 2;
const TEXT: u8 = 4;

/// Whether a statement asks for packed rows.
#[cfg_attr(
    not(target_arch = "wasm32"),
    allow(dead_code, reason = "only hosts pack rows")
)]
pub(crate) fn is_asked(statement: &str) -> bool {
    statement
        .split_once(' ')
        .is_some_and(|(_, rest)| rest.starts_with(HINT))
}

/// Rows as a host packed them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    columns: usize,
    rows: usize,
    /// The cells of all rows, and after them the bytes of their values.
    cells: Vec<u8>,
    /// The texts of all rows, one after the other.
    texts: String,
}

impl Packed {
    /// The packed rows, if they are in this layout. Whether each cell is one shows when it is read.
    pub(super) fn new(mut value: Vec<u8>) -> Option<Self> {
        let mut header = value.first_chunk::<HEADER>()?.as_chunks::<4>().0.iter();
        let mut number = || usize::try_from(u32::from_le_bytes(*header.next()?)).ok();
        let (columns, rows, texts) = (number()?, number()?, number()?);
        let cells = rows.checked_mul(columns)?.checked_mul(CELL)?;
        let before_texts = value.len().checked_sub(texts)?;
        if columns == 0 || cells.checked_add(HEADER)? > before_texts {
            return None;
        }
        let texts = String::from_utf8(value.split_off(before_texts)).ok()?;
        Some(Self {
            columns,
            rows,
            cells: value,
            texts,
        })
    }

    pub(super) fn len(&self) -> usize {
        self.rows
    }

    /// All texts, one after the other.
    pub(super) fn texts(&self) -> &str {
        &self.texts
    }

    /// The cells of one row, in order.
    #[inline]
    pub(super) fn row(&self, row: usize) -> Option<&[[u8; CELL]]> {
        let width = self.columns * CELL;
        let at = HEADER + row * width;
        let cells = self.cells.get(at..at + width)?;
        (row < self.rows).then_some(cells.as_chunks().0)
    }

    /// The number in a cell of an integer.
    #[inline]
    pub(super) fn integer(cell: [u8; CELL]) -> Option<i64> {
        let [kind, value @ ..] = cell;
        (kind == INTEGER).then_some(i64::from_le_bytes(value))
    }

    /// The text of a cell, which is empty if the cell is NULL.
    #[inline]
    pub(super) fn text_or_empty(&self, cell: [u8; CELL]) -> Option<&str> {
        let [kind, value @ ..] = cell;
        match kind {
            NULL => Some(""),
            TEXT => self.text(u64::from_le_bytes(value)),
            _ => None,
        }
    }

    /// The value of a cell, unless it is none.
    pub(super) fn value(&self, cell: [u8; CELL]) -> Option<Param<'_>> {
        let [kind, value @ ..] = cell;
        let value = u64::from_le_bytes(value);
        Some(match kind {
            NULL => Param::Null,
            1 => Param::Boolean(value != 0),
            INTEGER => Param::Integer(value.cast_signed()),
            3 => Param::Real(f64::from_bits(value)),
            TEXT => Param::Text(self.text(value)?),
            5 => Param::Bytes(self.bytes(value)?),
            6 => {
                let (high, low) = self.bytes(value)?.split_first_chunk()?;
                let low = low.try_into().ok()?;
                Param::Uuid(u64::from_le_bytes(*high), u64::from_le_bytes(low))
            }
            7 => Param::Timestamp(value.cast_signed()),
            8 => Param::Decimal(self.text(value)?),
            9 => Param::Json(self.text(value)?),
            _ => return None,
        })
    }

    #[inline]
    fn text(&self, place: u64) -> Option<&str> {
        self.texts.get(range(place)?)
    }

    fn bytes(&self, place: u64) -> Option<&[u8]> {
        let bytes = self.cells.get(HEADER + self.rows * self.columns * CELL..)?;
        bytes.get(range(place)?)
    }

    /// The rows as values of their own, if every cell is one.
    pub(super) fn to_rows(&self) -> Option<Rows> {
        let row = |row| {
            let cells = self.row(row)?.iter();
            cells
                .map(|cell| self.value(*cell).map(Value::from))
                .collect()
        };
        (0..self.rows).map(row).collect()
    }
}

/// Where a text or bytes are: the position in the lower half, the length in the upper one.
#[inline]
fn range(place: u64) -> Option<std::ops::Range<usize>> {
    let start = usize::try_from(place & u64::from(u32::MAX)).ok()?;
    let length = usize::try_from(place >> 32).ok()?;
    Some(start..start.checked_add(length)?)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Packed rows of these cells, which have the number of their kind and eight bytes.
    pub(crate) fn packed(columns: u32, cells: &[(u8, u64)], bytes: &[u8], texts: &str) -> Vec<u8> {
        let rows = u32::try_from(cells.len()).expect("few") / columns;
        let mut value = Vec::new();
        for number in [columns, rows, u32::try_from(texts.len()).expect("short")] {
            value.extend(number.to_le_bytes());
        }
        for (kind, payload) in cells {
            value.push(*kind);
            value.extend(payload.to_le_bytes());
        }
        value.extend(bytes);
        value.extend(texts.as_bytes());
        value
    }

    pub(crate) const fn place(start: u64, length: u64) -> u64 {
        start | length << 32
    }

    #[test]
    fn packed_rows_are_read() {
        let uuid: Vec<u8> = [&1_u64.to_le_bytes()[..], &2_u64.to_le_bytes()].concat();
        let bytes = [&[7, 8][..], &uuid].concat();
        let cells = [
            (2, (-2_i64).cast_unsigned()),
            (4, place(0, 2)),
            (0, 0),
            (1, 1),
            (3, 0.5_f64.to_bits()),
            (5, place(0, 2)),
            (6, place(2, 16)),
            (7, 9),
            (8, place(2, 3)),
            (9, place(5, 2)),
        ];
        let packed = Packed::new(packed(5, &cells, &bytes, "é1.5{}")).expect("packed rows");
        assert_eq!((packed.len(), packed.texts()), (2, "é1.5{}"));
        let expected = vec![
            vec![
                Value::Integer(-2),
                Value::Text("é".into()),
                Value::Null,
                Value::Boolean(true),
                Value::Real(0.5),
            ],
            vec![
                Value::Bytes(vec![7, 8]),
                Value::Uuid(1, 2),
                Value::Timestamp(9),
                Value::Decimal("1.5".into()),
                Value::Json("{}".into()),
            ],
        ];
        assert_eq!(packed.to_rows(), Some(expected));
        assert_eq!(packed.row(2), None);
    }

    #[test]
    fn other_layout_is_no_packed_rows() {
        let one = packed(1, &[(4, place(0, 1))], &[], "a");
        assert!(Packed::new(one.clone()).is_some());
        let mut not_utf8 = one.clone();
        *not_utf8.last_mut().expect("a text") = 0xff;
        let mut no_columns = one.clone();
        no_columns[0] = 0;
        let mut many_rows = one.clone();
        many_rows[4..8].fill(0xff);
        let mut long_texts = one.clone();
        long_texts[8..12].fill(0xff);
        for other in [
            Vec::new(),
            one[..11].to_vec(),
            one[..20].to_vec(),
            not_utf8,
            no_columns,
            many_rows,
            long_texts,
        ] {
            assert_eq!(Packed::new(other.clone()), None, "{other:?}");
        }
    }

    #[test]
    fn cell_that_is_no_value_has_none() {
        let texts = "é";
        for (kind, payload) in [
            (10, 0),
            (4, place(0, 1)),
            (4, place(1, 1)),
            (4, place(0, 3)),
            (4, u64::MAX),
            (5, place(0, 1)),
            (6, place(0, 0)),
        ] {
            let packed = Packed::new(packed(1, &[(kind, payload)], &[], texts)).expect("rows");
            assert_eq!(packed.to_rows(), None, "{kind} {payload:x}");
        }
    }
}
