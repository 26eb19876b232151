//! Builds a package as a WebAssembly component, from within a build script.
//!
//! The target is `wasm32-unknown-unknown`, linked by the toolchain's own `wasm-component-ld`:
//! unlike `wasm32-wasip2` it drags in no `wasi:cli`, so that the component imports what its world
//! names and nothing else.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const TARGET: &str = "wasm32-unknown-unknown";

/// The checkout of the SDK.
const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Where components are built, which all profiles of the outer cargo share: a component is the same
/// in each. `out` is a build script's `OUT_DIR`.
#[must_use]
pub fn shared_target(out: &Path, name: &str) -> PathBuf {
    // TARGET/PROFILE/build/PACKAGE/out
    out.ancestors().nth(4).unwrap_or(out).join(name)
}

/// The whole build script of a service: builds its package as a component, with the profile
/// `component`, and leaves it at `NAME.wasm` in the target directory. The environment variable
/// `COMPONENT`, for `env!`, has that path.
///
/// In the build of the component itself it does nothing.
#[expect(clippy::print_stdout, reason = "how a build script speaks to Cargo")]
#[must_use]
pub fn service() -> ExitCode {
    if std::env::var("TARGET").is_ok_and(|target| target == TARGET) {
        return ExitCode::SUCCESS;
    }
    match build_service() {
        Ok((built, inputs)) => {
            for input in inputs {
                println!("cargo::rerun-if-changed={}", input.display());
            }
            println!("cargo::rustc-env=COMPONENT={}", built.display());
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}

/// Builds the package of this build script. Returns the component, and what it is made of.
fn build_service() -> Result<(PathBuf, Vec<PathBuf>), String> {
    let variable = |name: &str| std::env::var(name).map_err(|error| format!("{name}: {error}"));
    let package = variable("CARGO_PKG_NAME")?;
    let folder = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let target = shared_target(Path::new(&variable("OUT_DIR")?), "");
    let built = component(&folder, &package, "component", &target.join("component"))?;
    let place = target.join(&package).with_extension("wasm");
    std::fs::copy(&built, &place).map_err(|error| {
        let (from, to) = (built.display(), place.display());
        format!("copying {from} to {to}: {error}")
    })?;
    let own = ["src", "migrations", "build.rs", "Cargo.toml", "Cargo.lock"];
    let mut inputs: Vec<PathBuf> = own.iter().map(|input| folder.join(input)).collect();
    inputs.extend(["sdk", "wit"].map(|input| Path::new(CHECKOUT).join(input)));
    inputs.retain(|input| input.exists());
    Ok((place, inputs))
}

/// Builds `package` of the workspace at `workspace` in `target_dir` and gives the component's path.
///
/// The result depends on the sources, `Cargo.lock` and the toolchain alone: the nested cargo sees
/// none of the outer one's flags or wrappers, and the paths of this machine are mapped away.
///
/// # Errors
/// What failed, and what to do about it.
pub fn component(
    workspace: &Path,
    package: &str,
    profile: &str,
    target_dir: &Path,
) -> Result<PathBuf, String> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let sysroot = PathBuf::from(output(Command::new(&rustc).args(["--print", "sysroot"]))?.trim());
    let host = output(Command::new(&rustc).arg("-vV"))?
        .lines()
        .find_map(|line| line.strip_prefix("host: ").map(str::to_owned))
        .ok_or("`rustc -vV` names no host")?;
    let rustlib = sysroot.join("lib/rustlib");
    if !rustlib.join(TARGET).is_dir() {
        add_target()?;
    }
    let linker = rustlib.join(&host).join("bin/wasm-component-ld");

    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    clean_environment(&mut command);
    let status = command
        .arg("build")
        .args(["--package", package, "--lib", "--profile", profile])
        .args(["--target", TARGET, "--locked"])
        .arg("--target-dir")
        .arg(target_dir)
        .current_dir(workspace)
        .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker)
        .env("CARGO_ENCODED_RUSTFLAGS", remapped(workspace, &sysroot))
        .status()
        .map_err(|error| format!("cannot start cargo for {package}: {error}"))?;
    if !status.success() {
        return Err(format!(
            "building {package} for {TARGET} failed ({status}); see above"
        ));
    }
    Ok(target_dir
        .join(TARGET)
        .join(profile)
        .join(package.replace('-', "_"))
        .with_extension("wasm"))
}

/// Removes what the outer cargo set for its own units, which would otherwise leak into the
/// component's bytes.
fn clean_environment(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let outer = text.starts_with("CARGO_")
            && !matches!(
                text.as_ref(),
                "CARGO_HOME" | "CARGO_NET_OFFLINE" | "CARGO_TERM_COLOR"
            )
            && !text.starts_with("CARGO_REGISTRIES_")
            && !text.starts_with("CARGO_HTTP_");
        let flags =
            text.starts_with("RUSTC") || matches!(text.as_ref(), "RUSTFLAGS" | "RUSTDOCFLAGS");
        if outer || flags || text.starts_with("DEP_") || text == "LLVM_PROFILE_FILE" {
            command.env_remove(&name);
        }
    }
}

/// Flags that keep the paths of this machine out of panic messages, so that every checkout builds
/// the same bytes.
fn remapped(workspace: &Path, sysroot: &Path) -> OsString {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| {
            #[allow(deprecated, reason = "right on the platforms that build this")]
            std::env::home_dir().map(|home| home.join(".cargo"))
        });
    let mut flags = OsString::new();
    let mut map = |from: &Path, to: &str| {
        if !flags.is_empty() {
            flags.push("\u{1f}");
        }
        flags.push("--remap-path-prefix=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
    };
    // The last prefix that fits is taken.
    if let Ok(checkout) = Path::new(CHECKOUT).canonicalize() {
        map(&checkout, "usher");
    }
    map(workspace, "usher");
    map(sysroot, "rust");
    if let Some(home) = home {
        // Where the registry's sources lie has the registry's own name in it, which differs where a
        // mirror is used.
        let sources = std::fs::read_dir(home.join("registry/src"))
            .into_iter()
            .flatten();
        map(&home, "cargo");
        for source in sources.flatten() {
            map(&source.path(), "registry");
        }
    }
    flags
}

fn add_target() -> Result<(), String> {
    let added = Command::new("rustup")
        .args(["target", "add", TARGET])
        .status();
    match added {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!(
            "the Rust target {TARGET} is missing and could not be added; run: \
             rustup target add {TARGET}"
        )),
    }
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command
        .output()
        .map_err(|error| format!("cannot start {command:?}: {error}"))?;
    if !output.status.success() {
        return Err(format!("{command:?} failed ({})", output.status));
    }
    String::from_utf8(output.stdout).map_err(|error| format!("{command:?}: {error}"))
}
