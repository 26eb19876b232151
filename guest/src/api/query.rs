//! Parsing the query of a list.

use std::cmp::Ordering;

use crate::compat::email::Email;
use crate::compat::faults::{Fault, Location, Problem};
use crate::compat::integer::{self, Integer};
use crate::compat::{json, percent};
use crate::users::{PAGE_LIMIT, Selection};

/// What the query of a list asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ListQuery {
    pub(crate) selection: Selection<'static>,
    /// Whether each user is listed with its entity tag.
    pub(crate) etags: bool,
}

/// Parses `limit`, `after`, `email` and `etag`. Of duplicates the last one is used; other keys are
/// ignored.
pub(crate) fn parse(query: &str) -> Result<ListQuery, Vec<Fault>> {
    let (mut limit, mut after, mut email, mut etag) = (None, None, None, None);
    for pair in query.split('&') {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        match &*percent::decode_form(key) {
            "limit" => limit = Some(percent::decode_form(value)),
            "after" => after = Some(percent::decode_form(value)),
            "email" => email = Some(percent::decode_form(value)),
            "etag" => etag = Some(percent::decode_form(value)),
            _ => {}
        }
    }
    let mut faults = Vec::new();
    let mut fault = |name, problem, text: &str| {
        let mut input = String::new();
        json::write_string(text, &mut input);
        faults.push(Fault {
            location: Location::Query(name),
            problem,
            input,
        });
    };
    let mut selection = Selection {
        limit: None,
        after: 0,
        email: None,
    };
    let mut etags = false;
    if let Some(text) = limit {
        match integer::parse(&text) {
            None => fault("limit", Problem::NotInteger, &text),
            Some(value) if value.compare(1) == Ordering::Less => {
                fault("limit", Problem::LessThan(1), &text);
            }
            Some(Integer::Fits(value)) => match u32::try_from(value) {
                Ok(value @ 1..=PAGE_LIMIT) => selection.limit = Some(value),
                _ => fault("limit", Problem::GreaterThan(i64::from(PAGE_LIMIT)), &text),
            },
            Some(_) => fault("limit", Problem::GreaterThan(i64::from(PAGE_LIMIT)), &text),
        }
    }
    if let Some(text) = after {
        match integer::parse(&text) {
            None => fault("after", Problem::NotInteger, &text),
            Some(Integer::Fits(value)) => selection.after = value,
            // No id is beyond these limits.
            Some(Integer::Below) => selection.after = i64::MIN,
            Some(Integer::Above) => selection.after = i64::MAX,
        }
    }
    if let Some(text) = email {
        match Email::parse(text.as_ref()) {
            Ok(email) => selection.email = Some(email.into_owned()),
            Err(reason) => fault("email", Problem::NotEmail(reason.to_string()), &text),
        }
    }
    if let Some(text) = etag {
        if text.eq_ignore_ascii_case("true") {
            etags = true;
        } else if !text.eq_ignore_ascii_case("false") {
            fault("etag", Problem::NotBoolean, &text);
        }
    }
    if faults.is_empty() {
        Ok(ListQuery { selection, etags })
    } else {
        Err(faults)
    }
}
