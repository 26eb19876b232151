//! Lines stay within 100 columns, and words that the glossary of `DESIGN.md` replaces stay away.

use std::fs;
use std::path::{Path, PathBuf};

const MAX_COLUMNS: usize = 100;

/// Files and folders that others wrote, or that a command generates.
const FOREIGN: [&str; 14] = [
    "docs/options.md",
    "docs/performance-table.md",
    "guest/assets",
    "host/assets",
    "adapters/wasi-0.3-door/wit/http.wit",
    "wit/deps/cli.wit",
    "wit/deps/clocks.wit",
    "wit/deps/config.wit",
    "wit/deps/filesystem.wit",
    "wit/deps/http.wit",
    "wit/deps/io.wit",
    "wit/deps/logging.wit",
    "wit/deps/random.wit",
    "wit/deps/sockets.wit",
];

/// Words and parts of identifiers that have no ordinary use here, and the terms to use instead.
const REPLACED: [(&str, &str); 16] = [
    ("lane", "shared connection"),
    ("lanes", "shared connections"),
    ("judge", "check, policy decision"),
    ("judged", "checked"),
    ("judges", "checks"),
    ("tidied", "closed"),
    ("tidier", "connection closer"),
    ("helpings", "batches"),
    ("abandonment", "abandoned transactions"),
    ("let_go", "exempt"),
    ("at_rest", "idle"),
    ("as_elsewhere", "via_incoming_handler"),
    ("from_aside", "from the temporary database"),
    ("put off", "cancelled and retried"),
    ("puts off", "cancels and retries"),
    ("putting off", "cancelling and retrying"),
];

#[test]
fn source_line_stays_within_100_columns() {
    fail_on_any(long_lines);
}

#[test]
fn source_line_has_no_replaced_word() {
    fail_on_any(replaced_words);
}

/// Fails with every fault in a file of this repository, as `FILE:LINE: what`.
fn fail_on_any(check: impl Fn(&str, &str) -> Vec<(usize, String)>) {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("Cargo names the package");
    let root = Path::new(&package).join("..");
    let files = files(&root);
    assert!(files.len() > 300, "only {} files were found", files.len());
    let mut faults = Vec::new();
    for (name, path) in files {
        let text = fs::read_to_string(&path).expect("a source is text");
        let found = check(&name, &text).into_iter();
        faults.extend(found.map(|(line, what)| format!("{name}:{line}: {what}")));
    }
    assert!(
        faults.is_empty(),
        "{}:\n{}",
        faults.len(),
        faults.join("\n")
    );
}

/// The repository's own files, each with its name from the root. This file is not among them,
/// because it has the replaced words.
fn files(root: &Path) -> Vec<(String, PathBuf)> {
    let (mut found, mut folders) = (Vec::new(), vec![root.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder is readable") {
            let path = entry.expect("an entry is readable").path();
            let name = path.strip_prefix(root).expect("it is below the root");
            let name = name.to_string_lossy().into_owned();
            let last = name.rsplit('/').next().unwrap_or_default();
            if FOREIGN.contains(&name.as_str()) || last == "node_modules" || last == "words.rs" {
                continue;
            }
            let kind = path.extension().and_then(|kind| kind.to_str());
            if path.is_dir() && !path.is_symlink() {
                if !last.starts_with('.') && last != "target" {
                    folders.push(path);
                }
            } else if matches!(kind, Some("rs" | "wit" | "sh" | "toml" | "md")) {
                found.push((name, path));
            }
        }
    }
    found.sort();
    found
}

/// Lines over the limit that could be broken.
fn long_lines(name: &str, text: &str) -> Vec<(usize, String)> {
    let is_document = has_extension(name, "md");
    let (mut is_code, mut faults) = (false, Vec::new());
    for (line, number) in text.lines().zip(1..) {
        is_code ^= is_document && line.trim_start().starts_with("```");
        let columns = line.chars().count();
        let is_table = is_document && line.trim_start().starts_with('|');
        if columns > MAX_COLUMNS && !is_code && !is_table && !is_unbreakable(name, line) {
            faults.push((number, format!("{columns} columns")));
        }
    }
    faults
}

fn has_extension(name: &str, kind: &str) -> bool {
    Path::new(name)
        .extension()
        .is_some_and(|found| found == kind)
}

/// Whether a URL, a raw string or an inline table of TOML crosses the limit.
fn is_unbreakable(name: &str, line: &str) -> bool {
    let over = line.char_indices().nth(MAX_COLUMNS).map_or(0, |(at, _)| at);
    let before = line[..over].rsplit(char::is_whitespace).next();
    let begin = over - before.unwrap_or_default().len();
    let word = line[begin..].split_whitespace().next().unwrap_or_default();
    let is_inline_table = has_extension(name, "toml") && line.contains("= {");
    let is_raw_string = line.contains("r#\"") || line.trim_start().starts_with("r\"");
    word.contains("://") || is_inline_table || is_raw_string
}

/// Replaced words, in text and in identifiers.
fn replaced_words(_: &str, text: &str) -> Vec<(usize, String)> {
    let mut faults = Vec::new();
    for (line, number) in text.lines().zip(1..) {
        let (identifiers, words) = (words(line, true), words(line, false));
        for (word, term) in REPLACED {
            let word = format!(" {word} ");
            if identifiers.contains(&word) || words.contains(&word) {
                faults.push((number, format!("`{}`: use {term}", word.trim())));
            }
        }
    }
    faults
}

/// The words of a line in lower case, each between spaces. Identifiers are words of their own, or
/// split at underscores and capital letters.
fn words(line: &str, keep_identifiers: bool) -> String {
    let (mut words, mut last) = (" ".to_owned(), ' ');
    for letter in line.chars() {
        let is_part = letter.is_alphanumeric() || keep_identifiers && letter == '_';
        let is_boundary = !keep_identifiers && last.is_lowercase() && letter.is_uppercase();
        if (!is_part || is_boundary) && !words.ends_with(' ') {
            words.push(' ');
        }
        if is_part {
            words.extend(letter.to_lowercase());
        }
        last = letter;
    }
    words + " "
}

#[test]
fn replaced_word_is_found_in_text_and_identifiers() {
    let found = |line| replaced_words("", line).len();
    for line in [
        "// A lane.",
        "LanePool",
        "free_lanes",
        "x.let_go()",
        "It puts  off",
        "MAX_LANE",
    ] {
        assert_eq!(found(line), 1, "{line}");
    }
    for line in [
        "let go = 1;",
        "planes",
        "explanes",
        "judgement",
        "put it off",
    ] {
        assert_eq!(found(line), 0, "{line}");
    }
}

#[test]
fn long_line_is_a_fault_unless_it_cannot_be_broken() {
    let words = "word ".repeat(21);
    let found = |name, text: &str| long_lines(name, text).len();
    assert_eq!(found("a.rs", &words), 1);
    assert_eq!(found("a.rs", &words[..100]), 0);
    assert_eq!(
        found(
            "a.md",
            &format!("{words}\n```\n{words}\n```\n| {words}\n{words}")
        ),
        2
    );
    let url = format!(
        "{}https://example.org/{}",
        "word ".repeat(10),
        "a".repeat(60)
    );
    assert_eq!(found("a.rs", &url), 0);
}
