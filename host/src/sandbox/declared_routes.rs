//! Reads the routes that a component declares from its binary.

use wasmparser::{Parser, Payload};

use crate::telemetry::Routes;
use crate::telemetry::routes::{RoutesError, SECTION};

/// The declared routes of a component in binary form.
///
/// # Errors
/// If a section does not parse.
pub(crate) fn read(component: &[u8]) -> Result<Routes, RoutesError> {
    let mut routes = Routes::default();
    for payload in Parser::new(0).parse_all(component) {
        // Loading the component reports a malformed one.
        let Ok(payload) = payload else { break };
        if let Payload::CustomSection(section) = payload
            && section.name() == SECTION
        {
            routes.add_section(section.data())?;
        }
    }
    Ok(routes)
}
