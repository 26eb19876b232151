//! Imports between files form no cycle and never reach from a lower layer to a higher one.
//!
//! The sources are read as text. An import is a `use` or a path in code that names another file of
//! the crate; a name that `mod.rs` re-exports is an import of `mod.rs`. Tests are left out.

#[path = "architecture/imports.rs"]
mod imports;
#[path = "architecture/layers.rs"]
mod layers;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use imports::Import;
use layers::{CRATES, Layering};

const MAX_LINES: usize = 800;

#[test]
fn file_imports_form_no_cycle() {
    fail_on_any(Sources::cycles);
}

#[test]
fn file_imports_never_reach_a_higher_layer() {
    fail_on_any(Sources::upward);
}

#[test]
fn module_table_names_every_module_in_layer_order() {
    fail_on_any(Sources::table_faults);
}

#[test]
fn source_file_stays_within_800_lines() {
    fail_on_any(Sources::long);
}

fn fail_on_any(faults: impl Fn(&Sources) -> Vec<String>) {
    let workspace = std::env::var_os("CARGO_MANIFEST_DIR").expect("Cargo names the package");
    let workspace = Path::new(&workspace).join("..");
    let found: Vec<String> = CRATES
        .iter()
        .filter(|layering| workspace.join(layering.folder).exists())
        .flat_map(|layering| faults(&Sources::read(&workspace, layering)))
        .collect();
    assert!(found.is_empty(), "{}:\n{}", found.len(), found.join("\n"));
}

/// The files of a crate, by their paths without `.rs`.
struct Sources {
    layering: &'static Layering,
    files: BTreeMap<String, String>,
}

impl Sources {
    fn read(workspace: &Path, layering: &'static Layering) -> Self {
        let root = workspace.join(layering.folder);
        let (mut files, mut folders) = (BTreeMap::new(), vec![root.clone()]);
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).expect("a folder of sources is readable") {
                let path: PathBuf = entry.expect("an entry is readable").path();
                let is_test = path.file_stem().is_some_and(|stem| stem == "tests");
                if path.is_dir() && !is_test {
                    folders.push(path);
                } else if path.extension().is_some_and(|kind| kind == "rs") && !is_test {
                    let name = path.strip_prefix(&root).expect("it lies in there");
                    let name = name.with_extension("").to_string_lossy().into_owned();
                    files.insert(name, fs::read_to_string(&path).expect("a source is text"));
                }
            }
        }
        let mut sources = Self { layering, files };
        sources.leave_tests_out();
        sources
    }

    fn leave_tests_out(&mut self) {
        let mut of_tests = Vec::new();
        for (file, text) in &self.files {
            let folder = file.strip_suffix("/mod").unwrap_or(file);
            let names = imports::test_modules(text).into_iter();
            of_tests.extend(names.map(|name| match folder {
                "lib" => name,
                _ => format!("{folder}/{name}"),
            }));
        }
        self.files.retain(|file, _| {
            let is_in = |module: &String| {
                let rest = file.strip_prefix(module.as_str());
                rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            };
            !of_tests.iter().any(is_in)
        });
    }

    fn shown(&self, file: &str) -> String {
        format!("{}/{file}.rs", self.layering.folder)
    }

    /// The file of a module, if it has one of its own.
    fn file(&self, module: &[String]) -> Option<String> {
        let path = module.join("/");
        let root = if path.is_empty() {
            "lib".to_owned()
        } else {
            format!("{path}/mod")
        };
        let mut names = [path, root].into_iter();
        names.find(|name| self.files.contains_key(name))
    }

    fn imports_of(&self, file: &str) -> Vec<Import> {
        let find = |module: &[String]| self.file(module);
        imports::imports(&self.files[file], file, self.layering.name, &find)
    }

    /// Each file's imports, except those within the allowed cycle.
    fn graph(&self) -> BTreeMap<&str, Vec<Import>> {
        let in_cycle = |file: &str| self.layering.cycle.contains(&file);
        let found = |file: &str| {
            let mut found = self.imports_of(file);
            found.retain(|import| !(in_cycle(file) && in_cycle(&import.to)));
            found
        };
        self.files
            .keys()
            .map(|file| (file.as_str(), found(file)))
            .collect()
    }

    /// One shortest cycle of each group of files that import each other.
    fn cycles(&self) -> Vec<String> {
        let graph = self.graph();
        let searches: BTreeMap<&str, Tree<'_>> = graph
            .keys()
            .map(|&start| (start, search(&graph, start)))
            .collect();
        let mut cycles: Vec<_> = searches
            .iter()
            .filter_map(|(start, tree)| cycle_through(tree, start))
            .collect();
        cycles.sort_by_key(Vec::len);
        let (mut reported, mut shown) = (BTreeSet::new(), Vec::new());
        for cycle in cycles {
            let start = cycle[0].0;
            if reported.contains(start) {
                continue;
            }
            let group = searches[start]
                .keys()
                .filter(|file| searches[*file].contains_key(start));
            reported.extend(group.copied());
            let steps = cycle.iter().map(|(from, import)| self.step(from, import));
            shown.push(format!(
                "cycle:\n  {}",
                steps.collect::<Vec<_>>().join("\n  ")
            ));
        }
        shown
    }

    fn step(&self, from: &str, import: &Import) -> String {
        let (to, line) = (self.shown(&import.to), import.line);
        format!("{}:{line} imports {to} ({})", self.shown(from), import.text)
    }

    fn layer(&self, file: &str) -> Option<usize> {
        let holds = |layer: &str| {
            file.strip_prefix(layer)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let layers = self.layering.layers.iter().enumerate();
        layers
            .filter(|(_, layer)| holds(layer))
            .max_by_key(|(_, layer)| layer.len())
            .map(|(at, _)| at)
    }

    fn upward(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (from, found) in self.graph() {
            match self.layer(from) {
                Some(layer) => faults.extend(
                    found
                        .iter()
                        .filter(|import| self.layer(&import.to).is_some_and(|to| to < layer))
                        .map(|import| format!("upward: {}", self.step(from, import))),
                ),
                None if self.layering.layers.is_empty() => {}
                None => faults.push(format!("{} is on no layer", self.shown(from))),
            }
        }
        faults
    }

    /// The modules that the table of modules has to name: those that `lib.rs` declares, and if the
    /// table has two levels, the public ones of each of these.
    fn declared_modules(&self) -> Vec<String> {
        let declared = |file: &str, is_public: bool| -> Vec<String> {
            let code = imports::without_text(&self.files[file]);
            let tokens: Vec<&str> = imports::tokens(&code).iter().map(|token| token.1).collect();
            let names = tokens.windows(4).filter(|words| {
                words[1] == "mod" && words[3] == ";" && (!is_public || words[0] == "pub")
            });
            names.map(|words| words[2].to_owned()).collect()
        };
        let mut modules = declared("lib", false);
        if self.layering.table_levels == 2 {
            for module in modules.clone() {
                let file = format!("{module}/mod");
                if self.files.contains_key(&file) {
                    let below = declared(&file, true).into_iter();
                    modules.extend(below.map(|name| format!("{module}::{name}")));
                }
            }
        }
        modules
    }

    /// Differences between the table of modules in `lib.rs` and the modules.
    fn table_faults(&self) -> Vec<String> {
        let lib = &self.files["lib"];
        let rows = lib.lines().filter_map(|line| line.strip_prefix("//! |"));
        let cells = rows.filter_map(|row| row.split('|').next());
        let named: Vec<&str> = cells
            .flat_map(|cell| cell.split('`').skip(1).step_by(2))
            .collect();
        let top = |path: &str| vec![path.split("::").next().unwrap_or(path).to_owned()];
        let mut faults = Vec::new();
        for module in self.declared_modules() {
            if !named.contains(&module.as_str()) {
                faults.push(format!(
                    "{}: the table of modules does not name `{module}`",
                    self.shown("lib")
                ));
            }
        }
        for name in &named {
            let path: Vec<String> = name.split("::").map(str::to_owned).collect();
            if self.file(&path).is_none() {
                faults.push(format!(
                    "{}: the table of modules names `{name}`, which has no file",
                    self.shown("lib")
                ));
            }
        }
        let layers: Vec<_> = named
            .iter()
            .filter_map(|name| self.layer(&self.file(&top(name))?))
            .collect();
        // A table may list the highest layer first or the lowest.
        if !layers.is_sorted() && !layers.iter().rev().is_sorted() {
            faults.push(format!(
                "{}: the table of modules is not in the order of the layers",
                self.shown("lib")
            ));
        }
        faults
    }

    fn long(&self) -> Vec<String> {
        let lengths = self
            .files
            .iter()
            .map(|(file, text)| (file, text.lines().count()));
        let long = lengths.filter(|(_, lines)| *lines > MAX_LINES);
        long.map(|(file, lines)| format!("{} has {lines} lines", self.shown(file)))
            .collect()
    }
}

/// The search tree: the file that imports each file, and its import.
type Tree<'g> = BTreeMap<&'g str, (&'g str, &'g Import)>;

fn search<'g>(graph: &'g BTreeMap<&'g str, Vec<Import>>, start: &'g str) -> Tree<'g> {
    let (mut tree, mut queue) = (Tree::new(), VecDeque::from([start]));
    while let Some(file) = queue.pop_front() {
        for import in &graph[file] {
            tree.entry(&import.to).or_insert_with(|| {
                queue.push_back(&import.to);
                (file, import)
            });
        }
    }
    tree
}

/// The cycle through a file, if a search from that file found one.
fn cycle_through<'g>(tree: &Tree<'g>, start: &str) -> Option<Vec<(&'g str, &'g Import)>> {
    let mut path = vec![*tree.get(start)?];
    while path[path.len() - 1].0 != start {
        path.push(tree[path[path.len() - 1].0]);
    }
    path.reverse();
    Some(path)
}
