//! Validation of requests. Valid bodies are parsed by serde in one pass; only others are examined,
//! to say what is wrong.

use std::borrow::Cow;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, FailedToBufferBody};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::Method;
use axum::http::header::{CONTENT_TYPE, IF_MATCH};
use axum::http::request::Parts;
use serde::Deserialize;
use serde_json::Value;
use tokio_postgres::types::ToSql;
use usher_guest::compat::email::Email;
use usher_guest::compat::faults::{Fault, Location, Problem};
use usher_guest::users::Name;

use super::failure::Failure;

const DEFAULT_LIMIT: i64 = 100;
const PAGE_LIMIT: i64 = 1000;

/// The body of POST.
#[derive(Clone, Debug)]
pub(super) struct NewUser {
    pub(super) name: String,
    /// In its normal form.
    pub(super) email: String,
}

/// The body of PUT and PATCH, and the version that the user must have.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) name: Option<String>,
    /// In its normal form.
    pub(super) email: Option<String>,
    pub(super) version: Option<i64>,
}

impl Change {
    /// The parameters of the statement that changes the user with this id.
    pub(super) fn params<'a>(&'a self, id: &'a i64) -> [&'a (dyn ToSql + Sync); 4] {
        [id, &self.name, &self.email, &self.version]
    }
}

/// The body of PATCH, in which a field that is missing stays as it is.
#[derive(Deserialize)]
struct UsualChange<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
    #[serde(borrow)]
    email: Option<Cow<'a, str>>,
}

impl<S: Send + Sync> FromRequest<S> for Change {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let version = match request.headers().get(IF_MATCH) {
            None => None,
            Some(tag) => {
                let tag = tag.to_str().ok().and_then(|tag| tag.strip_prefix('"'));
                let version = tag.and_then(|tag| tag.strip_suffix('"')?.parse().ok());
                Some(version.ok_or(Failure::Stale)?)
            }
        };
        if request.method() == Method::PATCH {
            let (bytes, json) = body(request, state).await?;
            if json
                && let Ok(usual) = serde_json::from_slice::<UsualChange<'_>>(&bytes)
                && let Ok(name) = usual.name.as_deref().map(Name::parse).transpose()
                && let Ok(email) = usual.email.as_deref().map(Email::parse).transpose()
            {
                return Ok(Self {
                    name: name.map(|name| name.as_str().to_owned()),
                    email: email.map(|email| email.as_str().to_owned()),
                    version,
                });
            }
            return NewUser::unusual(&bytes, json).map(|user| user.into_change(version));
        }
        let user = NewUser::from_request(request, state).await?;
        Ok(user.into_change(version))
    }
}

#[derive(Deserialize)]
struct Usual<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(borrow)]
    email: Cow<'a, str>,
}

impl<S: Send + Sync> FromRequest<S> for NewUser {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let (bytes, json) = body(request, state).await?;
        if json
            && let Ok(usual) = serde_json::from_slice::<Usual<'_>>(&bytes)
            && let Ok(name) = Name::parse(usual.name.as_ref())
            && let Ok(email) = Email::parse(usual.email.as_ref())
        {
            return Ok(Self {
                name: name.as_str().to_owned(),
                email: email.as_str().to_owned(),
            });
        }
        Self::unusual(&bytes, json)
    }
}

/// The body of a request, and whether it is said to be JSON.
async fn body<S: Send + Sync>(request: Request, state: &S) -> Result<(Bytes, bool), Failure> {
    let content_type = request.headers().get(CONTENT_TYPE);
    let json = content_type.is_some_and(|value| is_json(value.as_bytes()));
    let bytes = Bytes::from_request(request, state)
        .await
        .map_err(|rejection| match rejection {
            BytesRejection::FailedToBufferBody(FailedToBufferBody::LengthLimitError(_)) => {
                Failure::BodyTooLarge
            }
            _ => Failure::UnreadableBody,
        })?;
    Ok((bytes, json))
}

impl NewUser {
    fn into_change(self, version: Option<i64>) -> Change {
        Change {
            name: Some(self.name),
            email: Some(self.email),
            version,
        }
    }

    fn unusual(bytes: &[u8], json: bool) -> Result<Self, Failure> {
        let whole = |problem, input| {
            Failure::Invalid(vec![Fault {
                location: Location::Body,
                problem,
                input,
            }])
        };
        if bytes.is_empty() {
            return Err(whole(Problem::Missing, "null".into()));
        }
        if !json {
            let text = Value::String(String::from_utf8_lossy(bytes).into_owned());
            return Err(whole(Problem::NotObject, text.to_string()));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| Failure::UnreadableBody)?;
        let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
        let body: Value = serde_json::from_str(text).map_err(|error| {
            Failure::Invalid(vec![Fault {
                location: Location::Character(error.column()),
                problem: Problem::NotJson("Invalid JSON"),
                input: "{}".into(),
            }])
        })?;
        let Value::Object(members) = &body else {
            return Err(whole(Problem::NotObject, body.to_string()));
        };
        let field = |name: &'static str| {
            let location = Location::Field(name);
            match members.get(name) {
                Some(Value::String(text)) => Ok(text.as_str()),
                Some(other) => Err(Fault {
                    location,
                    problem: Problem::NotString,
                    input: other.to_string(),
                }),
                None => Err(Fault {
                    location,
                    problem: Problem::Missing,
                    input: body.to_string(),
                }),
            }
        };
        let fault = |name, text: &str, problem| Fault {
            location: Location::Field(name),
            problem,
            input: Value::String(text.to_owned()).to_string(),
        };
        let name = field("name").and_then(|text| {
            Name::parse(text)
                .map_err(|nul| fault("name", text, Problem::Unacceptable(nul.to_string())))
        });
        let email = field("email").and_then(|text| {
            Email::parse(text)
                .map_err(|reason| fault("email", text, Problem::NotEmail(reason.to_string())))
        });
        match (name, email) {
            (Ok(name), Ok(email)) => Ok(Self {
                name: name.as_str().to_owned(),
                email: email.as_str().to_owned(),
            }),
            (name, email) => Err(Failure::Invalid(
                name.err().into_iter().chain(email.err()).collect(),
            )),
        }
    }
}

/// Whether a content type is `application/json` or `application/*+json`, whatever its parameters.
fn is_json(content_type: &[u8]) -> bool {
    let kind = content_type
        .split(|&byte| byte == b';')
        .next()
        .unwrap_or_default()
        .trim_ascii();
    let Some((kind, subtype)) = kind.split_at_checked(12) else {
        return false;
    };
    kind.eq_ignore_ascii_case(b"application/")
        && (subtype.eq_ignore_ascii_case(b"json")
            || subtype
                .split_last_chunk::<5>()
                .is_some_and(|(_, suffix)| suffix.eq_ignore_ascii_case(b"+json")))
}

/// The id in the path, or `None` if it is an integer out of range.
#[derive(Debug)]
pub(super) struct UserId(pub(super) Option<i64>);

impl<S: Send + Sync> FromRequestParts<S> for UserId {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| Failure::UnreadableBody)?;
        let id = integer(&text).ok_or_else(|| {
            Failure::Invalid(vec![Fault {
                location: Location::Path("user_id"),
                problem: Problem::NotInteger,
                input: Value::String(text).to_string(),
            }])
        })?;
        Ok(Self(i64::try_from(id).ok()))
    }
}

/// An integer as pydantic accepts it: white space around it, a sign, single underscores between
/// digits, `.0…`. One with too many digits saturates.
fn integer(text: &str) -> Option<i128> {
    let text = text.trim();
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = match text.split_once('.') {
        Some((_, fraction)) if fraction.is_empty() || fraction.bytes().any(|byte| byte != b'0') => {
            return None;
        }
        Some((digits, _)) => digits,
        None => text,
    };
    let mut value = 0_i128;
    for group in digits.split('_') {
        if group.is_empty() {
            return None;
        }
        for byte in group.bytes() {
            if !byte.is_ascii_digit() {
                return None;
            }
            value = value
                .saturating_mul(10)
                .saturating_add(i128::from(byte - b'0'));
        }
    }
    Some(if negative { -value } else { value })
}

/// The query of the list.
#[derive(Clone, Debug)]
pub(super) struct Page {
    /// At most this many.
    pub(super) limit: i64,
    /// Only users with a greater id.
    pub(super) after: i64,
    /// Only the user with this address.
    pub(super) email: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let Query(pairs) = Query::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|_| Failure::UnreadableBody)?;
        let mut page = Self {
            limit: DEFAULT_LIMIT,
            after: 0,
            email: None,
        };
        let mut faults = Vec::new();
        for (key, text) in pairs {
            let problem = match key.as_str() {
                "limit" => match integer(&text) {
                    None => Some(("limit", Problem::NotInteger)),
                    Some(..1) => Some(("limit", Problem::LessThan(1))),
                    Some(value) => match i64::try_from(value) {
                        Ok(value @ ..=PAGE_LIMIT) => {
                            page.limit = value;
                            None
                        }
                        _ => Some(("limit", Problem::GreaterThan(PAGE_LIMIT))),
                    },
                },
                "after" => match integer(&text) {
                    None => Some(("after", Problem::NotInteger)),
                    Some(value) => {
                        let beyond = if value < 0 { i64::MIN } else { i64::MAX };
                        page.after = i64::try_from(value).unwrap_or(beyond);
                        None
                    }
                },
                "email" => match Email::parse(text.as_str()) {
                    Ok(email) => {
                        page.email = Some(email.as_str().to_owned());
                        None
                    }
                    Err(reason) => Some(("email", Problem::NotEmail(reason.to_string()))),
                },
                _ => None,
            };
            if let Some((name, problem)) = problem {
                let input = Value::String(text).to_string();
                faults.push(Fault {
                    location: Location::Query(name),
                    problem,
                    input,
                });
            }
        }
        if faults.is_empty() {
            Ok(page)
        } else {
            Err(Failure::Invalid(faults))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{NewUser, integer, is_json};
    use crate::native::failure::Failure;

    #[test]
    fn ids_accept_the_integers_that_pydantic_accepts() {
        for (text, value) in [
            ("1", 1),
            ("01", 1),
            ("+1", 1),
            ("-1", -1),
            ("1.0", 1),
            ("1_0", 10),
            (" 7 ", 7),
        ] {
            assert_eq!(integer(text), Some(value), "{text}");
        }
        for text in ["", "1.", ".0", "1.5", "1e3", "_1", "1__0", "1_", "x", "١"] {
            assert_eq!(integer(text), None, "{text}");
        }
        assert_eq!(integer(&"9".repeat(100)), Some(i128::MAX));
    }

    #[test]
    fn body_is_json_only_with_a_json_content_type() {
        for kind in [
            "application/json",
            "Application/JSON; charset=x",
            "application/a+json",
        ] {
            assert!(is_json(kind.as_bytes()), "{kind}");
        }
        for kind in ["", "text/json", "application/jsonx", "application/x"] {
            assert!(!is_json(kind.as_bytes()), "{kind}");
        }
    }

    #[test]
    fn body_with_several_errors_returns_all_of_them() {
        let Err(Failure::Invalid(faults)) = NewUser::unusual(br#"{"email":"a@b"}"#, true) else {
            panic!("neither a name nor an address with a dot");
        };
        let kinds: Vec<_> = faults.iter().map(|fault| fault.problem.kind()).collect();
        assert_eq!(kinds, ["missing", "value_error"]);
    }

    #[test]
    fn duplicate_json_keys_use_the_last_value() {
        let body = br#"{"name":"a","name":"b","email":"A@B.Com"}"#;
        let user = NewUser::unusual(body, true).expect("a valid user");
        assert_eq!((user.name.as_str(), user.email.as_str()), ("b", "A@b.com"));
    }
}
