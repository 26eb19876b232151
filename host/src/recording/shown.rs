//! What a component did with a request as text, and the difference between two such texts.

use std::fmt::Write as _;

use similar::TextDiff;

use super::format::{Answer, Sent};
use super::value;
use crate::database;
use crate::database::tape::{Call, Operation, Outcome};

/// The lines around a difference that are shown.
const CONTEXT: usize = 3;

/// The calls and the answer, one thing a line.
pub(super) fn run(calls: &[Call], answer: &Answer) -> String {
    let mut out = String::new();
    for (call, number) in calls.iter().zip(1..) {
        line(&mut out, &format!("call {number}: {}", operation(call)));
        if let Some((_, params)) = call.operation.statement() {
            for (param, number) in params.iter().zip(1..) {
                line(&mut out, &format!("  ${number} = {}", value(param)));
            }
        }
        line(&mut out, &format!("  {}", outcome(&call.outcome)));
    }
    match answer {
        Answer::Response {
            status,
            headers,
            body,
        } => {
            line(&mut out, &format!("response {status}"));
            for (name, value) in headers {
                line(&mut out, &format!("  {name}: {value}"));
            }
            for text in lines_of(body) {
                line(&mut out, &format!("  {text}"));
            }
        }
        Answer::Failed(why) => line(&mut out, &format!("the component failed: {why}")),
        Answer::None => line(&mut out, "no response"),
    }
    out
}

/// One line that names the request.
pub(super) fn request(sent: &Sent) -> String {
    let mut out = String::new();
    line(&mut out, &format!("{} {}", sent.method, sent.target));
    out.truncate(out.trim_end().len());
    out
}

/// The difference as a unified diff, empty if there is none.
pub(super) fn difference(recorded: &str, replayed: &str) -> String {
    let diff = TextDiff::from_lines(recorded, replayed);
    let mut unified = diff.unified_diff();
    let unified = unified.context_radius(CONTEXT);
    unified.header("recorded", "replayed").to_string()
}

/// Adds a line, without what a terminal would act on.
fn line(out: &mut String, text: &str) {
    for c in text.chars() {
        if c.is_control() && c != '\t' {
            // Writing to a string does not fail.
            let _ = write!(out, "{}", c.escape_unicode());
        } else {
            out.push(c);
        }
    }
    out.push('\n');
}

fn operation(call: &Call) -> String {
    let mut text = match &call.operation {
        Operation::Query(statement, _) => format!("query {}", one_line(statement)),
        Operation::Execute(statement, _) => format!("execute {}", one_line(statement)),
        Operation::Open(statement, _) => format!("open {}", one_line(statement)),
        Operation::Next { at_most } => format!("next {at_most}"),
        Operation::Begin {
            isolation,
            read_only,
        } => {
            let read_only = if *read_only { ", read only" } else { "" };
            format!("begin {isolation:?}{read_only}")
        }
        Operation::Commit => "commit".to_owned(),
        Operation::Rollback => "rollback".to_owned(),
        Operation::Drop => "drop".to_owned(),
    };
    if call.transaction > 0 {
        let _ = write!(text, " [transaction {}]", call.transaction);
    }
    if call.cursor > 0 {
        let _ = write!(text, " [cursor {}]", call.cursor);
    }
    text
}

/// A statement's text, whose layout makes no difference to a reader.
fn one_line(statement: &str) -> String {
    statement.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn outcome(outcome: &Outcome) -> String {
    let plural = |count: usize| if count == 1 { "" } else { "s" };
    match outcome {
        Outcome::Unfinished => "no outcome".to_owned(),
        Outcome::Done => "done".to_owned(),
        Outcome::Rows(found) => {
            let count = found.rows.len();
            format!("{count} row{}", plural(count))
        }
        Outcome::Batch(rows) => format!("{} row{}", rows.len(), plural(rows.len())),
        Outcome::Affected(count) => format!("{count} affected"),
        Outcome::Columns(columns) => format!("columns {}", columns.join(", ")),
        Outcome::Failed(error) => error.to_string(),
    }
}

fn value(value: &database::Value) -> String {
    serde_json::to_string(&value::Value::from(value)).unwrap_or_default()
}

/// A body: JSON by its parts, if that is what it is, so that a difference is seen where it is.
fn lines_of(body: &[u8]) -> Vec<String> {
    let json = serde_json::from_slice::<Box<serde_json::value::RawValue>>(body);
    let text = match (json, str::from_utf8(body)) {
        (Ok(json), _) => split_json(json.get()),
        (_, Ok(text)) => text.to_owned(),
        _ => {
            let count = body.len();
            return vec![format!(
                "{count} bytes {}",
                String::from(value::Hex(body.to_vec()))
            )];
        }
    };
    text.lines().map(str::to_owned).collect()
}

/// JSON with a line for each element and member. Every character of it is kept, in its order.
fn split_json(text: &str) -> String {
    let (mut out, mut is_string, mut is_escaped) = (String::new(), false, false);
    for c in text.chars() {
        out.push(c);
        if is_string {
            is_string = c != '"' || is_escaped;
            is_escaped = c == '\\' && !is_escaped;
        } else if c == '"' {
            is_string = true;
        } else if matches!(c, ',' | '{' | '[') {
            out.push('\n');
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(body: &'static str) -> String {
        run(
            &[],
            &Answer::Response {
                status: 200,
                headers: vec![("etag".into(), "\"1\"".into())],
                body: body.into(),
            },
        )
    }

    #[test]
    fn difference_shows_the_member_that_differs() {
        let before = response(r#"{"id":1,"name":"A, [b]","email":"a"}"#);
        let after = response(r#"{"id":1,"name":"A, [c]","email":"a"}"#);
        let shown = difference(&before, &after);
        assert!(
            shown.contains("-  \"name\":\"A, [b]\",\n+  \"name\":\"A, [c]\",\n"),
            "{shown}"
        );
        assert_eq!(difference(&before, &before), "");
    }

    #[test]
    fn control_characters_of_a_body_do_not_reach_a_terminal() {
        let shown = response("\u{1b}[31m\r\u{7}");
        assert!(!shown.contains(['\u{1b}', '\r', '\u{7}']), "{shown:?}");
    }
}
