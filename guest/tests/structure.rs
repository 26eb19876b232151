//! The structure that `lib.rs` promises: its table names every public module, and imports run one
//! way, without circles of files.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The top-level modules, from the bottom up. Each imports only itself and those before it.
const ORDER: [&str; 5] = ["database", "compat", "users", "api", "component"];

/// Module paths such as `users::sql`, with the file's text up to its tests, without comments.
fn modules() -> BTreeMap<String, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut modules = BTreeMap::new();
    let mut left = vec![root.clone()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            let entries = std::fs::read_dir(&path).expect("a directory");
            left.extend(entries.map(|entry| entry.expect("an entry").path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("a source");
            let code = text.split("#[cfg(test)]\nmod tests").next();
            let code = code.unwrap_or_default().lines();
            let code: Vec<&str> = code
                .filter(|line| !line.trim_start().starts_with("//"))
                .collect();
            modules.insert(module_of(&root, &path), code.join("\n"));
        }
    }
    modules
}

fn module_of(root: &Path, file: &Path) -> String {
    let relative: PathBuf = file
        .strip_prefix(root)
        .expect("in the crate")
        .with_extension("");
    let mut parts: Vec<&str> = relative.iter().filter_map(|part| part.to_str()).collect();
    parts.pop_if(|last| matches!(*last, "mod" | "lib"));
    parts.join("::")
}

/// The modules that a module's code names, by `crate::` or `super::`, groups in braces included.
fn imports(module: &str, code: &str, modules: &BTreeMap<String, String>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (start, prefix) in ["crate::", "super::"]
        .iter()
        .flat_map(|prefix| code.match_indices(prefix))
    {
        let before = code.get(..start).unwrap_or_default();
        if before.ends_with("::") || before.ends_with(|c: char| c.is_alphanumeric() || c == '_') {
            continue;
        }
        let mut base: Vec<&str> = match prefix {
            "crate::" => Vec::new(),
            _ => module.split("::").filter(|part| !part.is_empty()).collect(),
        };
        let mut rest = code.get(start..).unwrap_or_default();
        rest = rest.strip_prefix("crate::").unwrap_or(rest);
        while let Some(after) = rest.strip_prefix("super::") {
            base.pop();
            rest = after;
        }
        expand(&base.join("::"), rest, modules, &mut found);
    }
    found.remove(module);
    found
}

/// Follows a path, and each path of a group, to the deepest module that it names.
fn expand(
    base: &str,
    path: &str,
    modules: &BTreeMap<String, String>,
    found: &mut BTreeSet<String>,
) {
    if let Some(group) = path.strip_prefix('{') {
        let (mut depth, mut start) = (0, 0);
        for (at, c) in group.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    let item = group.get(start..at).unwrap_or_default().trim();
                    if !item.is_empty() {
                        expand(base, item, modules, found);
                    }
                    start = at + 1;
                    if c == '}' {
                        return;
                    }
                }
                _ => {}
            }
        }
        return;
    }
    let end = path.find(|c: char| !c.is_alphanumeric() && c != '_');
    let (name, rest) = path.split_at(end.unwrap_or(path.len()));
    let deeper = [base, name].join(if base.is_empty() { "" } else { "::" });
    if !modules.contains_key(&deeper) {
        found.insert(base.to_owned());
    } else if let Some(rest) = rest.strip_prefix("::") {
        expand(&deeper, rest, modules, found);
    } else {
        found.insert(deeper);
    }
}

fn graph() -> BTreeMap<String, BTreeSet<String>> {
    let modules = modules();
    let edges = |(name, code): (&String, &String)| (name.clone(), imports(name, code, &modules));
    modules.iter().map(edges).collect()
}

fn rank(module: &str) -> Option<usize> {
    let top = module.split("::").next();
    ORDER.iter().position(|name| Some(*name) == top)
}

#[test]
fn imports_run_from_top_to_bottom() {
    let graph = graph();
    let mut arrows = 0;
    for (module, imported) in &graph {
        for other in imported {
            assert!(rank(other) <= rank(module), "{module} imports {other}");
            arrows += 1;
        }
    }
    // Fewer would mean that imports are not found.
    assert!(arrows > 100, "{arrows} imports found");
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut graph = graph();
    // Repeatedly removes the files whose imports are all removed.
    while let Some(free) = graph
        .iter()
        .find(|(_, imported)| imported.iter().all(|other| !graph.contains_key(other)))
        .map(|(module, _)| module.clone())
    {
        graph.remove(&free);
    }
    assert!(graph.is_empty(), "circles among {graph:#?}");
}

#[test]
fn table_of_lib_names_every_public_module() {
    let modules = modules();
    let lib = include_str!("../src/lib.rs");
    for (module, code) in &modules {
        for line in code.lines() {
            let Some(name) = line
                .strip_prefix("pub mod ")
                .and_then(|rest| rest.strip_suffix(';'))
            else {
                continue;
            };
            let path = [module.as_str(), name].join(if module.is_empty() { "" } else { "::" });
            // Modules below the second level are described by their parents.
            if path.matches("::").count() < 2 {
                assert!(
                    lib.contains(&format!("[`{path}`]")),
                    "{path} is not in the table"
                );
            }
        }
    }
}
