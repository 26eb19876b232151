//! JSON with numbers of any size and precision, and the first difference between two values.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use serde_json::value::RawValue;

/// A JSON value.
///
/// `serde_json::Value` rounds an integer over 64 bits to the nearest double, so different ones may
/// be equal.
#[derive(Clone, Debug)]
pub enum Json {
    /// `null`.
    Null,
    /// `true` or `false`.
    Boolean(bool),
    /// A number, as written.
    Number(String),
    /// A string.
    String(String),
    /// An array.
    Array(Vec<Json>),
    /// An object; the last of equal keys counts.
    Object(BTreeMap<String, Json>),
}

impl Json {
    /// Parses a value.
    ///
    /// # Errors
    /// If `text` is not JSON (RFC 8259).
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        Self::from_raw(serde_json::from_str(text)?)
    }

    /// Parses a value inside another one.
    ///
    /// # Errors
    /// If a string holds an unpaired surrogate.
    pub fn from_raw(raw: &RawValue) -> Result<Self, serde_json::Error> {
        let text = raw.get();
        Ok(match text.as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't' | b'f') => Self::Boolean(serde_json::from_str(text)?),
            Some(b'"') => Self::String(serde_json::from_str(text)?),
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text)?;
                Self::Array(
                    items
                        .into_iter()
                        .map(Self::from_raw)
                        .collect::<Result<_, _>>()?,
                )
            }
            Some(b'{') => {
                let members: BTreeMap<String, &RawValue> = serde_json::from_str(text)?;
                let read = |(key, value)| Ok((key, Self::from_raw(value)?));
                Self::Object(members.into_iter().map(read).collect::<Result<_, _>>()?)
            }
            _ => Self::Number(text.to_owned()),
        })
    }

    /// A member of an object.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.get(key),
            _ => None,
        }
    }

    /// The items of an array.
    pub fn items(&self) -> Option<&[Self]> {
        match self {
            Self::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The first place where `got` differs from this value, and how. The order of members does not
    /// matter; 1 equals 1.0.
    pub fn difference(&self, got: &Self) -> Option<String> {
        self.difference_at("$", got)
    }

    fn difference_at(&self, at: &str, got: &Self) -> Option<String> {
        match (self, got) {
            (Self::Object(want), Self::Object(have)) => {
                let absent = want.iter().find(|(key, _)| !have.contains_key(*key));
                if let Some((key, value)) = absent {
                    return Some(format!("{at}.{key}: absent (want {value})"));
                }
                let unexpected = have.iter().find(|(key, _)| !want.contains_key(*key));
                if let Some((key, value)) = unexpected {
                    return Some(format!("{at}.{key}: unexpected ({value})"));
                }
                want.iter()
                    .zip(have)
                    .find_map(|((key, a), (_, b))| a.difference_at(&format!("{at}.{key}"), b))
            }
            (Self::Array(want), Self::Array(have)) => {
                let pairs = want.iter().zip(have).enumerate();
                let mut differences =
                    pairs.filter_map(|(i, (a, b))| a.difference_at(&format!("{at}[{i}]"), b));
                differences.next().or_else(|| {
                    let (want, have) = (want.len(), have.len());
                    (want != have).then(|| format!("{at}: want {want} items, got {have}"))
                })
            }
            _ => (!self.same(got)).then(|| format!("{at}: want {self}, got {got}")),
        }
    }

    fn same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            (Self::Number(a), Self::Number(b)) => same_number(a, b),
            (Self::String(a), Self::String(b)) => a == b,
            _ => false,
        }
    }
}

/// Compares integers digit by digit; if one number has a fraction or an exponent, both as doubles.
fn same_number(a: &str, b: &str) -> bool {
    let fractional = |text: &str| text.contains(['.', 'e', 'E']);
    if fractional(a) || fractional(b) {
        let doubles = (a.parse::<f64>(), b.parse::<f64>());
        matches!(doubles, (Ok(a), Ok(b)) if a.partial_cmp(&b) == Some(Ordering::Equal))
    } else {
        let zero = |text| if text == "-0" { "0" } else { text };
        zero(a) == zero(b)
    }
}

impl fmt::Display for Json {
    /// Compact JSON, shortened to fit a line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const LIMIT: usize = 160;
        let mut text = String::new();
        self.write(&mut text);
        match text.char_indices().nth(LIMIT) {
            Some((end, _)) => write!(f, "{}...({} bytes)", &text[..end], text.len()),
            None => f.write_str(&text),
        }
    }
}

impl Json {
    fn write(&self, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Boolean(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(text) => out.push_str(text),
            Self::String(text) => out.push_str(&quoted(text)),
            Self::Array(items) => {
                out.push('[');
                for (i, item) in items.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { "," });
                    item.write(out);
                }
                out.push(']');
            }
            Self::Object(members) => {
                out.push('{');
                for (i, (key, value)) in members.iter().enumerate() {
                    out.push_str(if i == 0 { "" } else { "," });
                    out.push_str(&quoted(key));
                    out.push(':');
                    value.write(out);
                }
                out.push('}');
            }
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::Json;

    fn difference(want: &str, got: &str) -> Option<String> {
        Json::parse(want)
            .unwrap()
            .difference(&Json::parse(got).unwrap())
    }

    #[test]
    fn json_with_equal_values_has_no_difference() {
        for (a, b) in [
            (
                r#"{"a":1,"b":[true,null]}"#,
                r#"{ "b" : [ true , null ] , "a" : 1.0 }"#,
            ),
            ("100", "1e2"),
            ("-0", "0"),
            ("-0.0", "0"),
            (r#""\u00e9""#, "\"é\""),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
        ] {
            assert_eq!(difference(a, b), None, "{a} and {b}");
        }
    }

    #[test]
    fn json_difference_is_found_at_its_path() {
        for (a, b, expected) in [
            ("1", "true", "$: want 1, got true"),
            (
                "18446744073709551616",
                "18446744073709551617",
                "$: want 18446744073709551616, got 18446744073709551617",
            ),
            (
                r#"{"a":[1,{"b":"x"}]}"#,
                r#"{"a":[1,{"b":"y"}]}"#,
                r#"$.a[1].b: want "x", got "y""#,
            ),
            (r#"{"a":1}"#, "{}", "$.a: absent (want 1)"),
            ("{}", r#"{"a":1}"#, "$.a: unexpected (1)"),
            ("[1]", "[1,2]", "$: want 1 items, got 2"),
            ("null", "0", "$: want null, got 0"),
        ] {
            assert_eq!(difference(a, b).as_deref(), Some(expected), "{a} and {b}");
        }
    }
}
