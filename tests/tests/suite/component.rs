//! The component as a file: what it imports, and that every build has the same bytes.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use tokio::net::TcpStream;
use usher::sandbox::USERS_WASM;
use usher_tests::http::{self, Request};
use usher_tests::janitor::Scratch;
use usher_tests::process::{Ended, Usher};
use wasmparser::{Parser, Payload};

use crate::conformance::SUITE;

fn names(wasm: &[u8]) -> (Vec<String>, Vec<String>) {
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(wasm) {
        match payload.expect("a valid component") {
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => depth += 1,
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if depth == 0 => {
                imports.extend(
                    section
                        .into_iter()
                        .map(|import| import.expect("an import").name.name.to_owned()),
                );
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                exports.extend(
                    section
                        .into_iter()
                        .map(|export| export.expect("an export").name.name.to_owned()),
                );
            }
            _ => {}
        }
    }
    imports.sort();
    exports.sort();
    (imports, exports)
}

/// The program that compiles, in TARGET/PROFILE/examples.
fn compiler() -> PathBuf {
    // TARGET/PROFILE/deps/suite-…
    let suite = std::env::current_exe().expect("this program has a path");
    let profile = suite.ancestors().nth(2).expect("a folder for each profile");
    profile.join("examples/usher-compiler-under-test")
}

/// The server with a component, compiled by that program.
fn serving(scratch: &Scratch, component: &[u8]) -> Usher {
    let file = scratch.path().join("given.wasm");
    std::fs::write(&file, component).expect("a file");
    Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--database", "memory:"])
        .args(["--component", "given.wasm"])
        .env("USHER_COMPILER", &compiler().display().to_string())
}

#[tokio::test(flavor = "multi_thread")]
async fn component_compiled_by_the_compiler_program_is_served() {
    let scratch = Scratch::new();
    let mut running = serving(&scratch, USERS_WASM).spawn();
    let address = tokio::task::block_in_place(|| running.address());
    let stream = TcpStream::connect(&address).await.expect("it listens");
    let response = http::send(stream, &Request::get("/users/"), &address).await;
    let response = response.expect("it is served");
    assert_eq!((response.status, &*response.body), (200, &b"[]"[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn compiler_program_named_by_a_relative_path_is_found() {
    let scratch = Scratch::new();
    let link = scratch.path().join("compiler");
    std::os::unix::fs::symlink(compiler(), link).expect("a link");
    let mut running = serving(&scratch, USERS_WASM)
        .env("USHER_COMPILER", "./compiler")
        .spawn();
    let address = tokio::task::block_in_place(|| running.address());
    let stream = TcpStream::connect(&address).await.expect("it listens");
    let response = http::send(stream, &Request::get("/users/"), &address).await;
    assert_eq!(response.expect("it is served").status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn component_is_compiled_once_and_again_when_its_compiled_code_is_not_usable() {
    let scratch = Scratch::new();
    let script = scratch.path().join("compiler");
    let counter = scratch.path().join("compiled");
    let (program, count) = (compiler(), counter.display());
    let text = format!(
        "#!/bin/sh\necho >>'{count}'\nexec '{}'\n",
        program.display()
    );
    std::fs::write(&script, text).expect("a script");
    std::fs::set_permissions(&script, Permissions::from_mode(0o700)).expect("its mode");
    let serve = async |warning: Option<&str>| {
        let mut running = serving(&scratch, USERS_WASM)
            .env("USHER_COMPILER", &script.display().to_string())
            .args(["--compile-cache", "cache"])
            .spawn();
        let address = tokio::task::block_in_place(|| {
            if let Some(warning) = warning {
                running.line(warning);
            }
            running.address()
        });
        let stream = TcpStream::connect(&address).await.expect("it listens");
        let response = http::send(stream, &Request::get("/users/"), &address).await;
        assert_eq!(response.expect("it is served").status, 200);
        let compiled = std::fs::read_to_string(&counter).expect("it was compiled");
        compiled.lines().count()
    };
    assert_eq!(serve(None).await, 1);
    assert_eq!(serve(None).await, 1);
    let cache = scratch.path().join("cache");
    let entry = || {
        let mut entries = cache.read_dir().expect("a directory");
        let entry = entries.next().expect("an entry").expect("it is readable");
        entry.path()
    };
    // Damaged, as by a disk that was full.
    std::fs::write(entry(), b"\x7fELF").expect("it is writable");
    assert_eq!(serve(None).await, 2);
    assert_eq!(serve(None).await, 2);
    std::fs::set_permissions(entry(), Permissions::from_mode(0o666)).expect("its mode");
    assert_eq!(serve(Some("others may write to")).await, 3);
    assert_eq!(serve(None).await, 3);
}

#[test]
fn component_that_does_not_compile_is_refused_with_the_compilers_message() {
    // (component (core module (func (result i32)))): the function returns no number.
    const INVALID: &[u8] = b"\0asm\x0d\0\x01\0\x01\x19\0asm\x01\0\0\0\x01\x05\x01\x60\0\x01\x7f\
          \x03\x02\x01\0\x0a\x04\x01\x02\0\x0b";
    let scratch = Scratch::new();
    let ended = serving(&scratch, INVALID).run();
    assert_eq!(ended.code(), Some(2));
    let line = ended.only_line();
    assert!(
        line.contains("given.wasm is not a WebAssembly component"),
        "{line}"
    );
    assert!(line.contains("type mismatch"), "{line}");
}

#[test]
fn missing_compiler_is_an_error_that_says_what_to_build() {
    let scratch = Scratch::new();
    let ended = serving(&scratch, USERS_WASM)
        .args(["--compiler", "/nonexistent/usher-compiler"])
        .run();
    assert_eq!(ended.code(), Some(2));
    let line = ended.only_line();
    assert!(
        line.contains("/nonexistent/usher-compiler is not there"),
        "{line}"
    );
    assert!(
        line.contains("cargo build --profile compiler --package usher-compiler"),
        "{line}"
    );
}

#[test]
fn component_imports_only_database_and_http() {
    let (imports, exports) = names(USERS_WASM);
    assert_eq!(
        imports,
        [
            "usher:database/database@0.2.0",
            "usher:database/streaming@0.2.0",
            "usher:database/types@0.2.0",
            "wasi:http/types@0.2.12",
            "wasi:io/error@0.2.12",
            "wasi:io/streams@0.2.12",
        ]
    );
    assert_eq!(
        exports,
        [
            "usher:service/buffered-handler@0.2.0",
            "usher:service/migration-plan@0.2.0",
            "usher:service/migrations@0.2.0",
            "usher:service/streamed-handler@0.2.0",
            "usher:users/users@0.2.0",
            "wasi:http/incoming-handler@0.2.12"
        ]
    );
}

/// A component that stands before a service. It is an adapter for other hosts.
const MIGRATE_FIRST: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/migrate-first.wasm"));

/// `usher component` in a folder that has the files `first.wasm`, an adapter that stands before a
/// service, and `suite.wasm`, a service that exports nothing but its handler.
fn component(arguments: &[&str]) -> Ended {
    let scratch = Scratch::new();
    for (name, bytes) in [("first.wasm", MIGRATE_FIRST), ("suite.wasm", SUITE)] {
        std::fs::write(scratch.path().join(name), bytes).expect("a file");
    }
    Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args(["component"])
        .args(arguments.iter().copied())
        .run()
}

#[test]
fn component_composed_with_one_before_it_exports_that_ones_handler_alone() {
    let ended = component(&["--with", "first.wasm", "--output", "-"]);
    assert_eq!(ended.code(), Some(0), "{:?}", ended.stderr);
    let (imports, exports) = names(&ended.stdout);
    assert_eq!(exports, ["wasi:http/incoming-handler@0.2.12"]);
    let (mut expected, _) = names(USERS_WASM);
    expected.push("wasi:cli/stderr@0.2.12".to_owned());
    expected.sort();
    assert_eq!(imports, expected);
    let again = component(&["--with", "first.wasm", "--output", "-"]);
    assert!(again.stdout == ended.stdout, "the bytes differ");
}

#[test]
fn component_composed_with_an_unrelated_one_is_an_error_that_names_it() {
    for (arguments, why) in [
        (["--with", "suite.wasm"], "neither of the two components"),
        (["--with", "missing.wasm"], "missing.wasm"),
        (["--component", "suite.wasm"], "--with"),
    ] {
        let arguments = [&arguments[..], &["--output", "-"]].concat();
        let ended = component(&arguments);
        assert_eq!(ended.code(), Some(2), "{arguments:?}");
        let text = ended.stderr.join("\n");
        assert!(text.contains(why), "{arguments:?}: {text}");
        assert!(ended.stdout.is_empty(), "{arguments:?}");
    }
}

/// Builds the component from these sources. What only runs during the build, such as the generator
/// of bindings, is there already, unless `USHER_TEST_COLD_BUILD` is set: none of it is in the
/// result.
fn build(workspace: &Path) -> Vec<u8> {
    let target = Scratch::new();
    let program = Path::new(env!("CARGO_BIN_EXE_usher-under-test"));
    let there = program
        .ancestors()
        .nth(2)
        .map(|all| all.join("component/component"));
    if let Some(there) = there.filter(|there| there.is_dir())
        && std::env::var_os("USHER_TEST_COLD_BUILD").is_none()
    {
        let copied = Command::new("cp")
            .arg("-a")
            .arg(there)
            .arg(target.path())
            .status();
        assert!(copied.expect("cp runs").success());
    }
    usher_build::users(workspace, "component", target.path()).expect("it builds")
}

#[test]
fn component_built_in_two_places_has_the_same_bytes() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace");
    let elsewhere = Scratch::new();
    let sources = std::fs::read_dir(workspace)
        .expect("the workspace")
        .map(|entry| entry.expect("an entry"));
    let sources = sources.filter(|entry| {
        entry.file_name() != "target" && !entry.file_name().to_string_lossy().starts_with('.')
    });
    let copied = Command::new("cp")
        .arg("-r")
        .args(sources.map(|entry| entry.path()))
        .arg(elsewhere.path())
        .status();
    assert!(copied.expect("cp runs").success());
    // The embedded component is the build in this place.
    assert!(
        build(elsewhere.path()) == USERS_WASM,
        "a build in another directory differs"
    );
}
