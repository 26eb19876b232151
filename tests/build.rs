//! Builds the components that tests use, as the host's build script builds the service.

#[path = "../host/build/nested.rs"]
mod nested;

use std::path::PathBuf;

fn main() {
    if let Err(error) = build() {
        println!("cargo::error={error}");
        std::process::exit(1);
    }
}

fn build() -> Result<(), String> {
    let variable = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    let tests = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(variable("OUT_DIR")?);
    let guests = tests.join("guests");
    println!("cargo::rerun-if-changed={}", guests.display());
    // The guest `migrating` uses the service's own code for migrations.
    for source in [
        "../wit",
        "../host/build/nested.rs",
        "../guest/src",
        "../guest/migrations",
    ] {
        println!("cargo::rerun-if-changed={}", tests.join(source).display());
    }
    let target = nested::shared_target(&out, "test-components");
    for guest in [
        "conformance",
        "greedy",
        "hostile",
        "ledger",
        "migrating",
        "sql",
    ] {
        let built = nested::component(&guests, guest, "component", &target)?;
        let place = out.join(format!("{guest}.wasm"));
        std::fs::copy(&built, &place)
            .map_err(|error| format!("copying {}: {error}", built.display()))?;
    }
    let adapters = tests.join("../adapters");
    println!("cargo::rerun-if-changed={}", adapters.display());
    let built = nested::component(&adapters, "migrate-first", "component", &target)?;
    std::fs::copy(&built, out.join("migrate-first.wasm"))
        .map(drop)
        .map_err(|error| format!("copying {}: {error}", built.display()))
}
