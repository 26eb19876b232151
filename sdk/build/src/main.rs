//! Writes the users service, the bytes of `usher component --output FILE`, without a host to build:
//! `cargo run -p usher-build -- FILE`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

const CHECKOUT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn main() -> ExitCode {
    let mut arguments = std::env::args_os().skip(1);
    let written = match (arguments.next(), arguments.next()) {
        (Some(file), None) => write(&PathBuf::from(file)),
        _ => Err("usage: cargo run -p usher-build -- FILE".to_owned()),
    };
    if let Err(error) = written {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn write(file: &Path) -> Result<(), String> {
    // TARGET/PROFILE/usher-build
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let target = program.ancestors().nth(2).unwrap_or(Path::new("."));
    let checkout = Path::new(CHECKOUT).canonicalize();
    let checkout = checkout.map_err(|error| format!("{CHECKOUT}: {error}"))?;
    let component = usher_build::users(&checkout, "component", &target.join("component"))?;
    std::fs::write(file, component).map_err(|error| format!("{}: {error}", file.display()))
}
