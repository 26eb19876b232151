//! What is masked of a request and of its database calls.
//!
//! Texts, JSON and bytes are masked, because they may identify people. Numbers, booleans, times,
//! decimals and UUIDs stay, and so do header fields but for the subject: the others that are
//! recorded hold none of a person.

use super::format::Sent;
use super::headers::SUBJECT;
use super::mask::Mask;
use super::text;
use crate::database::tape::{Call, Operation, Outcome};
use crate::database::{Error, Row, Value};

/// A request to a component whose routes have these literal segments.
pub(super) fn request(mask: &mut Mask, sent: &mut Sent, literals: &[String]) {
    sent.target = text::target(mask, &sent.target, literals);
    sent.body = text::body(mask, &sent.body).into();
    let subjects = sent.headers.iter_mut().filter(|(name, _)| name == SUBJECT);
    for (_, subject) in subjects {
        *subject = mask.text(subject);
    }
}

/// A call with its outcome. Its statement stays: the second run replaces it by that which the
/// component makes of masked values.
pub(super) fn call(mask: &mut Mask, call: &mut Call) {
    let statement = match &mut call.operation {
        Operation::Query(text, params)
        | Operation::Execute(text, params)
        | Operation::Open(text, params) => {
            row(mask, params);
            text.as_str()
        }
        _ => "",
    };
    match &mut call.outcome {
        Outcome::Rows(found) => found.rows.iter_mut().for_each(|found| row(mask, found)),
        Outcome::Batch(rows) => rows.iter_mut().for_each(|found| row(mask, found)),
        Outcome::Failed(failed) => error(mask, failed, statement),
        Outcome::Unfinished | Outcome::Done | Outcome::Affected(_) | Outcome::Columns(_) => {}
    }
}

fn row(mask: &mut Mask, row: &mut Row) {
    for value in row {
        match value {
            Value::Text(text) => *text = mask.text(text),
            Value::Json(json) => *json = text::json(mask, json),
            Value::Bytes(bytes) => {
                *bytes = match str::from_utf8(bytes) {
                    Ok(text) => mask.text(text).into(),
                    Err(_) => mask.bytes(bytes),
                }
            }
            Value::Null
            | Value::Boolean(_)
            | Value::Integer(_)
            | Value::Real(_)
            | Value::Uuid(_)
            | Value::Timestamp(_)
            | Value::Decimal(_) => {}
        }
    }
}

fn error(mask: &mut Mask, error: &mut Error, statement: &str) {
    match error {
        Error::Unavailable(why) | Error::Denied(why) | Error::Invalid(why) => {
            *why = text::message(mask, why, &[statement]);
        }
        Error::Refused(refusal) => {
            let names = [
                refusal.constraint.as_deref().unwrap_or_default(),
                refusal.column.as_deref().unwrap_or_default(),
                statement,
            ];
            refusal.message = text::message(mask, &refusal.message, &names);
        }
        Error::Overloaded | Error::Timeout | Error::InDoubt | Error::TooLarge(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subject_of_a_request_is_masked_and_other_fields_stay() {
        let field = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut sent = Sent {
            method: "GET".to_owned(),
            is_https: false,
            target: "/".to_owned(),
            headers: vec![
                field("host", "localhost"),
                field(SUBJECT, "ann@example.org"),
            ],
            body: b"{}".to_vec().into(),
        };
        request(&mut Mask::default(), &mut sent, &[]);
        assert_eq!(sent.headers[0], field("host", "localhost"));
        let (name, subject) = &sent.headers[1];
        assert_eq!(
            (name.as_str(), subject.len()),
            (SUBJECT, "ann@example.org".len())
        );
        assert!(
            !subject.contains("ann") && subject.contains(".org"),
            "{subject}"
        );
    }
}
