//! The names of what a component imports and exports, read from its binary.

use wasmparser::{Encoding, Parser, Payload};

/// An import of a component.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Import {
    /// Its name, which is that of an interface if it implements none.
    pub(super) name: String,
    /// The interface that it implements under a name of the component's choice.
    pub(super) implements: Option<String>,
}

/// What a component imports and exports, in the order of the names.
#[derive(Debug)]
pub(super) struct Names {
    pub(super) imports: Vec<Import>,
    pub(super) exports: Vec<String>,
}

/// The name and the interface of an import that implements an interface under a name of the
/// component's choice, if there is one.
pub(super) fn named_import(bytes: &[u8]) -> Option<(String, String)> {
    let imports = read(bytes).ok()?.imports.into_iter();
    let mut named = imports.filter_map(|import| Some((import.name, import.implements?)));
    named.next()
}

/// Reads the names. Nothing else of the component is checked.
///
/// # Errors
/// Why it is no component.
pub(super) fn read(bytes: &[u8]) -> Result<Names, String> {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0_u32;
    let mut is_component = false;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(|error| error.to_string())? {
            Payload::Version { encoding, .. } if depth == 0 => {
                is_component = encoding == Encoding::Component;
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    let import = import.map_err(|error| error.to_string())?;
                    imports.push(Import {
                        name: import.name.name.to_owned(),
                        implements: import.name.implements.map(str::to_owned),
                    });
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    let export = export.map_err(|error| error.to_string())?;
                    exports.push(export.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    imports.sort();
    exports.sort();
    is_component
        .then_some(Names { imports, exports })
        .ok_or_else(|| "it is a core module".into())
}
