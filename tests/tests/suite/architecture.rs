//! The sources import one way: no circle of files, no import from a lower floor up to a higher one.
//!
//! The sources are read as text. An arrow is a `use` or a path in code that names another file of
//! the crate; a name that `mod.rs` re-exports is an arrow to `mod.rs`. Tests are left out.

#[path = "architecture/buildings.rs"]
mod buildings;
#[path = "architecture/imports.rs"]
mod imports;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use buildings::{BUILDINGS, Building};
use imports::Arrow;

const MAX_LINES: usize = 800;

#[test]
fn file_imports_form_no_circle() {
    fail_on_any(Sources::circles);
}

#[test]
fn file_imports_never_reach_a_higher_floor() {
    fail_on_any(Sources::upward);
}

#[test]
fn reading_table_names_every_module_in_floor_order() {
    fail_on_any(Sources::unread);
}

#[test]
fn source_file_stays_within_800_lines() {
    fail_on_any(Sources::long);
}

fn fail_on_any(faults: impl Fn(&Sources) -> Vec<String>) {
    let workspace = std::env::var_os("CARGO_MANIFEST_DIR").expect("Cargo names the package");
    let workspace = Path::new(&workspace).join("..");
    let found: Vec<String> = BUILDINGS
        .iter()
        .filter(|building| workspace.join(building.folder).exists())
        .flat_map(|building| faults(&Sources::read(&workspace, building)))
        .collect();
    assert!(found.is_empty(), "{}:\n{}", found.len(), found.join("\n"));
}

/// The files of a crate, by their paths without `.rs`.
struct Sources {
    building: &'static Building,
    files: BTreeMap<String, String>,
}

impl Sources {
    fn read(workspace: &Path, building: &'static Building) -> Self {
        let root = workspace.join(building.folder);
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
        let mut sources = Self { building, files };
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
        format!("{}/{file}.rs", self.building.folder)
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

    fn arrows_of(&self, file: &str) -> Vec<Arrow> {
        let find = |module: &[String]| self.file(module);
        imports::arrows(&self.files[file], file, self.building.name, &find)
    }

    /// Each file's arrows, but for those of the circle that may be there.
    fn graph(&self) -> BTreeMap<&str, Vec<Arrow>> {
        let in_circle = |file: &str| self.building.circle.contains(&file);
        let arrows = |file: &str| {
            let mut arrows = self.arrows_of(file);
            arrows.retain(|arrow| !(in_circle(file) && in_circle(&arrow.to)));
            arrows
        };
        self.files
            .keys()
            .map(|file| (file.as_str(), arrows(file)))
            .collect()
    }

    /// One shortest circle of each group of files that import each other.
    fn circles(&self) -> Vec<String> {
        let graph = self.graph();
        let searches: BTreeMap<&str, Came<'_>> = graph
            .keys()
            .map(|&start| (start, search(&graph, start)))
            .collect();
        let mut circles: Vec<_> = searches
            .iter()
            .filter_map(|(start, came)| back(came, start))
            .collect();
        circles.sort_by_key(Vec::len);
        let (mut told, mut shown) = (BTreeSet::new(), Vec::new());
        for circle in circles {
            let start = circle[0].0;
            if told.contains(start) {
                continue;
            }
            let group = searches[start]
                .keys()
                .filter(|file| searches[*file].contains_key(start));
            told.extend(group.copied());
            let steps = circle.iter().map(|(from, arrow)| self.step(from, arrow));
            shown.push(format!(
                "circle:\n  {}",
                steps.collect::<Vec<_>>().join("\n  ")
            ));
        }
        shown
    }

    fn step(&self, from: &str, arrow: &Arrow) -> String {
        let (to, line) = (self.shown(&arrow.to), arrow.line);
        format!("{}:{line} imports {to} ({})", self.shown(from), arrow.text)
    }

    fn floor(&self, file: &str) -> Option<usize> {
        let holds = |floor: &str| {
            file.strip_prefix(floor)
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let floors = self.building.floors.iter().enumerate();
        floors
            .filter(|(_, floor)| holds(floor))
            .max_by_key(|(_, floor)| floor.len())
            .map(|(at, _)| at)
    }

    fn upward(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (from, arrows) in self.graph() {
            match self.floor(from) {
                Some(floor) => faults.extend(
                    arrows
                        .iter()
                        .filter(|arrow| self.floor(&arrow.to).is_some_and(|to| to < floor))
                        .map(|arrow| format!("upward: {}", self.step(from, arrow))),
                ),
                None if self.building.floors.is_empty() => {}
                None => faults.push(format!("{} is on no floor", self.shown(from))),
            }
        }
        faults
    }

    /// What the reading table of `lib.rs` and the modules that it declares do not have in common.
    fn unread(&self) -> Vec<String> {
        let lib = &self.files["lib"];
        let rows = lib.lines().filter_map(|line| line.strip_prefix("//! |"));
        let cells = rows.filter_map(|row| row.split('|').next());
        let named: Vec<&str> = cells
            .flat_map(|cell| cell.split('`').skip(1).step_by(2))
            .collect();
        let top = |path: &str| vec![path.split("::").next().unwrap_or(path).to_owned()];
        let mut faults = Vec::new();
        for pair in imports::tokens(&imports::without_text(lib)).windows(3) {
            if pair[0].1 == "mod" && pair[2].1 == ";" && !named.contains(&pair[1].1) {
                faults.push(format!(
                    "{}: the reading table lacks `{}`",
                    self.shown("lib"),
                    pair[1].1
                ));
            }
        }
        for name in &named {
            let path: Vec<String> = name.split("::").map(str::to_owned).collect();
            if self.file(&path).is_none() {
                faults.push(format!(
                    "{}: the reading table names `{name}`, which has no file",
                    self.shown("lib")
                ));
            }
        }
        let floors: Vec<_> = named
            .iter()
            .filter_map(|name| self.floor(&self.file(&top(name))?))
            .collect();
        // A crate may be read from its roof or from its ground.
        if !floors.is_sorted() && !floors.iter().rev().is_sorted() {
            faults.push(format!(
                "{}: the reading table is not in the order of the floors",
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

/// How a search came to each file: from which one, by which arrow.
type Came<'g> = BTreeMap<&'g str, (&'g str, &'g Arrow)>;

fn search<'g>(graph: &'g BTreeMap<&'g str, Vec<Arrow>>, start: &'g str) -> Came<'g> {
    let (mut came, mut queue) = (Came::new(), VecDeque::from([start]));
    while let Some(file) = queue.pop_front() {
        for arrow in &graph[file] {
            came.entry(&arrow.to).or_insert_with(|| {
                queue.push_back(&arrow.to);
                (file, arrow)
            });
        }
    }
    came
}

/// The way from a file back to itself, if a search from there found one.
fn back<'g>(came: &Came<'g>, start: &str) -> Option<Vec<(&'g str, &'g Arrow)>> {
    let mut way = vec![*came.get(start)?];
    while way[way.len() - 1].0 != start {
        way.push(came[way[way.len() - 1].0]);
    }
    way.reverse();
    Some(way)
}
