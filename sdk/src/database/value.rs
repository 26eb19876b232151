//! Parameters and values of SQL, and the rows that values make.

/// A parameter of a statement. It must fit the type that the statement expects.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Param<'a> {
    /// NULL, which fits every type.
    Null,
    /// A boolean.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text without U+0000.
    Text(&'a str),
    /// Bytes.
    Bytes(&'a [u8]),
    /// A UUID, as its high and low 64 bits.
    Uuid(u64, u64),
    /// A point in time, in microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    /// A decimal number: digits with an optional sign and point.
    Decimal(&'a str),
    /// JSON, as its text.
    Json(&'a str),
}

impl<T: Into<Self>> From<Option<T>> for Param<'_> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

impl<'a> From<&'a str> for Param<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a String> for Param<'a> {
    fn from(value: &'a String) -> Self {
        Self::Text(value)
    }
}

impl<'a> From<&'a [u8]> for Param<'a> {
    fn from(value: &'a [u8]) -> Self {
        Self::Bytes(value)
    }
}

impl<'a> From<&'a Vec<u8>> for Param<'a> {
    fn from(value: &'a Vec<u8>) -> Self {
        Self::Bytes(value)
    }
}

impl From<bool> for Param<'_> {
    fn from(value: bool) -> Self {
        Self::Boolean(value)
    }
}

impl From<f64> for Param<'_> {
    fn from(value: f64) -> Self {
        Self::Real(value)
    }
}

macro_rules! integer_params {
    ($($type:ty)+) => {$(
        impl From<$type> for Param<'_> {
            fn from(value: $type) -> Self {
                Self::Integer(i64::from(value))
            }
        }
    )+};
}

integer_params!(i8 i16 i32 i64 u8 u16 u32);

/// One SQL value of a result.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// NULL.
    Null,
    /// A boolean.
    Boolean(bool),
    /// An integer.
    Integer(i64),
    /// A floating-point number, including NaN and the infinities.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A UUID, as its high and low 64 bits.
    Uuid(u64, u64),
    /// A point in time, in microseconds since 1970-01-01T00:00:00Z.
    Timestamp(i64),
    /// A decimal number as text, or `NaN`, `Infinity`, `-Infinity`.
    Decimal(String),
    /// JSON, as its text.
    Json(String),
}

impl Value {
    /// The value as a parameter.
    #[must_use]
    pub fn param(&self) -> Param<'_> {
        match self {
            Self::Null => Param::Null,
            Self::Boolean(value) => Param::Boolean(*value),
            Self::Integer(value) => Param::Integer(*value),
            Self::Real(value) => Param::Real(*value),
            Self::Text(value) => Param::Text(value),
            Self::Bytes(value) => Param::Bytes(value),
            Self::Uuid(high, low) => Param::Uuid(*high, *low),
            Self::Timestamp(value) => Param::Timestamp(*value),
            Self::Decimal(value) => Param::Decimal(value),
            Self::Json(value) => Param::Json(value),
        }
    }
}

impl From<Param<'_>> for Value {
    fn from(param: Param<'_>) -> Self {
        match param {
            Param::Null => Self::Null,
            Param::Boolean(value) => Self::Boolean(value),
            Param::Integer(value) => Self::Integer(value),
            Param::Real(value) => Self::Real(value),
            Param::Text(value) => Self::Text(value.to_owned()),
            Param::Bytes(value) => Self::Bytes(value.to_owned()),
            Param::Uuid(high, low) => Self::Uuid(high, low),
            Param::Timestamp(value) => Self::Timestamp(value),
            Param::Decimal(value) => Self::Decimal(value.to_owned()),
            Param::Json(value) => Self::Json(value.to_owned()),
        }
    }
}

/// The rows of a result, in the order in which the database returned them.
pub type Rows = Vec<Vec<Value>>;

/// A result with the names of its columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// The names, in order.
    pub columns: Vec<String>,
    /// The rows, each with a value for each column.
    pub rows: Rows,
}
