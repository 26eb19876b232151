//! The linear memory of one instance: its limit, and its size, which decides whether the instance
//! is reused.

use wasmtime::{ResourceLimiter, StoreLimits, StoreLimitsBuilder};

/// More bytes than these stay resident for nothing while an instance is idle, and take the system
/// milliseconds to unmap.
const LARGE: usize = 8 << 20;

/// Limits an instance's memory.
#[derive(Debug)]
pub(crate) struct LinearMemory {
    limits: StoreLimits,
    memory: usize,
    /// What it was once the instance was made.
    initial: usize,
}

impl LinearMemory {
    /// Limits the memory to `memory` bytes.
    pub(super) fn new(memory: usize) -> Self {
        Self {
            // Growing past the limit traps, rather than fail `memory.grow`, so that the log names
            // the cause.
            limits: StoreLimitsBuilder::new()
                .memory_size(memory)
                .trap_on_grow_failure(true)
                .build(),
            memory: 0,
            initial: 0,
        }
    }

    /// The instance has been made.
    pub(super) fn begin(&mut self) {
        self.initial = self.memory;
    }

    /// Whether the system may take milliseconds to unmap the memory.
    pub(super) fn is_slow_to_unmap(&self) -> bool {
        self.memory > LARGE
    }

    /// Whether the instance has grown too large to be reused. The pages that it began with are
    /// shared with the others until they are written to.
    pub(super) fn is_large(&self) -> bool {
        self.memory.saturating_sub(self.initial) > LARGE
    }
}

impl ResourceLimiter for LinearMemory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let may = self.limits.memory_growing(current, desired, maximum)?;
        if may {
            self.memory += desired.saturating_sub(current);
        }
        Ok(may)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.limits.memory_grow_failed(error)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        self.limits.table_growing(current, desired, maximum)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.limits.table_grow_failed(error)
    }

    fn instances(&self) -> usize {
        self.limits.instances()
    }

    fn tables(&self) -> usize {
        self.limits.tables()
    }

    fn memories(&self) -> usize {
        self.limits.memories()
    }
}
