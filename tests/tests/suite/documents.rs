//! The documents point to files, folders and headings that exist.

use std::fs;
use std::path::{Path, PathBuf};

/// Folders with documents.
const FOLDERS: [&str; 8] = [
    ".",
    "docs",
    "docs/wit",
    "wit",
    "adapters",
    "examples/jco",
    "examples/js-service",
    "examples/python-service",
];

#[test]
fn document_links_and_paths_exist() {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("Cargo names the package");
    let root = Path::new(&package).join("..");
    let mut faults = Vec::new();
    let mut documents = 0;
    for folder in FOLDERS {
        for entry in fs::read_dir(root.join(folder)).expect("a folder is readable") {
            let path = entry.expect("an entry is readable").path();
            if path.extension().is_some_and(|kind| kind == "md") {
                documents += 1;
                check(&root, &path, &mut faults);
            }
        }
    }
    assert!(documents > 9, "only {documents} documents were found");
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

fn check(root: &Path, document: &Path, faults: &mut Vec<String>) {
    let text = fs::read_to_string(document).expect("a document is text");
    let mut is_code = false;
    for (number, line) in text.lines().enumerate() {
        is_code ^= line.trim_start().starts_with("```");
        if is_code {
            continue;
        }
        let links = line
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next());
        let paths = line.split('`').skip(1).step_by(2);
        let missing = links
            .filter(|link| !link.contains("://"))
            .filter(|link| !leads_somewhere(document, &text, link))
            .chain(missing_paths(root, paths));
        let shown = document.strip_prefix(root).unwrap_or(document).display();
        faults.extend(missing.map(|it| format!("{shown}:{}: there is no {it}", number + 1)));
    }
}

/// Whether a relative link names a file, and its fragment a heading of that file.
fn leads_somewhere(document: &Path, text: &str, link: &str) -> bool {
    let (file, fragment) = link.split_once('#').unwrap_or((link, ""));
    let target: PathBuf = document.with_file_name(file);
    if !file.is_empty() && fragment.is_empty() {
        return target.exists();
    }
    let other = fs::read_to_string(&target);
    let other = if file.is_empty() {
        Ok(text.to_owned())
    } else {
        other
    };
    other.is_ok_and(|text| headings(&text).any(|heading| heading == fragment))
}

/// The fragments of the headings.
fn headings(text: &str) -> impl Iterator<Item = String> {
    let titles = text.lines().filter(|line| line.starts_with('#'));
    titles.map(|line| {
        let title = line.trim_start_matches('#').trim().to_lowercase();
        let kept = title
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

/// The paths of one line that do not exist. A name without a folder is resolved in the last folder
/// that the line names. What lies in `target/` exists only after it was built.
fn missing_paths<'t>(root: &Path, paths: impl Iterator<Item = &'t str>) -> Vec<&'t str> {
    let mut folder = None;
    let mut missing = Vec::new();
    for path in paths.filter(|path| !path.contains([' ', '*', '{', '$', '<', ':', '@'])) {
        let top = path.split('/').next().unwrap_or_default();
        let is_source = Path::new(path)
            .extension()
            .is_some_and(|kind| kind == "rs" || kind == "txt");
        let exists = match (path.contains('/'), folder) {
            (true, _) if matches!(top, "" | "target") || !root.join(top).is_dir() => continue,
            (true, _) => root.join(path).exists(),
            (false, Some(folder)) if is_source => root.join::<&str>(folder).join(path).exists(),
            (false, _) => continue,
        };
        if path.ends_with('/') {
            folder = Some(path);
        }
        if !exists {
            missing.push(path);
        }
    }
    missing
}
