//! The settings of the SQL parser's engine, shared by the build script, which compiles the parser,
//! and the host, which runs it.

use wasmtime::{Config, Engine, Result};

/// An engine for the SQL parser: each statement has an instance of its own, one at a time on a
/// thread.
#[allow(dead_code, reason = "the host's half: see build.rs")]
pub(crate) fn running() -> Result<Engine> {
    Engine::new(&settings())
}

/// An engine that only compiles the SQL parser, for every processor of this architecture.
#[allow(dead_code, reason = "the build script's half: see build.rs")]
pub(crate) fn compiler(target: Option<&str>) -> Result<Engine> {
    let mut config = settings();
    if let Some(target) = target {
        config.target(target)?;
    }
    Engine::new(&config)
}

fn settings() -> Config {
    let mut config = Config::new();
    config
        // A bound that does not depend on how busy the machine is.
        .consume_fuel(true)
        .concurrency_support(false)
        .gc_support(false)
        .generate_address_map(false);
    config
}
