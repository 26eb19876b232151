//! The table in `lib.rs` names every public module down to the second level.

use std::path::{Path, PathBuf};

/// The public modules that a file declares, as paths below `module`.
fn declared(file: &Path, module: &str) -> Vec<String> {
    let code = std::fs::read_to_string(file).expect("a source");
    let separator = if module.is_empty() { "" } else { "::" };
    code.lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .map(|name| format!("{module}{separator}{name}"))
        .collect()
}

#[test]
fn table_of_lib_names_every_public_module() {
    let sources: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut modules = declared(&sources.join("lib.rs"), "");
    for folder in modules.clone() {
        let file = sources.join(&folder).join("mod.rs");
        if file.exists() {
            modules.extend(declared(&file, &folder));
        }
    }
    assert!(modules.len() > 20, "{modules:?}");
    let table = include_str!("../src/lib.rs");
    modules.retain(|module| !table.contains(&format!("[`{module}`]")));
    assert!(modules.is_empty(), "not in the table: {modules:?}");
}
