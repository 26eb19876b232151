//! Writes the project of a new service.

use std::fs;
use std::path::{Path, PathBuf};

use super::print::quoted;

/// The files of a project, from `sdk/template/`.
const FILES: [(&str, &str); 9] = [
    (
        "Cargo.toml",
        include_str!("../../../sdk/template/Cargo.toml.template"),
    ),
    ("README.md", include_str!("../../../sdk/template/README.md")),
    (
        ".gitignore",
        include_str!("../../../sdk/template/gitignore"),
    ),
    ("build.rs", include_str!("../../../sdk/template/build.rs")),
    (
        "src/lib.rs",
        include_str!("../../../sdk/template/src/lib.rs"),
    ),
    (
        "tests/items.rs",
        include_str!("../../../sdk/template/tests/items.rs"),
    ),
    (
        "migrations/postgres/0001_items.sql",
        include_str!("../../../sdk/template/migrations/postgres/0001_items.sql"),
    ),
    (
        "migrations/sqlite/0001_items.sql",
        include_str!("../../../sdk/template/migrations/sqlite/0001_items.sql"),
    ),
    ("rustfmt.toml", include_str!("../../../rustfmt.toml")),
];

/// The checkout that this program was built from.
const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

/// Names that Cargo refuses for a package, or that are those of its dependencies.
const TAKEN: [&str; 11] = [
    "alloc",
    "core",
    "proc-macro",
    "serde",
    "serde-json",
    "std",
    "test",
    "tokio",
    "usher-build",
    "usher-sdk",
    "usher-testing",
];

/// Keywords of Rust, which no crate can be called.
const KEYWORDS: [&str; 52] = [
    "abstract", "as", "async", "await", "become", "box", "break", "const", "continue", "crate",
    "do", "dyn", "else", "enum", "extern", "false", "final", "fn", "for", "gen", "if", "impl",
    "in", "let", "loop", "macro", "match", "mod", "move", "mut", "override", "priv", "pub", "ref",
    "return", "self", "static", "struct", "super", "trait", "true", "try", "type", "typeof",
    "union", "unsafe", "unsized", "use", "virtual", "where", "while", "yield",
];

/// Writes the project `name` to a new directory of this name, and returns what to do next. `sdk` is
/// a checkout of Usher, by default the one that this program was built from.
pub(super) fn create(name: &str, sdk: Option<&Path>) -> Result<String, String> {
    check_name(name)?;
    let checkout = checkout(sdk)?;
    let folder = PathBuf::from(name);
    fs::create_dir(&folder).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            format!("{name} exists already: give another name, or move it away")
        }
        _ => format!("cannot create the directory {name}: {error}"),
    })?;
    for (file, template) in FILES {
        let file = folder.join(file);
        let written = file
            .parent()
            .map_or(Ok(()), fs::create_dir_all)
            .and_then(|()| fs::write(&file, render(template, name, &checkout)));
        written.map_err(|error| {
            format!(
                "cannot write {}: {error}; remove {name} before another attempt",
                file.display()
            )
        })?;
    }
    Ok(format!(
        "created {name}; what to do next:\n\
         \x20   cd {name}\n\
         \x20   cargo build\n\
         \x20   cargo test\n\
         \x20   usher serve --component target/{name}.wasm --watch\n"
    ))
}

/// Whether a package can have this name, and a directory and a file, too.
fn check_name(name: &str) -> Result<(), String> {
    let is_part = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let is_name = name.len() <= 64
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| is_part(byte) || byte == b'_');
    if !is_name {
        return Err(format!(
            "{name:?} is no name of a crate: give up to 64 lower-case letters, digits, - and _, a \
             letter first"
        ));
    }
    let plain = name.replace('_', "-");
    if TAKEN.contains(&plain.as_str()) || KEYWORDS.contains(&name) {
        return Err(format!(
            "{name} is a keyword or the name of another crate: give another one"
        ));
    }
    Ok(())
}

/// The checkout with the SDK, as an absolute path.
fn checkout(given: Option<&Path>) -> Result<String, String> {
    let folder = given.unwrap_or(Path::new(CHECKOUT));
    let what_to_do = "give the directory of a checkout of Usher with --sdk DIR";
    if !folder.join("sdk/Cargo.toml").is_file() {
        let folder = folder.display();
        return Err(format!(
            "there is no sdk/Cargo.toml in {folder}: {what_to_do}"
        ));
    }
    let path = folder
        .canonicalize()
        .map_err(|error| format!("{}: {error}: {what_to_do}", folder.display()))?;
    match path.into_os_string().into_string() {
        Ok(path) => Ok(path),
        Err(path) => Err(format!(
            "{} is not UTF-8, as a path in Cargo.toml has to be: {what_to_do}",
            path.display()
        )),
    }
}

fn render(template: &str, name: &str, checkout: &str) -> String {
    let path = |member: &str| quoted(&format!("{checkout}/{member}"));
    template
        .replace("{{title}}", name)
        .replace("{{name}}", &quoted(name))
        .replace("{{usher-sdk}}", &path("sdk"))
        .replace("{{usher-build}}", &path("sdk/build"))
        .replace("{{usher-testing}}", &path("testing"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn name_that_is_no_crate_name_is_refused() {
        for name in [
            "",
            "1a",
            "-a",
            "_a",
            "A",
            "a b",
            "a/b",
            "../a",
            "a.b",
            "é",
            "fn",
            "std",
            "serde_json",
        ] {
            assert!(check_name(name).is_err(), "{name}");
        }
        for name in ["a", "notes", "my-notes", "my_notes2"] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
    }

    #[test]
    fn rendered_template_has_no_placeholder_and_its_manifest_is_toml() {
        for (file, template) in FILES {
            let text = render(template, "my-notes", "/a \"b\"");
            assert!(!text.contains("{{"), "{file}");
            if file == "Cargo.toml" {
                let parsed = toml::de::DeTable::parse(&text).expect("it is TOML");
                assert!(parsed.get_ref().contains_key("lib"));
                assert!(text.contains(r#""/a \"b\"/sdk/build""#), "{text}");
            }
        }
    }
}
