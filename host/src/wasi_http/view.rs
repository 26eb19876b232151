//! Where an instance keeps its exchanges.

use std::fmt;

use wasmtime::component::ResourceTable;

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
