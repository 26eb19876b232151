//! Parsing the body of POST, PUT and PATCH.

use std::borrow::Cow;

use crate::compat::email::Email;
use crate::compat::faults::{Fault, Location, Problem};
use crate::compat::json::{self, Keep, Text, Value};
use crate::users::{Changes, Name, NewUser};

/// Why a body is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Error {
    /// It cannot be parsed: it is not text, is nested too deeply, or has too long an integer.
    Unreadable,
    /// It has these faults, in the order of the fields.
    Faults(Vec<Fault>),
}

impl Error {
    fn fault(location: Location, problem: Problem, input: String) -> Self {
        Self::Faults(vec![Fault {
            location,
            problem,
            input,
        }])
    }
}

/// A received body, decoded to text.
#[derive(Debug)]
pub struct Body<'a> {
    text: Cow<'a, [u8]>,
}

const FIELDS: [&str; 2] = ["name", "email"];

impl<'a> Body<'a> {
    /// Decodes a body, which is JSON only if the content type says so.
    ///
    /// # Errors
    /// If it is empty, or cannot be JSON.
    pub fn new(bytes: &'a [u8], content_type: Option<&[u8]>) -> Result<Self, Error> {
        if bytes.is_empty() {
            return Err(Error::fault(
                Location::Body,
                Problem::Missing,
                "null".into(),
            ));
        }
        if !content_type.is_some_and(is_json) {
            let mut input = String::new();
            json::write_string(&String::from_utf8_lossy(bytes), &mut input);
            return Err(Error::fault(Location::Body, Problem::NotObject, input));
        }
        json::decode(bytes)
            .map(|text| Self { text })
            .map_err(refuse)
    }

    /// Parses a complete user.
    ///
    /// # Errors
    /// If it is not the JSON of a user with a valid address.
    pub fn new_user(&self) -> Result<NewUser<'_>, Error> {
        let fields = self.fields()?;
        let missing = |location| self.fault(location, Problem::Missing, None);
        let name = match fields.name {
            Some(value) => self.name(&value),
            None => Err(missing(Location::Field("name"))),
        };
        let email = match fields.email {
            Some(value) => self.email(&value),
            None => Err(missing(Location::Field("email"))),
        };
        match (name, email) {
            (Ok(name), Ok(email)) => Ok(NewUser { name, email }),
            (name, email) => Err(Error::Faults(
                name.err().into_iter().chain(email.err()).collect(),
            )),
        }
    }

    /// Parses a partial update.
    ///
    /// # Errors
    /// If it is not the JSON of an update, or has no field to change.
    pub fn changes(&self) -> Result<Changes<'_>, Error> {
        let fields = self.fields()?;
        if fields.name.is_none() && fields.email.is_none() {
            let nothing =
                Problem::Unacceptable("at least one of name and email must be given".into());
            return Err(Error::Faults(vec![self.fault(
                Location::Body,
                nothing,
                None,
            )]));
        }
        let name = fields.name.map(|value| self.name(&value)).transpose();
        let email = fields.email.map(|value| self.email(&value)).transpose();
        match (name, email) {
            (Ok(name), Ok(email)) => Ok(Changes { name, email }),
            (name, email) => Err(Error::Faults(
                name.err().into_iter().chain(email.err()).collect(),
            )),
        }
    }

    fn fields(&self) -> Result<Fields<'_>, Error> {
        match json::read(&self.text, Keep::Members(&FIELDS)).map_err(refuse)? {
            Value::Object(members) => {
                let mut fields = Fields {
                    name: None,
                    email: None,
                };
                // Of duplicate keys the last one is used.
                for (key, value) in members {
                    if key.is("name") {
                        fields.name = Some(value);
                    } else {
                        fields.email = Some(value);
                    }
                }
                Ok(fields)
            }
            _ => Err(Error::Faults(vec![self.fault(
                Location::Body,
                Problem::NotObject,
                None,
            )])),
        }
    }

    fn name<'b>(&'b self, value: &Value<'b>) -> Result<Name<'b>, Fault> {
        let field = "name";
        Name::parse(self.text(field, value)?).map_err(|nul| {
            self.fault(
                Location::Field(field),
                Problem::Unacceptable(nul.to_string()),
                Some(field),
            )
        })
    }

    fn email<'b>(&'b self, value: &Value<'b>) -> Result<Email<'b>, Fault> {
        let field = "email";
        Email::parse(self.text(field, value)?).map_err(|reason| {
            self.fault(
                Location::Field(field),
                Problem::NotEmail(reason.to_string()),
                Some(field),
            )
        })
    }

    fn text<'b>(&'b self, field: &'static str, value: &Value<'b>) -> Result<Cow<'b, str>, Fault> {
        let problem = match value {
            Value::Text(text) => match Text::to_str(*text) {
                Some(text) => return Ok(text),
                None => Problem::NotUnicode,
            },
            _ => Problem::NotString,
        };
        Err(self.fault(Location::Field(field), problem, Some(field)))
    }

    /// A fault of this member, or of the body. It quotes the value, so that the body is parsed
    /// again, keeping all values.
    fn fault(&self, location: Location, problem: Problem, member: Option<&str>) -> Fault {
        let mut input = String::new();
        if let Ok(body) = json::read(&self.text, Keep::Everything) {
            let value = match (&body, member) {
                (Value::Object(members), Some(name)) => members
                    .iter()
                    .rev()
                    .find(|(key, _)| key.is(name))
                    .map(|(_, value)| value),
                _ => Some(&body),
            };
            json::write(value.unwrap_or(&Value::Null), &mut input);
        } else {
            input.push_str("null");
        }
        Fault {
            location,
            problem,
            input,
        }
    }
}

struct Fields<'a> {
    name: Option<Value<'a>>,
    email: Option<Value<'a>>,
}

fn refuse(error: json::Error) -> Error {
    match error {
        json::Error::Unreadable => Error::Unreadable,
        json::Error::Syntax { message, position } => Error::fault(
            Location::Character(position),
            Problem::NotJson(message),
            "{}".into(),
        ),
    }
}

/// Whether a content type is `application/json` or `application/*+json`, whatever its parameters.
fn is_json(content_type: &[u8]) -> bool {
    // Python decodes headers as Latin-1 and strips white space.
    let is_space = |byte: &u8| matches!(byte, b'\t'..=b'\r' | 0x1C..=b' ' | 0x85 | 0xA0);
    let mut kind = content_type
        .split(|&byte| byte == b';')
        .next()
        .unwrap_or_default();
    while let [first, rest @ ..] = kind
        && is_space(first)
    {
        kind = rest;
    }
    while let [rest @ .., last] = kind
        && is_space(last)
    {
        kind = rest;
    }
    let Some((main, subtype)) = kind.split_at_checked(b"application/".len()) else {
        return false;
    };
    if !main.eq_ignore_ascii_case(b"application/") {
        return false;
    }
    let ends_in_json = subtype
        .split_last_chunk::<5>()
        .is_some_and(|(_, suffix)| suffix.eq_ignore_ascii_case(b"+json"));
    !subtype.contains(&b'/') && (subtype.eq_ignore_ascii_case(b"json") || ends_in_json)
}
