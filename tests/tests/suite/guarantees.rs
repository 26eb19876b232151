//! The tables of `docs/database.md`, `docs/limits.md`, `docs/operating.md`, `docs/security.md` and
//! `docs/serving.md` name the tests that show each guarantee. Every named test must exist.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The sources that may have tests: of this suite and its guests, of the host, the SDK, the service
/// and the test doubles.
fn sources() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found = Vec::new();
    let mut left: Vec<PathBuf> = [
        "tests/tests",
        "tests/guests",
        "host/src",
        "testing/src",
        "host/tests",
        "sdk/src",
        "guest/src",
        "guest/tests",
    ]
    .map(|directory| root.join(directory))
    .into();
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a directory");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The names of all functions.
fn functions() -> BTreeSet<String> {
    let named = |line: &str| {
        let rest = line
            .trim_start()
            .trim_start_matches("pub ")
            .trim_start_matches("async ");
        let name = rest.strip_prefix("fn ")?.split(['(', '<']).next()?;
        Some(name.to_owned())
    };
    let read = |path: PathBuf| std::fs::read_to_string(path).expect("a source");
    sources()
        .into_iter()
        .map(read)
        .flat_map(|text| text.lines().filter_map(named).collect::<Vec<_>>())
        .collect()
}

/// The rows of all tables, each as its cells. A vertical line in code is written `\|`.
fn rows(document: &str) -> Vec<Vec<&str>> {
    let rows = document
        .lines()
        .filter_map(|line| line.trim().strip_prefix('|')?.strip_suffix('|'));
    rows.map(|row| row.split(" | ").map(str::trim).collect())
        .collect()
}

#[test]
fn document_tables_name_existing_tests() {
    names_tests("docs/database.md", 100);
    names_tests("docs/limits.md", 25);
    names_tests("docs/operating.md", 15);
    names_tests("docs/security.md", 15);
    names_tests("docs/serving.md", 15);
}

/// Fails if a table of the document names a test that does not exist, or the document names fewer
/// tests than `at_least`.
fn names_tests(document: &str, at_least: usize) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .join(document);
    let text = std::fs::read_to_string(path).expect("the document");
    let functions = functions();
    let mut tests = 0;
    let mut wrong = Vec::new();
    let mut in_tests = false;
    let is_rule = |row: &Vec<&str>| {
        row.iter()
            .all(|cell| cell.trim_matches(['-', ':', '|']).is_empty())
    };
    let mut rows = rows(&text).into_iter().peekable();
    while let Some(row) = rows.next() {
        let last = row.last().copied().unwrap_or_default();
        // A table lists tests if the head of its last column says so.
        if rows.peek().is_some_and(is_rule) {
            in_tests = last == "shown by";
            continue;
        }
        // An empty cell says that no test shows it.
        if !in_tests || last.is_empty() || is_rule(&row) {
            continue;
        }
        let named: Vec<_> = last.split('`').skip(1).step_by(2).collect();
        if named.is_empty() {
            wrong.push(format!("no test shows this: {}", row[0]));
        }
        tests += named.len();
        wrong.extend(
            named
                .iter()
                .filter(|name| !functions.contains(**name))
                .map(|name| format!("there is no test {name}")),
        );
    }
    assert!(wrong.is_empty(), "{document}:\n{}", wrong.join("\n"));
    assert!(
        tests >= at_least,
        "{document}: only {tests} tests are named: the tables are not read as they are written"
    );
}
