//! The WIT packages: each item says since when it is there, nothing that was released changes, and
//! `docs/wit/` is made from them.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

/// Set to 1, this writes the documents in place of comparing them.
const WRITE: &str = "USHER_WRITE_WIT_DOCS";

/// The packages, the name of each one's document, and its file.
const PACKAGES: [(&str, &str); 3] = [
    ("usher-database", "deps/usher-database.wit"),
    ("usher-service", "deps/usher-service.wit"),
    ("usher-users", "users.wit"),
];

/// The released packages that hosts and components may have been built against.
const RELEASED: &str = "released/0.2.0";

fn root() -> PathBuf {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").expect("Cargo names the package");
    Path::new(&package).join("..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn package(file: &str) -> Vec<Item> {
    items(&read(&root().join("wit").join(file)))
}

/// An item of WIT, or a field or case of one.
#[derive(Clone, Debug, Default)]
struct Item {
    /// The item without what is in its braces, such as `record user` or `get: func() -> u32`.
    text: String,
    docs: Vec<String>,
    since: Option<String>,
    items: Vec<Item>,
}

impl Item {
    /// The first word, such as `record`, or the name before a colon.
    fn kind(&self) -> &str {
        let end = self.text.find([' ', ':', '(']);
        &self.text[..end.unwrap_or(self.text.len())]
    }

    /// Whether it says `@since`: all but the package, fields and cases do.
    fn is_versioned(&self, parent: &str) -> bool {
        self.kind() != "package" && matches!(parent, "" | "interface" | "world" | "resource")
    }

    /// What it is to a host and a component: everything but its documentation.
    fn contract(&self) -> String {
        let inner: Vec<String> = self.items.iter().map(Self::contract).collect();
        format!("{} {{{}}}", self.text, inner.join("; "))
    }
}

/// Reads WIT as it is written here: an item begins on a line of its own and ends on the same line,
/// or with its closing brace.
fn items(wit: &str) -> Vec<Item> {
    // The last one is open; the first one stands for the file.
    let mut open = vec![Item::default()];
    let mut next = Item::default();
    for line in wit.lines() {
        let line = line.trim();
        if let Some(docs) = line.strip_prefix("///") {
            next.docs
                .push(docs.strip_prefix(' ').unwrap_or(docs).to_owned());
        } else if let Some(since) = line.strip_prefix("@since(version = ") {
            next.since = Some(since.trim_end_matches(')').to_owned());
        } else if line == "}" {
            let closed = open.pop().expect("an open item");
            let parent = open.last_mut().expect("the file");
            parent.items.push(closed);
        } else if !line.is_empty() {
            let mut item = std::mem::take(&mut next);
            if let Some((text, inside)) = line.split_once(" {") {
                text.clone_into(&mut item.text);
                match inside.strip_suffix(" }") {
                    None => {
                        assert!(inside.is_empty(), "{line}");
                        open.push(item);
                        continue;
                    }
                    // All on one line.
                    Some(inside) => {
                        let inner = inside.split(',').map(|case| Item {
                            text: case.trim().to_owned(),
                            ..Item::default()
                        });
                        item.items = inner.filter(|case| !case.text.is_empty()).collect();
                    }
                }
            } else {
                line.trim_end_matches([';', ',']).clone_into(&mut item.text);
            }
            open.last_mut().expect("the file").items.push(item);
        }
    }
    assert_eq!(open.len(), 1, "a brace is missing");
    open.remove(0).items
}

/// What a host or a component of the released package would miss in this one.
fn breaking_changes(released: &[Item], current: &[Item]) -> Vec<String> {
    let mut changes = Vec::new();
    for old in released.iter().filter(|item| item.kind() != "package") {
        let Some(new) = current.iter().find(|item| item.text == old.text) else {
            changes.push(format!("{} is gone", old.text));
            continue;
        };
        if old.kind() == "world" {
            // A host calls an export only if it is there, but has to have every import.
            let is_new = |item: &&Item| {
                !item.text.starts_with("export")
                    && !old.items.iter().any(|known| known.text == item.text)
            };
            let added = new.items.iter().filter(is_new);
            changes.extend(added.map(|item| format!("{} gained {}", old.text, item.text)));
            let is_gone = |item: &&Item| !new.items.iter().any(|known| known.text == item.text);
            let gone = old.items.iter().filter(is_gone);
            changes.extend(gone.map(|item| format!("{} lost {}", old.text, item.text)));
        } else if old.contract() != new.contract() {
            let (old_items, new_items) = (&old.items, &new.items);
            let differs = |item: &&Item| {
                let contract = item.contract();
                !old_items.iter().any(|known| known.contract() == contract)
            };
            let others: Vec<_> = new_items
                .iter()
                .filter(differs)
                .map(|it| &*it.text)
                .collect();
            changes.push(format!("{} differs: {}", old.text, others.join(", ")));
        }
    }
    changes
}

fn unversioned(items: &[Item], parent: &str) -> Vec<String> {
    let mut found = Vec::new();
    for item in items {
        if item.is_versioned(parent) && item.since.is_none() {
            found.push(item.text.clone());
        }
        found.extend(unversioned(&item.items, item.kind()));
    }
    found
}

#[test]
fn every_interface_type_and_function_says_since_when_it_is_there() {
    for (_, file) in PACKAGES {
        let items = package(file);
        assert!(items.len() > 1, "{file}");
        let found = unversioned(&items, "");
        assert!(found.is_empty(), "{file}: {found:?}");
    }
}

#[test]
fn released_package_is_still_served_and_provided() {
    for (_, file) in PACKAGES {
        let name = Path::new(file).file_name().expect("a file");
        let released = Path::new(RELEASED).join(name);
        let released = package(released.to_str().expect("text"));
        let changes = breaking_changes(&released, &package(file));
        assert!(
            changes.is_empty(),
            "{file}: {}; an addition is a new interface (CONTRIBUTING.md, Versions)",
            changes.join("; ")
        );
    }
}

#[test]
fn addition_to_a_released_interface_is_a_breaking_change() {
    let released = "\
        interface a {\n  f: func() -> u32;\n  enum e { x, y }\n}\n\
        world w {\n  import a;\n  export b;\n}\n";
    let changed = |from: &str, to: &str| {
        let changed = released.replace(from, to);
        assert_ne!(changed, released);
        breaking_changes(&items(released), &items(&changed)).len()
    };
    assert_eq!(changed("  f:", "  /// What it does.\n  f:"), 0);
    assert_eq!(changed("world w", "interface c {\n}\nworld w"), 0);
    assert_eq!(changed("export b;", "export b;\n  export c;"), 0);
    for (from, to) in [
        ("interface a", "interface b"),
        ("u32", "u64"),
        ("x, y", "x, y, z"),
        ("  f:", "  g: func();\n  f:"),
        ("import a;", "import a;\n  import c;"),
        ("  export b;\n", ""),
    ] {
        assert_eq!(changed(from, to), 1, "{from} {to}");
    }
}

/// The document of a package.
fn document(file: &str) -> String {
    let items = package(file);
    let of_package = items.iter().find(|item| item.kind() == "package");
    let of_package = of_package.expect("a package");
    let name = of_package.text.trim_start_matches("package ");
    let mut text = format!(
        "<!-- Made from wit/{file};\n     {WRITE}=1 cargo test wit:: makes it again. -->\n\
         # `{name}`\n\n"
    );
    write_docs(&mut text, of_package);
    for item in items.iter().filter(|item| item.kind() != "package") {
        let (kind, name) = item.text.split_once(' ').expect("a name");
        let _infallible = writeln!(text, "\n## `{name}` ({kind})\n");
        write_docs(&mut text, item);
        write_items(&mut text, item, "###");
    }
    text
}

fn write_docs(text: &mut String, item: &Item) {
    for line in &item.docs {
        let _infallible = writeln!(text, "{line}");
    }
}

/// Types and functions under headings, fields, cases and a world's imports and exports as a list.
fn write_items(text: &mut String, item: &Item, heading: &str) {
    let mut is_in_list = false;
    for inner in item.items.iter().filter(|inner| inner.kind() != "use") {
        if matches!(item.kind(), "interface" | "resource") {
            let _infallible = writeln!(text, "\n{heading} `{}`\n", inner.text);
            write_docs(text, inner);
            write_items(text, inner, "####");
            continue;
        }
        if !is_in_list {
            text.push('\n');
            is_in_list = true;
        }
        let _infallible = write!(text, "- `{}`", inner.text);
        text.push_str(if inner.docs.is_empty() { "\n" } else { ":\n" });
        for line in &inner.docs {
            let _infallible = writeln!(text, "  {line}");
        }
    }
}

#[test]
fn wit_documents_are_made_from_the_packages() {
    for (name, file) in PACKAGES {
        let path = root().join("docs/wit").join(name).with_extension("md");
        let made = document(file);
        if std::env::var_os(WRITE).is_some_and(|write| write == "1") {
            fs::write(&path, made).expect("it is writable");
        } else {
            assert!(
                read(&path) == made,
                "docs/wit/{name}.md is not up to date: {WRITE}=1"
            );
        }
    }
}
