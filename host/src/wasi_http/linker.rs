//! Adds the imports of `wasi:http` to a linker.

use wasmtime::component::{HasData, Linker, Resource};

use super::bindings::wasi::http::{outgoing_handler, types};
use super::view::View;

struct Http;

impl HasData for Http {
    type Data<'a> = View<'a>;
}

/// Adds `wasi:http/types` to a linker.
///
/// # Errors
/// If the linker already has it.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    types::add_to_linker::<T, Http>(linker, &types::LinkOptions::default(), view)
}

/// Adds `wasi:http/outgoing-handler` to a linker, which denies every request.
///
/// # Errors
/// If the linker already has it.
pub fn add_outgoing_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    outgoing_handler::add_to_linker::<T, Http>(linker, view)
}

impl types::Host for View<'_> {
    fn http_error_code(
        &mut self,
        error: Resource<types::IoError>,
    ) -> wasmtime::Result<Option<types::ErrorCode>> {
        Ok(self.table.get(&error)?.downcast_ref().cloned())
    }
}
