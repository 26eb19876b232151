//! Builds a package as a WebAssembly component, from within a build script.
//!
//! The target is `wasm32-unknown-unknown`, linked by the toolchain's own `wasm-component-ld`:
//! unlike [`WASIP2`] it drags in no `wasi:cli`, so that the component imports what its world names
//! and nothing else.

mod package;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

pub use package::{Details, REVISION};

const TARGET: &str = "wasm32-unknown-unknown";

/// The usual target of components, for which all of Rust's standard library works and asks its
/// host.
pub const WASIP2: &str = "wasm32-wasip2";

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
            println!("cargo::rerun-if-env-changed={REVISION}");
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
    let optional = |name: &str| variable(name).ok().filter(|text| !text.is_empty());
    let details = Details {
        name: package.clone(),
        description: optional("CARGO_PKG_DESCRIPTION"),
        homepage: optional("CARGO_PKG_HOMEPAGE"),
        authors: optional("CARGO_PKG_AUTHORS").map(|authors| authors.replace(':', ", ")),
        ..Details::default()
    };
    let component_target = target.join("component");
    let built = described_component(&folder, &package, "component", &component_target, &details)?;
    let place = target.join(&package).with_extension("wasm");
    std::fs::write(&place, built).map_err(|error| format!("{}: {error}", place.display()))?;
    let own = ["src", "migrations", "build.rs", "Cargo.toml", "Cargo.lock"];
    let mut inputs: Vec<PathBuf> = own.iter().map(|input| folder.join(input)).collect();
    inputs.extend(["sdk", "wit"].map(|input| Path::new(CHECKOUT).join(input)));
    inputs.retain(|input| input.exists());
    Ok((place, inputs))
}

/// Builds the users service of the checkout `workspace` in `target_dir`: the component that the
/// program `usher` has in it.
///
/// # Errors
/// What failed, and what to do about it.
pub fn users(workspace: &Path, profile: &str, target_dir: &Path) -> Result<Vec<u8>, String> {
    let details = Details {
        name: "users".into(),
        description: Some("A user service over HTTP, with one database".into()),
        ..Details::default()
    };
    described_component(workspace, "usher-guest", profile, target_dir, &details)
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
    component_for(TARGET, workspace, package, profile, target_dir)
}

/// Builds as [`component`] does, and returns the component with sections that say what it is and
/// which crates are in it.
///
/// Version, licence and repository are those of the package, and the revision is that of
/// [`REVISION`]; the rest of `details` is taken as it is.
///
/// # Errors
/// What failed, and what to do about it.
pub fn described_component(
    workspace: &Path,
    package: &str,
    profile: &str,
    target_dir: &Path,
    details: &Details,
) -> Result<Vec<u8>, String> {
    let built = component(workspace, package, profile, target_dir)?;
    let bytes = std::fs::read(&built).map_err(|error| format!("{}: {error}", built.display()))?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    clean_environment(&mut command);
    command
        .args(["tree", "--quiet", "--package", package, "--target", TARGET])
        .args([
            "--locked",
            "--edges",
            "normal,no-proc-macro",
            "--charset",
            "ascii",
        ])
        .args(["--prefix", "depth", "--format", package::TREE_FORMAT])
        .current_dir(workspace);
    let (of_package, crates) = package::read(&output(&mut command)?)?;
    let details = Details {
        version: of_package.version,
        licenses: of_package.licenses,
        source: of_package.source,
        revision: std::env::var(REVISION).ok().filter(|text| !text.is_empty()),
        ..details.clone()
    };
    Ok(package::describe(bytes, &details, &crates))
}

/// As [`component`], for another target.
///
/// # Errors
/// What failed, and what to do about it.
pub fn component_for(
    target: &str,
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
    if !rustlib.join(target).is_dir() {
        add_target(target)?;
    }
    let linker = rustlib.join(&host).join("bin/wasm-component-ld");

    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    clean_environment(&mut command);
    let status = command
        .arg("build")
        .args(["--package", package, "--lib", "--profile", profile])
        .args(["--target", target, "--locked"])
        .arg("--target-dir")
        .arg(target_dir)
        .current_dir(workspace)
        .env(linker_variable(target), linker)
        .env("CARGO_ENCODED_RUSTFLAGS", remapped(workspace, &sysroot))
        .status()
        .map_err(|error| format!("cannot start cargo for {package}: {error}"))?;
    if !status.success() {
        return Err(format!(
            "building {package} for {target} failed ({status}); see above"
        ));
    }
    Ok(target_dir
        .join(target)
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

/// The variable that tells cargo the linker of a target.
fn linker_variable(target: &str) -> String {
    let target = target.to_uppercase().replace('-', "_");
    format!("CARGO_TARGET_{target}_LINKER")
}

fn add_target(target: &str) -> Result<(), String> {
    let added = Command::new("rustup")
        .args(["target", "add", target])
        .status();
    match added {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!(
            "the Rust target {target} is missing and could not be added; run: \
             rustup target add {target}"
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
