//! Faults of a request, with pydantic's types and messages.

use super::json::write_string;

/// One fault of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Where it is.
    pub location: Location,
    /// What it is.
    pub problem: Problem,
    /// The value at fault, as JSON.
    pub input: String,
}

/// Where in a request a fault is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// The body.
    Body,
    /// This character of the body.
    Character(usize),
    /// This field of the body.
    Field(&'static str),
    /// This part of the path.
    Path(&'static str),
    /// This parameter of the query.
    Query(&'static str),
}

/// What is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is missing.
    Missing,
    /// It is not a string.
    NotString,
    /// It is a string with a lone surrogate.
    NotUnicode,
    /// It is a string that is not accepted, for this reason.
    Unacceptable(String),
    /// It is not an email address, for this reason.
    NotEmail(String),
    /// It is not an object.
    NotObject,
    /// It is not JSON, for this reason.
    NotJson(&'static str),
    /// It is not an integer.
    NotInteger,
    /// It is not a boolean.
    NotBoolean,
    /// It is less than this.
    LessThan(i64),
    /// It is greater than this.
    GreaterThan(i64),
}

impl Problem {
    /// Its type, for programs.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::NotString => "string_type",
            Self::NotUnicode => "string_unicode",
            Self::Unacceptable(_) | Self::NotEmail(_) => "value_error",
            Self::NotObject => "model_attributes_type",
            Self::NotJson(_) => "json_invalid",
            Self::NotInteger => "int_parsing",
            Self::NotBoolean => "bool_parsing",
            Self::LessThan(_) => "greater_than_equal",
            Self::GreaterThan(_) => "less_than_equal",
        }
    }

    /// Its message, for people.
    #[must_use]
    pub fn message(&self) -> String {
        match self {
            Self::Missing => "Field required".into(),
            Self::NotString => "Input should be a valid string".into(),
            Self::NotUnicode => {
                "Input should be a valid string, unable to parse raw data as a unicode string"
                    .into()
            }
            Self::Unacceptable(reason) => format!("Value error, {reason}"),
            Self::NotEmail(reason) => format!("value is not a valid email address: {reason}"),
            Self::NotObject => {
                "Input should be a valid dictionary or object to extract fields from".into()
            }
            Self::NotJson(_) => "JSON decode error".into(),
            Self::NotInteger => {
                "Input should be a valid integer, unable to parse string as an integer".into()
            }
            Self::NotBoolean => "Input should be a valid boolean, unable to interpret input".into(),
            Self::LessThan(least) => format!("Input should be greater than or equal to {least}"),
            Self::GreaterThan(most) => format!("Input should be less than or equal to {most}"),
        }
    }

    /// Writes the values that the message contains.
    fn write_context(&self, out: &mut String) {
        let mut text = |key: &str, value: &str| {
            out.push_str(",\"ctx\":{\"");
            out.push_str(key);
            out.push_str("\":");
            write_string(value, out);
            out.push('}');
        };
        match self {
            Self::Unacceptable(reason) | Self::NotEmail(reason) => text("reason", reason),
            Self::NotJson(error) => text("error", error),
            Self::LessThan(least) => out.push_str(&format!(",\"ctx\":{{\"ge\":{least}}}")),
            Self::GreaterThan(most) => out.push_str(&format!(",\"ctx\":{{\"le\":{most}}}")),
            Self::Missing
            | Self::NotString
            | Self::NotUnicode
            | Self::NotObject
            | Self::NotInteger
            | Self::NotBoolean => {}
        }
    }
}

impl Location {
    fn write(self, out: &mut String) {
        match self {
            Self::Body => out.push_str("[\"body\"]"),
            Self::Character(position) => out.push_str(&format!("[\"body\",{position}]")),
            Self::Field(name) => out.push_str(&format!("[\"body\",\"{name}\"]")),
            Self::Path(name) => out.push_str(&format!("[\"path\",\"{name}\"]")),
            Self::Query(name) => out.push_str(&format!("[\"query\",\"{name}\"]")),
        }
    }
}

/// The body of a 422.
#[must_use]
pub fn faults_to_json(faults: &[Fault]) -> String {
    let mut out = String::from("{\"detail\":[");
    for (i, fault) in faults.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        out.push_str("{\"type\":\"");
        out.push_str(fault.problem.kind());
        out.push_str("\",\"loc\":");
        fault.location.write(&mut out);
        out.push_str(",\"msg\":");
        write_string(&fault.problem.message(), &mut out);
        out.push_str(",\"input\":");
        out.push_str(&fault.input);
        fault.problem.write_context(&mut out);
        out.push('}');
    }
    out.push_str("]}");
    out
}
