//! The engine's settings, shared by the build script, which compiles the component, and the host, which runs it: compiled code
//! is only accepted by an engine with the same ones.

use wasmtime::{Config, Enabled, Engine, PoolingAllocationConfig, Result};

/// An engine that only compiles, for `target` or for this machine.
#[allow(dead_code, reason = "the build script's half: see build.rs")]
pub(crate) fn compiler(target: Option<&str>) -> Result<Engine> {
    let mut config = settings();
    if let Some(target) = target {
        config.target(target)?;
    }
    Engine::new(&config)
}

/// An engine that runs up to `instances` instances at once, each with up to `memory` bytes of linear memory.
///
/// The address space of every slot is reserved at start (4 GiB each, none of it resident), so that growing a memory moves
/// nothing and bounds checks cost nothing.
pub(crate) fn serving(instances: u32, memory: usize) -> Result<Engine> {
    // A component of the usual tool chains is three core modules: the program, and two small ones that tie imports together.
    const CORE_MODULES: u32 = 4;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_stacks(instances)
        .total_core_instances(instances.saturating_mul(CORE_MODULES))
        .total_memories(instances)
        .total_tables(instances.saturating_mul(CORE_MODULES))
        .max_memory_size(memory.next_multiple_of(64 << 10))
        // What an instance touched stays resident when its slot is handed on, so that the next one need not fault it in.
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(64 << 10)
        .async_stack_keep_resident(64 << 10)
        // Resets only pages that were written (Linux 6.7 and later): a fresh instance for a quarter of the price.
        .pagemap_scan(Enabled::Auto);
    let mut config = settings();
    config.allocation_strategy(pool);
    Engine::new(&config)
}

fn settings() -> Config {
    let mut config = Config::new();
    config
        // Endless loops are interrupted by a clock tick, which costs a load and a branch per loop, rather than by counting.
        .epoch_interruption(true)
        // The component is WASI 0.2: nothing in it runs concurrently.
        .concurrency_support(false)
        .gc_support(false)
        // Traps are logged by name; addresses that map back to source lines would triple the compiled size.
        .generate_address_map(false);
    config
}
