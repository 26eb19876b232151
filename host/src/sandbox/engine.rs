//! The engine's settings, shared by the build script and the host: an engine accepts only code that
//! was compiled with the same settings.

use wasmtime::{Config, Enabled, Engine, PoolingAllocationConfig, Result};

/// An engine that only compiles, for `target` or for the build machine.
#[allow(dead_code, reason = "used by build.rs")]
pub(crate) fn compiler(target: Option<&str>) -> Result<Engine> {
    let mut config = settings();
    if let Some(target) = target {
        config.target(target)?;
    }
    Engine::new(&config)
}

/// An engine for up to `instances` instances at once, each with up to `memory` bytes of linear
/// memory.
///
/// It reserves 4 GiB of address space for each instance at start, none of it resident. So a memory
/// never moves when it grows, and needs no explicit bounds checks.
pub(crate) fn serving(instances: u32, memory: usize) -> Result<Engine> {
    // Those of Rust make three, the program and two small ones that link the imports; that of
    // Python makes fourteen, its libraries among them.
    const CORE_MODULES: u32 = 24;
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(instances)
        .total_stacks(instances)
        .total_core_instances(instances.saturating_mul(CORE_MODULES))
        .total_memories(instances)
        .total_tables(instances.saturating_mul(CORE_MODULES))
        .max_memory_size(memory.next_multiple_of(64 << 10))
        // Pages of a reused slot stay resident, so the next instance does not fault them in.
        .linear_memory_keep_resident(1 << 20)
        .table_keep_resident(64 << 10)
        .async_stack_keep_resident(64 << 10)
        // Resets only written pages (Linux 6.7 and later), for a quarter of the cost.
        .pagemap_scan(Enabled::Auto);
    let mut config = settings();
    config.allocation_strategy(pool);
    Engine::new(&config)
}

fn settings() -> Config {
    let mut config = Config::new();
    config
        // Interrupts endless loops by clock ticks, at the cost of a load and a branch per
        // iteration.
        .epoch_interruption(true)
        // A component for WASI 0.2 runs nothing concurrently.
        .concurrency_support(false)
        .gc_support(false)
        // Traps are logged by function name; a map to source lines would triple the compiled size.
        .generate_address_map(false);
    config
}
