//! Builds the component, compiles it ahead of time, and leaves both where the host embeds them.

#[path = "build/nested.rs"]
mod nested;
// The engine's settings decide what compiled code looks like, so the very same ones serve here and at run time.
#[path = "src/engine.rs"]
#[allow(
    dead_code,
    unreachable_pub,
    reason = "the build script compiles, it does not run"
)]
mod engine;

use std::path::{Path, PathBuf};

fn main() {
    if let Err(error) = build() {
        println!("cargo::error={error}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), String> {
    let host = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = host.parent().ok_or("the host crate lies in no workspace")?;
    let out = PathBuf::from(variable("OUT_DIR")?);
    for input in [
        "guest/src",
        "guest/migrations",
        "guest/assets",
        "guest/Cargo.toml",
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
    println!("cargo::rerun-if-changed=build/nested.rs");
    println!("cargo::rerun-if-changed=src/engine.rs");

    let wasm = nested::component(workspace, "usher-guest", &out.join("guest"))?;
    let component = out.join("users.wasm");
    copy(&wasm, &component)?;

    let target = variable("TARGET")?;
    let cross = (target != variable("HOST")?).then_some(target);
    let engine = engine::compiler(cross.as_deref()).map_err(|error| format!("{error:#}"))?;
    let bytes =
        std::fs::read(&component).map_err(|error| format!("{}: {error}", component.display()))?;
    let compiled = engine
        .precompile_component(&bytes)
        .map_err(|error| format!("the component does not compile: {error:#}"))?;
    let path = out.join("users.cwasm");
    std::fs::write(&path, compiled).map_err(|error| format!("{}: {error}", path.display()))
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    std::fs::copy(from, to)
        .map(drop)
        .map_err(|error| format!("copying {} to {}: {error}", from.display(), to.display()))
}

fn variable(name: &str) -> Result<String, String> {
    std::env::var(name).map_err(|error| format!("{name}: {error}"))
}
