//! JSON bodies: what a client sends, and what it gets.

use std::fmt::Write as _;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;
use serde_path_to_error::Segment;

use super::problem::{Place, Problem};
use crate::http::Response;

impl Response {
    /// A value as JSON.
    ///
    /// # Errors
    /// When serde cannot write the value as JSON, such as a map whose keys are no strings.
    pub fn json<T: Serialize + ?Sized>(status: u16, value: &T) -> Result<Self, Problem> {
        match serde_json::to_vec(value) {
            Ok(body) => Ok(Self::json_text(status, body)),
            Err(error) => Err(Problem::new(500).detail(format!("the response: {error}"))),
        }
    }

    /// 201 with the path of what was created, and a representation of it.
    ///
    /// # Errors
    /// As [`json`](Self::json).
    pub fn created<T: Serialize + ?Sized>(location: String, value: &T) -> Result<Self, Problem> {
        Ok(Self::json(201, value)?.with("location", location))
    }
}

/// Reads a body, whose media type is this one.
pub(super) fn parse<T: DeserializeOwned>(
    body: &[u8],
    content_type: Option<&[u8]>,
) -> Result<T, Problem> {
    if content_type.is_some_and(|content_type| !is_json(content_type)) {
        return Err(Problem::new(415)
            .detail("the body must be application/json")
            .header("accept", "application/json"));
    }
    let mut parser = serde_json::Deserializer::from_slice(body);
    let value = serde_path_to_error::deserialize(&mut parser).map_err(|error| {
        let path = error.path().clone();
        let error = error.into_inner();
        match error.classify() {
            Category::Data => {
                let text = error.to_string();
                let detail = text.split(" at line ").next().unwrap_or(&text).to_owned();
                let pointer = pointer(path.iter(), missing_field(&detail));
                Problem::new(422).fault(Place::Body(pointer), detail)
            }
            Category::Io | Category::Syntax | Category::Eof => malformed(&error),
        }
    })?;
    parser.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(400).detail(format!("the body is not JSON: {error}"))
}

/// Whether a media type is `application/json` or ends with `+json` (RFC 6839).
fn is_json(content_type: &[u8]) -> bool {
    let essence = content_type.split(|&byte| byte == b';').next();
    let essence = essence.unwrap_or_default().trim_ascii();
    let suffix = essence.len().checked_sub(5).map(|at| &essence[at..]);
    essence.eq_ignore_ascii_case(b"application/json")
        || suffix.is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"+json"))
}

/// The field that serde reports as missing. It is no part of the path, which ends before it.
fn missing_field(detail: &str) -> Option<&str> {
    detail.strip_prefix("missing field `")?.strip_suffix('`')
}

/// A JSON pointer as a URI fragment (RFC 6901, 6).
fn pointer<'p>(path: impl Iterator<Item = &'p Segment>, last: Option<&str>) -> String {
    let mut pointer = String::from("#");
    let mut key = |key: &str| {
        pointer.push('/');
        for byte in key.replace('~', "~0").replace('/', "~1").bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                pointer.push(char::from(byte));
            } else {
                // Writing to a string cannot fail.
                write!(pointer, "%{byte:02X}").ok();
            }
        }
    };
    for segment in path {
        match segment {
            Segment::Map { key: name } => key(name),
            Segment::Seq { index } => key(&index.to_string()),
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    if let Some(last) = last {
        key(last);
    }
    pointer
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::parse;
    use crate::http::Response;

    #[derive(Debug, Deserialize, PartialEq)]
    struct Note {
        title: String,
        #[serde(default)]
        parts: Vec<Part>,
    }

    #[derive(Debug, Deserialize, PartialEq)]
    struct Part {
        pages: u8,
    }

    fn refused(body: &str, content_type: Option<&str>) -> (u16, String) {
        let problem = parse::<Note>(body.as_bytes(), content_type.map(str::as_bytes));
        let response = Response::from(problem.expect_err("it is refused"));
        let body = String::from_utf8(response.body.into_owned()).expect("text");
        (response.status, body)
    }

    #[test]
    fn body_with_any_json_media_type_is_read() {
        for content_type in [
            None,
            Some("application/json"),
            Some("Application/JSON; charset=utf-8"),
            Some("application/merge-patch+json"),
        ] {
            let note = parse::<Note>(br#"{"title": "a"}"#, content_type.map(str::as_bytes));
            let (title, parts) = ("a".into(), Vec::new());
            assert_eq!(note, Ok(Note { title, parts }), "{content_type:?}");
        }
    }

    #[test]
    fn body_with_other_media_type_returns_415() {
        for content_type in ["text/plain", "", "json", "application/jsonx"] {
            assert_eq!(refused("{}", Some(content_type)).0, 415, "{content_type}");
        }
    }

    #[test]
    fn body_that_is_no_json_returns_400() {
        for body in [
            "",
            "{",
            r#"{"title": "a"} x"#,
            r#"{"title": "a",}"#,
            "\u{feff}{}",
        ] {
            assert_eq!(refused(body, None).0, 400, "{body}");
        }
    }

    #[test]
    fn wrong_field_returns_422_with_its_pointer() {
        for (body, pointer, detail) in [
            (r"{}", "#/title", "missing field `title`"),
            (
                r#"{"title": 1}"#,
                "#/title",
                "invalid type: integer `1`, expected a string",
            ),
            (
                r#"{"title": "a", "parts": [{"pages": 1}, {"pages": 300}]}"#,
                "#/parts/1/pages",
                "invalid value: integer `300`, expected u8",
            ),
            (
                r#"{"title": "a", "parts": [{}]}"#,
                "#/parts/0/pages",
                "missing field `pages`",
            ),
        ] {
            let (status, sent) = refused(body, None);
            assert_eq!(status, 422, "{body}");
            let fault = format!(r#"{{"pointer":"{pointer}","detail":"{detail}"}}"#);
            assert!(sent.contains(&fault), "{sent} of {body}");
        }
    }
}
