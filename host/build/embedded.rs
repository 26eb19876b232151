//! Builds the component, compiles it ahead of time, and leaves both where the host embeds them.

// The engine's settings decide what compiled code looks like, so the very same ones serve here and
// at run time.
#[path = "../src/sandbox/engine.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the build script compiles, it does not run"
)]
mod engine;
#[path = "../src/database/policy/postgres/engine.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the build script compiles, it does not run"
)]
mod parser_engine;

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

/// Set to 1 to build the component quickly, with little optimisation, while working on it. Its
/// bytes are then not those that are served elsewhere.
const QUICK: &str = "USHER_QUICK_COMPONENT";

/// Builds and compiles what is embedded.
///
/// # Errors
/// What failed, and what to do about it.
pub(super) fn build() -> Result<(), String> {
    let host = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = host.parent().ok_or("the host crate lies in no workspace")?;
    let out = PathBuf::from(variable("OUT_DIR")?);
    for input in [
        "guest/src",
        "guest/migrations",
        "guest/assets",
        "guest/Cargo.toml",
        "sdk/src",
        "sdk/Cargo.toml",
        "openapi.json",
        "wit",
        "Cargo.toml",
        "Cargo.lock",
    ] {
        let input = workspace.join(input);
        if input.exists() {
            println!("cargo::rerun-if-changed={}", input.display());
        }
    }
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=build/embedded.rs");
    println!("cargo::rerun-if-changed=src/sandbox/engine.rs");
    println!("cargo::rerun-if-changed=src/database/policy/postgres/engine.rs");

    println!("cargo::rerun-if-env-changed={QUICK}");
    let profile = match std::env::var_os(QUICK) {
        Some(quick) if quick == "1" => "component-quick",
        _ => "component",
    };
    println!("cargo::rerun-if-env-changed={}", usher_build::REVISION);
    let target_dir = usher_build::shared_target(&out, "component");
    let bytes = usher_build::users(workspace, profile, &target_dir)?;
    let component = out.join("users.wasm");
    std::fs::write(&component, &bytes)
        .map_err(|error| format!("{}: {error}", component.display()))?;

    // Naming the target makes code for every processor of the architecture, not for this one: the
    // program may run on another machine, and has no compiler in it.
    let target = variable("TARGET")?;
    let engine = engine::compiler(Some(&target)).map_err(|error| format!("{error:#}"))?;
    let compiled = engine
        .precompile_component(&bytes)
        .map_err(|error| format!("the component does not compile: {error:#}"))?;
    let path = out.join("users.cwasm");
    std::fs::write(&path, compiled).map_err(|error| format!("{}: {error}", path.display()))?;
    parser(&host, &out, &target)
}

/// Compiles PostgreSQL's parser, unless it is there already: it changes far less often than the
/// component.
fn parser(host: &Path, out: &Path, target: &str) -> Result<(), String> {
    let source = host.join("assets/libpg-query/libpg-query.wasm");
    println!("cargo::rerun-if-changed={}", source.display());
    let read =
        |path: &Path| std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()));
    let bytes = read(&source)?;
    let engine = parser_engine::compiler(Some(target)).map_err(|error| format!("{error:#}"))?;
    // Two engines that agree on this take each other's code.
    let mut hasher = DefaultHasher::new();
    (&bytes, target).hash(&mut hasher);
    engine.precompile_compatibility_hash().hash(&mut hasher);
    let key = format!("{:016x}", hasher.finish());
    let (compiled, stamp) = (out.join("libpg-query.cwasm"), out.join("libpg-query.key"));
    let known = std::fs::read_to_string(&stamp).is_ok_and(|known| known == key);
    if known && compiled.is_file() {
        return Ok(());
    }
    let code = engine
        .precompile_module(&bytes)
        .map_err(|error| format!("the SQL parser does not compile: {error:#}"))?;
    let write = |path: &Path, bytes: &[u8]| {
        std::fs::write(path, bytes).map_err(|error| format!("{}: {error}", path.display()))
    };
    write(&compiled, &code)?;
    write(&stamp, key.as_bytes())
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|error| format!("{name}: {error}"))
}
