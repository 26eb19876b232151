//! `usher new`: the project that it writes.

use std::path::Path;
use std::process::Command;

use usher_tests::janitor::Scratch;
use usher_tests::process::Ended;

use crate::startup::usher;

fn new(scratch: &Scratch, arguments: &[&str]) -> Ended {
    let mut all = vec!["new"];
    all.extend(arguments);
    usher(scratch).args(all).run()
}

#[track_caller]
fn refused_with(ended: &Ended, part: &str) {
    let text = ended.stderr.join("\n");
    assert_eq!(ended.code(), Some(2), "{text}");
    assert!(text.contains(part), "{part:?} is not in {text:?}");
}

#[test]
fn new_service_names_the_sdk_and_says_what_to_do_next() {
    let scratch = Scratch::new();
    let ended = new(&scratch, &["my-shop"]);
    assert_eq!(ended.code(), Some(0), "{:?}", ended.stderr);
    let said = String::from_utf8_lossy(&ended.stdout);
    assert!(
        said.contains("usher serve --component target/my-shop.wasm --watch"),
        "{said}"
    );
    let project = scratch.path().join("my-shop");
    let manifest = std::fs::read_to_string(project.join("Cargo.toml")).expect("a manifest");
    assert!(manifest.contains("name = \"my-shop\""), "{manifest}");
    let path = manifest
        .lines()
        .find_map(|line| line.strip_prefix("usher-sdk = { path = \""))
        .and_then(|rest| rest.strip_suffix("\" }"))
        .expect("the path of the SDK");
    assert!(Path::new(path).join("Cargo.toml").is_file(), "{path}");
    for file in ["build.rs", "src/lib.rs", "tests/items.rs", "README.md"] {
        let text = std::fs::read_to_string(project.join(file)).expect(file);
        assert!(!text.contains("{{"), "{file}: {text}");
    }
}

#[test]
fn new_service_with_a_taken_directory_or_no_crate_name_is_refused() {
    let scratch = Scratch::new();
    std::fs::create_dir(scratch.path().join("taken")).expect("a directory");
    refused_with(&new(&scratch, &["taken"]), "exists already");
    refused_with(&new(&scratch, &["No Name"]), "no name of a crate");
    refused_with(&new(&scratch, &["serde"]), "another one");
    refused_with(&new(&scratch, &["shop", "--sdk", "."]), "--sdk DIR");
    let left = std::fs::read_dir(scratch.path()).expect("a directory");
    let left: Vec<_> = left
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    assert_eq!(left, ["taken"]);
}

/// Takes minutes, for the project compiles the host for its tests.
#[test]
fn new_service_builds_and_its_tests_pass() {
    if std::env::var_os("USHER_TEST_NEW").is_none() {
        return;
    }
    let scratch = Scratch::new();
    assert_eq!(new(&scratch, &["shop"]).code(), Some(0));
    for command in ["build", "test"] {
        let status = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
            .arg(command)
            .env_remove("CARGO_TARGET_DIR")
            .current_dir(scratch.path().join("shop"))
            .status()
            .expect("cargo starts");
        assert!(status.success(), "cargo {command}: {status}");
    }
    assert!(scratch.path().join("shop/target/shop.wasm").is_file());
}
