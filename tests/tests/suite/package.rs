//! The component as a package: what it says of itself, and the WIT packages for other projects.

use std::path::Path;

use usher::sandbox::USERS_WASM;
use usher_tests::janitor::Scratch;
use usher_tests::process::{Ended, Usher};

use crate::startup::usher;

fn run(program: Usher) -> Ended {
    let ended = program.run();
    assert_eq!(ended.code(), Some(0), "{:?}", ended.stderr);
    ended
}

/// The reader is that of the tools for WebAssembly.
#[test]
fn embedded_component_says_what_it_is_and_which_crates_are_in_it() {
    let scratch = Scratch::new();
    let ended = run(usher(&scratch).args(["component", "--info"]));
    let shown = String::from_utf8_lossy(&ended.stdout);
    for line in [
        "  name: users",
        concat!("  version: ", env!("CARGO_PKG_VERSION")),
        "  description: A user service over HTTP, with one database",
        "  licence: Apache-2.0",
    ] {
        assert!(shown.lines().any(|shown| shown == line), "{line}: {shown}");
    }
    let (_, crates) = shown.split_once("\ncrates: ").expect("a list of crates");
    for (name, is_there) in [
        (concat!("usher-guest ", env!("CARGO_PKG_VERSION")), true),
        (concat!("usher-sdk ", env!("CARGO_PKG_VERSION")), true),
        ("icu_normalizer 2.", true),
        // They run only while it is built.
        ("syn ", false),
        ("usher-build ", false),
        ("proptest ", false),
    ] {
        let mut names = crates.lines().map(str::trim);
        let found = names.any(|line| line.starts_with(name));
        assert_eq!(found, is_there, "{name}: {crates}");
    }
}

#[test]
fn description_with_control_characters_cannot_act_on_the_terminal() {
    let scratch = Scratch::new();
    let mut component = USERS_WASM.to_vec();
    component.extend(b"\0\x12\x07authors\x1b[2J\xe2\x80\xaeabc");
    std::fs::write(scratch.path().join("odd.wasm"), component).expect("a file");
    let ended = run(usher(&scratch).args(["component", "--info", "odd.wasm"]));
    let shown = String::from_utf8_lossy(&ended.stdout);
    assert!(shown.contains("authors: \\u{1b}[2J\\u{202e}abc"), "{shown}");
}

#[test]
fn wit_command_writes_every_package_as_it_is_here() {
    let scratch = Scratch::new();
    run(usher(&scratch).args(["wit", "--output", "made/deps"]));
    let made = scratch.path().join("made/deps");
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit");
    let read = |path: &Path| std::fs::read(path).expect("a file");
    let mut packages = 0;
    for entry in std::fs::read_dir(here.join("deps")).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().expect("a name");
        assert!(read(&made.join(name)) == read(&path), "{}", path.display());
        packages += 1;
    }
    let users = read(&made.join("usher-users.wit"));
    assert!(users == read(&here.join("users.wit")));
    let written = std::fs::read_dir(&made).expect("a folder").count();
    assert_eq!(written, packages + 1);
}
