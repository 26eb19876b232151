//! `wasi:http/types` for a server: one HTTP exchange as the guest sees it.
//!
//! A request costs a guest some fifteen calls of this interface, so each is made to do little: nothing of a request is copied
//! before it is asked for, and a response goes to the connection as the guest wrote it. Read [`request`], then [`response`] and
//! [`body`]; [`fields`] serves both, `head` looks over what a response says, and [`outgoing`] is what components compiled against the whole of `wasi:http` refer to
//! without any way to send it. Components that offer HTTP in one call are spared all this: see `whole`.

pub mod body;
pub mod fields;
pub(crate) mod head;
pub mod outgoing;
pub mod request;
pub mod response;
pub(crate) mod whole;

use std::fmt;

use wasmtime::component::{HasData, Linker, Resource, ResourceTable};

use crate::bindings::http::wasi::http::types;
use crate::memory::RequestMemory;

/// The part of an instance's state that exchanges are kept in.
pub struct View<'a> {
    /// The instance's resources.
    pub table: &'a mut ResourceTable,
    /// What the host may hold for the request.
    pub(crate) memory: &'a RequestMemory,
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}

/// Gives components the import `wasi:http/types`.
///
/// # Errors
/// Where the linker has it already.
pub fn add_to_linker<T: Send + 'static>(
    linker: &mut Linker<T>,
    view: fn(&mut T) -> View<'_>,
) -> wasmtime::Result<()> {
    struct Http;

    impl HasData for Http {
        type Data<'a> = View<'a>;
    }

    types::add_to_linker::<T, Http>(linker, &types::LinkOptions::default(), view)
}

impl types::Host for View<'_> {
    fn http_error_code(
        &mut self,
        error: Resource<types::IoError>,
    ) -> wasmtime::Result<Option<types::ErrorCode>> {
        Ok(self.table.get(&error)?.downcast_ref().cloned())
    }
}
