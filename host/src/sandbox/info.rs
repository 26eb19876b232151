//! What a component asks for and offers, for its operator to read before serving it: what it says
//! of itself, imports, exports, routes, statements, crates.

use std::fmt::Write as _;

use wasm_metadata::Metadata;

use super::error::LoadError;
use super::names::{self, Import, Names};
use super::source::Source;
use super::{bounds, declared_routes, grants};
use crate::database::manifest::{Manifest, Purpose, SECTION};
use crate::telemetry::routes;

/// Describes a component. Nothing of it is compiled or run.
///
/// # Errors
/// Where it cannot be read, or is no component.
pub(crate) fn describe(source: &Source) -> Result<String, LoadError> {
    let bytes = source.bytes();
    let bytes = &*bytes.map_err(|error| LoadError::Read(source.clone(), error))?;
    bounds::check(bytes)
        .map_err(|beyond| LoadError::NotAComponent(source.clone(), beyond.to_string()))?;
    let Names { imports, exports } =
        names::read(bytes).map_err(|error| LoadError::NotAComponent(source.clone(), error))?;
    let manifest =
        Manifest::read(bytes).map_err(|error| LoadError::Manifest(source.clone(), error))?;

    let declared_routes =
        declared_routes::read(bytes).map_err(|error| LoadError::Routes(source.clone(), error))?;

    let mut text = format!("{source}: {} bytes\n", bytes.len());
    let metadata = wasm_metadata::Payload::from_binary(bytes);
    match &metadata {
        Ok(payload) => describe_itself(payload.metadata(), &mut text),
        Err(error) => {
            let error = printable(&error.to_string());
            text.push_str(&format!(
                "  what it says of itself cannot be read: {error}\n"
            ));
        }
    }
    text.push_str("\nimports\n");
    for Import { name, implements } in imports {
        let what = match &implements {
            None => grants::what(&name).unwrap_or("NOT SERVED: this host does not have it"),
            Some(_) => "NOT SERVED: this host has each interface by its own name alone",
        };
        let interface = implements.map(|interface| format!(" ({})", printable(&interface)));
        let interface = interface.unwrap_or_default();
        text.push_str(&format!("  {}{interface}: {what}\n", printable(&name)));
    }
    text.push_str("\nexports\n");
    for name in exports {
        text.push_str(&format!("  {}\n", printable(&name)));
    }
    match declared_routes.declared() {
        Some(declared) => {
            text.push_str(&format!("\nroutes: {}\n", declared.len()));
            for (method, template) in declared {
                text.push_str(&format!("  {method} {template}\n"));
            }
        }
        None => text.push_str(&format!(
            "\nroutes: not declared (there is no section {SECTION}); log lines and metrics name \
             none\n",
            SECTION = routes::SECTION
        )),
    }
    describe_statements(manifest.as_ref(), &mut text);
    if let Ok(payload) = &metadata {
        describe_crates(payload.metadata(), &mut text);
    }
    Ok(text)
}

/// What a component says of itself, which nobody has checked.
fn describe_itself(metadata: &Metadata, text: &mut String) {
    for (title, value) in [
        ("name", metadata.name.clone()),
        (
            "version",
            metadata.version.as_ref().map(ToString::to_string),
        ),
        (
            "description",
            metadata.description.as_ref().map(ToString::to_string),
        ),
        (
            "licence",
            metadata.licenses.as_ref().map(ToString::to_string),
        ),
        (
            "authors",
            metadata.authors.as_ref().map(ToString::to_string),
        ),
        ("source", metadata.source.as_ref().map(ToString::to_string)),
        (
            "homepage",
            metadata.homepage.as_ref().map(ToString::to_string),
        ),
        (
            "revision",
            metadata.revision.as_ref().map(ToString::to_string),
        ),
    ] {
        if let Some(value) = value {
            text.push_str(&format!("  {title}: {}\n", printable(&value)));
        }
    }
}

/// The crates in a component, if it has the list of `cargo auditable`.
fn describe_crates(metadata: &Metadata, text: &mut String) {
    let Some(dependencies) = &metadata.dependencies else {
        text.push_str("\ncrates: not declared (there is no section .dep-v0)\n");
        return;
    };
    let crates = &dependencies.version_info().packages;
    text.push_str(&format!("\ncrates: {}\n", crates.len()));
    for one in crates {
        let (name, version) = (printable(&one.name), printable(&one.version.to_string()));
        text.push_str(&format!("  {name} {version}\n"));
    }
}

fn describe_statements(manifest: Option<&Manifest>, text: &mut String) {
    let Some(manifest) = manifest else {
        text.push_str(&format!(
            "\nstatements: not declared (there is no section {SECTION}); served only with \
             --database-statements any\n"
        ));
        return;
    };
    for (title, purpose) in [
        ("statements that answer requests", Purpose::Service),
        ("statements of migrations", Purpose::Migrations),
    ] {
        let declared = manifest.statements.iter();
        let mut declared: Vec<_> = declared.filter(|one| one.purpose == purpose).collect();
        text.push_str(&format!("\n{title}: {}\n", declared.len()));
        // By database, and otherwise as the component lists them.
        declared.sort_by_key(|one| one.dialect());
        for one in declared {
            let dialect = match one.dialect() {
                "any" => String::new(),
                dialect => format!(" ({dialect})"),
            };
            text.push_str(&format!("  {}{dialect}\n", printable(&one.name)));
            for line in one.text.trim().lines() {
                text.push_str(&format!("    {}\n", printable(line)));
            }
        }
    }
}

/// A text whose control characters cannot act on a terminal: what an operator reads is what is
/// there.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        let directs = matches!(
            c,
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200e}' | '\u{200f}'
        );
        if c.is_control() && c != '\t' || directs {
            // Writing to a string cannot fail.
            write!(shown, "{}", c.escape_unicode()).ok();
        } else {
            shown.push(c);
        }
    }
    shown
}
