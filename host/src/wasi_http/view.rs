//! The parts of an instance's state that `wasi:http` uses.

use std::fmt;

use wasmtime::component::ResourceTable;

use crate::memory::RequestMemory;

/// The parts of an instance's state that `wasi:http` uses.
pub struct View<'a> {
    /// The instance's resources.
    pub table: &'a mut ResourceTable,
    /// The memory that the host may hold for the request.
    pub(crate) memory: &'a RequestMemory,
}

impl fmt::Debug for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").finish_non_exhaustive()
    }
}
