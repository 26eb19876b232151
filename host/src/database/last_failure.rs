//! The last database failure of a request, for the log line of a response 500.
//!
//! The line names the statement, the SQLSTATE, the constraint and the column, and never shows a
//! value of a row or a parameter. So literals in the statement are masked, and the database's
//! message is shown only where it quotes nothing but names: see [`Message`].

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::statement::Statement;
use super::types::{Error, Refusal};
use crate::telemetry::log::excerpt;

/// The last failure of the current request. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct LastFailure(Arc<Mutex<Option<Box<Cause>>>>);

/// A failure at the database.
#[derive(Debug)]
pub(crate) struct Cause {
    /// None if no statement caused it: a COMMIT, for instance.
    statement: Option<Arc<Statement>>,
    error: Error,
}

impl LastFailure {
    fn lock(&self) -> MutexGuard<'_, Option<Box<Cause>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps a copy of the error, if any, and returns the result.
    pub(super) fn record<T>(
        &self,
        statement: Option<&Arc<Statement>>,
        result: Result<T, Error>,
    ) -> Result<T, Error> {
        if let Err(error) = &result {
            self.keep(statement, error);
        }
        result
    }

    #[cold]
    fn keep(&self, statement: Option<&Arc<Statement>>, error: &Error) {
        *self.lock() = Some(Box::new(Cause {
            statement: statement.cloned(),
            error: error.clone(),
        }));
    }

    /// Forgets the failure for the next request. An existing clone keeps it.
    pub(super) fn reset(&mut self) {
        match Arc::get_mut(&mut self.0) {
            Some(kept) => *kept.get_mut().unwrap_or_else(PoisonError::into_inner) = None,
            None => *self = Self::default(),
        }
    }

    /// Whether the database is to blame for it: it was not there, too slow or had no room. If it
    /// refused a statement, it is not.
    pub(crate) fn is_of_database(&self) -> bool {
        let kept = self.lock();
        match kept.as_ref().map(|cause| &cause.error) {
            Some(Error::Unavailable(_) | Error::Overloaded | Error::Timeout | Error::InDoubt) => {
                true
            }
            // Resources, an operator's intervention, a system error, an internal error.
            Some(Error::Refused(refusal)) => {
                matches!(refusal.code.get(..2), Some("53" | "57" | "58" | "XX"))
            }
            _ => false,
        }
    }

    pub(crate) fn take(&self) -> Option<Box<Cause>> {
        self.lock().take()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let statement = self
            .statement
            .as_ref()
            .map(|statement| masked(&statement.text));
        match &self.error {
            Error::Refused(refusal) => {
                write!(
                    f,
                    "the database refused with SQLSTATE {}",
                    excerpt(&refusal.code)
                )?;
                if let Some(constraint) = &refusal.constraint {
                    write!(f, ", constraint {}", excerpt(constraint))?;
                }
                if let Some(column) = &refusal.column {
                    write!(f, ", column {}", excerpt(column))?;
                }
                let message = Message {
                    refusal,
                    statement: statement.as_deref(),
                };
                if let Some(message) = message.shown() {
                    write!(f, ": {}", excerpt(message))?;
                }
            }
            // The host's own texts, and addresses, which a log may hold.
            other => f.write_str(&excerpt(other))?,
        }
        if let Some(statement) = statement {
            write!(f, "; statement: {}", excerpt(statement))?;
        }
        Ok(())
    }
}

/// A statement's text up to its first string or comment, with numbers as `?`.
///
/// The text after a string is left out, because where a string ends depends on settings of the
/// database.
pub(crate) fn masked(text: &str) -> String {
    let mut shown = String::new();
    let mut before = ' ';
    let mut characters = text.chars().peekable();
    while let Some(found) = characters.next() {
        let next = characters.peek().copied().unwrap_or(' ');
        let begins_string = found == '\'' || (found == '$' && !next.is_ascii_digit());
        let begins_comment = (found == '-' && next == '-') || (found == '/' && next == '*');
        if begins_string || begins_comment {
            shown.push('…');
            break;
        }
        let is_in_name = before.is_alphanumeric() || matches!(before, '_' | '$' | '?');
        if found.is_ascii_digit() && !is_in_name {
            shown.push('?');
            while characters
                .next_if(|more| more.is_alphanumeric() || matches!(more, '.' | '_'))
                .is_some()
            {}
            before = ' ';
            continue;
        }
        shown.push(found);
        before = found;
    }
    shown
}

/// The part of the database's message that a log may show.
///
/// PostgreSQL's messages of class 22 quote the wrong value, those of class 23 add nothing to the
/// constraint's name, and those of class P0 come from a trigger. Some others quote a name from the
/// statement or a parameter (`relation "…" does not exist`). So a quoted part is shown if the
/// statement has it, and numbers are masked.
struct Message<'a> {
    refusal: &'a Refusal,
    statement: Option<&'a str>,
}

impl Message<'_> {
    fn shown(&self) -> Option<String> {
        let Refusal { code, message, .. } = self.refusal;
        // The message names a sequence and its limit.
        if code == "2200H" {
            return Some(message.clone());
        }
        let is_shown = match code.get(..2)? {
            "08" | "0A" | "25" | "26" | "2B" | "2D" | "34" | "3B" | "3D" | "3F" | "40" | "42"
            | "53" | "54" | "55" | "57" | "58" => true,
            _ => matches!(code.as_str(), "22003" | "22012"),
        };
        // A syntax error quotes any token. A translated message may have other quotation marks.
        if !is_shown || code == "42601" || !message.is_ascii() {
            return None;
        }
        let (Some(first), Some(last)) = (message.find('"'), message.rfind('"')) else {
            return Some(unnumbered(message));
        };
        // From the first quote to the last, because quoted text may contain quotes.
        let (before, rest) = message.split_at(first);
        let (quoted, after) = rest.split_at(last + 1 - first);
        let known = self
            .statement
            .is_some_and(|text| has_words_of(text, quoted));
        let quoted = if known { quoted } else { "\"…\"" };
        Some(format!(
            "{}{quoted}{}",
            unnumbered(before),
            unnumbered(after)
        ))
    }
}

fn is_word(found: char) -> bool {
    found.is_alphanumeric() || found == '_'
}

/// Whether the statement has every quoted word, apart from `of` and `relation` between two names.
fn has_words_of(statement: &str, quoted: &str) -> bool {
    let is_known = |word: &str| {
        let mut words = statement.split(|found| !is_word(found));
        matches!(word, "" | "of" | "relation")
            || words.any(|known| known.eq_ignore_ascii_case(word))
    };
    quoted.split(|found| !is_word(found)).all(is_known)
}

/// A text with every word that begins with a digit masked.
fn unnumbered(text: &str) -> String {
    let words = text.split_inclusive(|found| !is_word(found));
    words
        .map(|word| {
            if word.starts_with(|first: char| first.is_ascii_digit()) {
                format!("?{}", word.trim_start_matches(is_word))
            } else {
                word.to_owned()
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::failure;
    use crate::database::statement::Effect;

    fn line(statement: &str, code: &str, message: &str, constraint: Option<&str>) -> String {
        let last = LastFailure::default();
        let statement = Statement::new(statement.into(), Effect::Reads);
        let error = failure::refused(code, message, constraint.map(str::to_owned), None);
        let result: Result<(), Error> = last.record(Some(&statement), Err(error));
        assert!(result.is_err());
        last.take().expect("it was kept").to_string()
    }

    #[test]
    fn constraint_violation_line_names_constraint_and_statement() {
        assert_eq!(
            line(
                "INSERT INTO users VALUES ($1, $2)",
                "23514",
                "new row violates it",
                Some("age_check")
            ),
            "the database refused with SQLSTATE 23514, constraint age_check; \
             statement: INSERT INTO users VALUES ($1, $2)"
        );
    }

    #[test]
    fn message_quoting_a_value_is_not_shown() {
        for (code, message) in [
            ("22P02", "invalid input syntax for type integer: \"secret\""),
            ("22007", "invalid input syntax for type date: \"secret\""),
            (
                "22021",
                "invalid byte sequence for encoding \"UTF8\": 0xsecret",
            ),
            ("23514", "secret violates a check"),
            ("P0001", "secret is not wanted"),
            ("42601", "syntax error at or near \"secret\""),
            ("42P01", "relation \"secret\" does not exist"),
            ("42704", "type \"secret one\" does not exist"),
            ("42883", "function \"a\"secret\"\" does not exist"),
            ("42883", "function \"a\" secret \"b\" does not exist"),
            ("22003", "value \"secret\" is out of range for type integer"),
            ("42P01", "relation «secret» does not exist"),
        ] {
            let line = line("SELECT $1", code, message, None);
            assert!(!line.contains("secret"), "{line}");
            assert!(line.contains(code), "{line}");
        }
        let number = line("SELECT $1", "22003", "123456789 is out of range", None);
        assert!(!number.contains("123"), "{number}");
    }

    #[test]
    fn message_quoting_names_of_the_statement_is_shown() {
        let missing = "relation \"users\" does not exist";
        let shown = line("SELECT * FROM users", "42P01", missing, None);
        assert!(shown.contains(missing), "{shown}");
        let column = "column \"nick\" of relation \"users\" does not exist";
        let shown = line(
            "INSERT INTO users (nick) VALUES ($1)",
            "42703",
            column,
            None,
        );
        assert!(shown.contains(column), "{shown}");
        let denied = line(
            "SELECT * FROM users",
            "42501",
            "permission denied for table users",
            None,
        );
        assert!(
            denied.contains("permission denied for table users"),
            "{denied}"
        );
        let end = "nextval: reached maximum value of sequence \"users_id_seq\" (2147483647)";
        assert!(line("INSERT INTO users DEFAULT VALUES", "2200H", end, None).contains(end));
    }

    #[test]
    fn statement_with_literals_is_masked() {
        for (text, shown) in [
            (
                "SELECT a1 FROM t WHERE b = 12.5 AND c = $12",
                "SELECT a1 FROM t WHERE b = ? AND c = $12",
            ),
            ("SELECT 'secret'", "SELECT …"),
            ("SELECT E'\\'secret'", "SELECT E…"),
            ("SELECT $a$secret$a$", "SELECT …"),
            ("SELECT 1 -- secret", "SELECT ? …"),
            ("SELECT 1 /* secret */", "SELECT ? …"),
            ("SELECT 0xsecret, 1e5", "SELECT ?, ?"),
            ("SELECT ?1, ?", "SELECT ?1, ?"),
        ] {
            assert_eq!(masked(text), shown);
        }
    }

    #[test]
    fn taken_failure_is_gone() {
        let last = LastFailure::default();
        assert!(last.take().is_none());
        let ok: Result<u8, Error> = last.record(None, Ok(1));
        assert_eq!(ok.ok(), Some(1));
        assert!(last.take().is_none());
        let doubt: Result<(), Error> = last.record(None, Err(Error::InDoubt));
        assert!(doubt.is_err());
        assert!(
            last.take()
                .is_some_and(|cause| cause.to_string().contains("unknown"))
        );
        assert!(last.take().is_none());
    }

    #[test]
    fn failure_after_reset_is_kept_by_clones_only() {
        let mut last = LastFailure::default();
        let clone = last.clone();
        assert!(last.record::<()>(None, Err(Error::Timeout)).is_err());
        last.reset();
        assert!(last.take().is_none());
        assert!(clone.take().is_some());
    }
}
