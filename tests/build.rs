//! Builds the components that tests use, as the host's build script builds the service.

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
    // The guest `migrating` has the service's migrations, and is built with the SDK.
    for source in [
        "../wit",
        "../sdk/src",
        "../sdk/Cargo.toml",
        "../guest/src",
        "../guest/migrations",
    ] {
        println!("cargo::rerun-if-changed={}", tests.join(source).display());
    }
    let target = usher_build::shared_target(&out, "test-components");
    for guest in [
        "conformance",
        "drafts",
        "greedy",
        "hostile",
        "ledger",
        "migrating",
        "sql",
    ] {
        let built = usher_build::component(&guests, guest, "component", &target)?;
        let place = out.join(format!("{guest}.wasm"));
        std::fs::copy(&built, &place)
            .map_err(|error| format!("copying {}: {error}", built.display()))?;
    }
    let built = usher_build::component_for(
        usher_build::WASIP2,
        &guests,
        "standard",
        "component",
        &target,
    )?;
    std::fs::copy(&built, out.join("standard.wasm"))
        .map_err(|error| format!("copying {}: {error}", built.display()))?;
    // The example's own tests run in the suite, too, which is built with the host anyway.
    let notes = tests.join("../examples/notes");
    for source in ["src", "migrations", "Cargo.toml", "Cargo.lock"] {
        println!("cargo::rerun-if-changed={}", notes.join(source).display());
    }
    let built = usher_build::component(&notes, "notes", "component", &target)?;
    let place = out.join("notes.wasm");
    std::fs::copy(&built, &place)
        .map_err(|error| format!("copying {}: {error}", built.display()))?;
    println!("cargo::rustc-env=COMPONENT={}", place.display());
    let adapters = tests.join("../adapters");
    println!("cargo::rerun-if-changed={}", adapters.display());
    let built = usher_build::component(&adapters, "migrate-first", "component", &target)?;
    std::fs::copy(&built, out.join("migrate-first.wasm"))
        .map(drop)
        .map_err(|error| format!("copying {}: {error}", built.display()))
}
