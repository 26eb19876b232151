//! Composes a component with another one that supplies what it imports, or that stands before it.
//!
//! The result exports what the outer one exports, and imports whatever no component in it exports.
//! The same files give the same bytes.

use std::path::Path;

use wac_graph::types::Package;
use wac_graph::{CompositionGraph, EncodeOptions, PlugError};

use super::{bounds, source};

/// Composes `base` with the component of a file. If the file's component exports an interface that
/// `base` imports, it is put behind `base`, and otherwise before it.
///
/// # Errors
/// With the file's name, if it cannot be read, is no component, or has no interface in common.
pub(crate) fn compose(base: &[u8], file: &Path) -> Result<Vec<u8>, String> {
    let failed = |why: String| format!("cannot compose with {}: {why}", file.display());
    let added = source::read(file).map_err(|error| failed(error.to_string()))?;
    bounds::check(&added).map_err(|beyond| failed(beyond.to_string()))?;
    let composed = match plug(&added, base) {
        Ok(None) => plug(base, &added),
        done => done,
    };
    composed.map_err(failed)?.ok_or_else(|| {
        failed(
            "neither of the two components exports an interface that the other one imports, with \
             the same version and types; `usher component --info FILE` lists them"
                .to_owned(),
        )
    })
}

/// Supplies imports of `outer` by exports of `inner`. Returns `None` if they have none in common.
fn plug(inner: &[u8], outer: &[u8]) -> Result<Option<Vec<u8>>, String> {
    let mut graph = CompositionGraph::new();
    let mut register = |name, bytes: &[u8]| {
        let package = Package::from_bytes(name, None, bytes, graph.types_mut());
        let package = package.map_err(|error| format!("{error:#}"))?;
        graph
            .register_package(package)
            .map_err(|error| error.to_string())
    };
    let (inner, outer) = (
        register("usher:inner", inner)?,
        register("usher:outer", outer)?,
    );
    match wac_graph::plug(&mut graph, vec![inner], outer) {
        Ok(()) => {}
        Err(PlugError::NoPlugHappened) => return Ok(None),
        Err(PlugError::GraphError { source }) => return Err(format!("{source:#}")),
    }
    let composed = graph.encode(EncodeOptions::default());
    composed.map(Some).map_err(|error| error.to_string())
}
