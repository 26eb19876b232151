//! The parser: syntax errors, its bounds, and malformed trees.

use super::*;
use crate::database::policy::postgres::grammar::{self, ParseError};
use crate::database::policy::postgres::tree;

#[test]
fn syntax_error_has_postgresqls_message() {
    match grammar::parse("SELEC 1") {
        Err(ParseError::Syntax(message)) => {
            assert_eq!(message, "syntax error at or near \"SELEC\"");
        }
        other => panic!("{other:?}"),
    }
    expect_all(
        Err("42601"),
        &[
            "SELECT 1 +",
            "SELECT $1$$ a $$, set_config('a', 'b', false), $$ b $$",
            "SELECT 'a' \"",
            "SELECT 1a",
        ],
    );
    expect_all(Err("invalid"), &["", "SELECT 1; SELECT 2", "-- nothing"]);
}

/// Deep and long statements are refused, and the next one is parsed as before.
#[test]
fn statement_beyond_the_parsers_bounds_is_refused() {
    for (open, middle, close, times) in [
        ("(", "1", ")", 100_000),
        ("- ", "1", "", 100_000),
        ("NOT ", "true", "", 60_000),
        ("", "1", "+1", 100_000),
        ("ARRAY[", "1", "]", 40_000),
        ("(SELECT ", "1", ")", 30_000),
        ("", "1", " UNION SELECT 1", 15_000),
        ("CASE WHEN ", "true", " THEN true END", 10_000),
        ("", "a", ".a", 100_000),
        ("", "'a'", "::text", 30_000),
        ("lower(", "'a'", ")", 30_000),
    ] {
        let text = format!(
            "SELECT {}{middle}{}",
            open.repeat(times),
            close.repeat(times)
        );
        let checked = checked_with(&text, &[]);
        assert!(
            matches!(
                checked.as_ref().map_err(String::as_str),
                Err("42601" | "54001") | Ok(_)
            ),
            "{open}{middle}{close}: {checked:?}"
        );
        assert_eq!(checked_with("SELECT 1", &[]), Ok(Effect::Reads));
    }
}

#[test]
fn malformed_json_has_no_tree() {
    for text in [
        "",
        "{",
        "[",
        "{}x",
        "{\"a\"}",
        "{\"a\":}",
        "[1,]",
        "[1 2]",
        "\"a",
        "\"\\x\"",
        "\"\\u12\"",
        "\"\\ud800\"",
        "tru",
        "-x",
        "]",
        "{\"a\":1,}",
    ] {
        assert!(tree::Tree::read(text).is_none(), "{text}");
    }
    let tree =
        tree::Tree::read(r#"{"a":[{"B":{"c":"d\u0001\n","e":true}},{},[]],"f":-1,"g":null}"#);
    let tree = tree.expect("it is JSON");
    let list = tree.root().get("a").expect("a field");
    let first = list.children().next().and_then(tree::At::node);
    let (kind, fields) = first.expect("a node");
    assert_eq!((kind, fields.field("c")), ("B", Some("d\u{1}\n")));
    assert!(fields.has("e"));
    assert_eq!(list.children().count(), 3);
    assert_eq!(tree.root().children().count(), 3);
}
