//! The checks of a statement's tree.

use super::check::by_tree as check;
use crate::database::config::Allowed;
use crate::database::statement::{Caller, Effect};
use crate::database::types::Error;

/// The effect, or a word for the error, if these functions are allowed.
fn checked_with(text: &str, functions: &[&str]) -> Result<Effect, String> {
    let allowed = Allowed {
        functions: functions.iter().map(|&name| name.to_owned()).collect(),
    };
    check(text, Caller::Request, &allowed).map_err(|error| match error {
        Error::Denied(_) => "denied".into(),
        Error::Invalid(_) => "invalid".into(),
        Error::Refused(refusal) => refusal.code,
        other => format!("{other:?}"),
    })
}

fn expect_all(expected: Result<Effect, &str>, statements: &[&str]) {
    let expected = expected.map_err(str::to_owned);
    for statement in statements {
        let text = statement;
        let error = match check(text, Caller::Request, &Allowed::default()) {
            Err(Error::Denied(why)) => why,
            other => format!("{other:?}"),
        };
        assert_eq!(checked_with(text, &[]), expected, "{text}: {error}");
    }
}

mod denied;
mod effects;
mod parser;
mod trigger;
