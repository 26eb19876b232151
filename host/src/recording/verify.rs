//! Whether the second run of a request did what the first did.
//!
//! Over masked values it cannot give the same values, but it gives as many of them, of the same
//! size: masking keeps the lengths of texts. So the calls, the status, the names of the header
//! fields and the length of the body are compared, and the values too if they are not masked.

use super::format::Answer;
use super::playback::{Likeness, likeness};
use super::player::Run;
use super::queue::{Answered, Ended};
use crate::database::tape::{Call, Outcome};

/// The first run.
#[derive(Clone, Copy, Debug)]
pub(super) struct First<'a> {
    pub(super) calls: &'a [Call],
    pub(super) ended: &'a Ended,
    /// Whether the second run had masked values.
    pub(super) is_masked: bool,
    /// Whether the component may make the texts of its statements from values.
    pub(super) texts_differ: bool,
}

impl First<'_> {
    /// Why the second run is another one.
    ///
    /// # Errors
    /// One sentence without a value.
    pub(super) fn check(&self, second: &Run) -> Result<(), String> {
        if let Some(why) = &second.spoiled {
            return Err(format!("the run to verify it failed: {why}"));
        }
        for (index, call) in self.calls.iter().enumerate() {
            let is_same = second
                .calls
                .get(index)
                .is_some_and(|other| self.is_same(call, other));
            if !is_same {
                return Err(format!("the component makes another call {}", index + 1));
            }
        }
        let (first, more) = (self.calls.len(), second.calls.len());
        if more > first {
            return Err(format!(
                "the component makes {more} calls in place of {first}"
            ));
        }
        match (self.ended, &second.answer) {
            (
                Ended::Answered(first),
                Answer::Response {
                    status,
                    headers,
                    body,
                },
            ) => self.check_response(first, *status, headers, body),
            (Ended::Failed, Answer::Failed(_)) => Ok(()),
            (Ended::Failed, _) => Err("the component does not fail again".to_owned()),
            _ => Err("the component fails".to_owned()),
        }
    }

    fn is_same(&self, first: &Call, second: &Call) -> bool {
        let (one, other) = (first.operation.statement(), second.operation.statement());
        let is_alike = match (
            one.zip(other),
            likeness(&first.operation, &second.operation),
        ) {
            (_, Likeness::Equal) => true,
            (Some(((_, params), (_, others))), Likeness::Statement) => {
                self.is_masked && params.len() == others.len()
            }
            (Some(((text, _), (other, _))), Likeness::Kind) => {
                self.texts_differ && text.len() == other.len()
            }
            _ => false,
        };
        is_alike
            && first.transaction == second.transaction
            && first.cursor == second.cursor
            && std::mem::discriminant(&first.outcome) == std::mem::discriminant(&second.outcome)
    }

    fn check_response(
        &self,
        first: &Answered,
        status: u16,
        headers: &[(String, String)],
        body: &[u8],
    ) -> Result<(), String> {
        if first.status != status {
            let expected = first.status;
            return Err(format!(
                "the component answers {status} in place of {expected}"
            ));
        }
        let names = |fields: &[(String, String)]| -> Vec<String> {
            fields.iter().map(|(name, _)| name.clone()).collect()
        };
        let has_same_fields = if self.is_masked {
            names(&first.headers) == names(headers)
        } else {
            first.headers == headers
        };
        if !has_same_fields {
            return Err("the component answers with other header fields".to_owned());
        }
        if let Some(length) = first.length.filter(|length| *length != body.len()) {
            return Err(format!(
                "the component answers with a body of {} bytes in place of {length}",
                body.len()
            ));
        }
        if !self.is_masked && first.body.as_ref().is_some_and(|first| *first != body) {
            return Err("the component answers with another body".to_owned());
        }
        Ok(())
    }
}

/// Why calls cannot be returned a second time.
pub(super) fn unfinished(calls: &[Call]) -> Option<String> {
    let unfinished = calls
        .iter()
        .position(|call| matches!(call.outcome, Outcome::Unfinished));
    unfinished.map(|index| format!("call {} was given up before it had an outcome", index + 1))
}
