//! The order of layers in each crate. A change of this file is a change of the architecture.

/// A crate and the order of its layers. A file belongs to the longest layer that its path begins
/// with, and imports only from its own layer and those below.
pub(crate) struct Layering {
    pub(crate) folder: &'static str,
    pub(crate) name: &'static str,
    /// Highest first, in the order of the table of modules in `lib.rs` or its reverse. Empty if the
    /// crate has no layers.
    pub(crate) layers: &'static [&'static str],
    /// How many levels of public modules the table of modules in `lib.rs` has.
    pub(crate) table_levels: usize,
    /// The only cycle that is allowed.
    pub(crate) cycle: &'static [&'static str],
}

/// The crates that are checked.
pub(crate) const CRATES: [Layering; 4] = [
    Layering {
        folder: "sdk/src",
        name: "usher_sdk",
        layers: &[
            "lib",
            "prelude",
            "macros",
            "web",
            "component",
            "service",
            "manifest",
            "declared",
            "migrations",
            "routing",
            "answer",
            "http",
            "retry",
            "packed",
            "database",
        ],
        table_levels: 1,
        cycle: &[],
    },
    Layering {
        folder: "guest/src",
        name: "usher_guest",
        layers: &["lib", "component", "api", "users", "compat"],
        table_levels: 2,
        cycle: &[],
    },
    Layering {
        folder: "host/src",
        name: "usher",
        layers: &[
            "main",
            "allocator",
            "lib",
            "cli",
            "server",
            "recording",
            "access",
            "sandbox",
            "wasi_http",
            "wasi",
            "database/mod",
            "database/wit",
            "database/open",
            "database/gate",
            "database/pool",
            "database/sqlite",
            "database/postgres",
            "database/backend",
            "database/declared",
            "database/policy",
            "database",
            "memory",
            "reload",
            "pem",
            "hexadecimal",
            "options",
            "telemetry",
        ],
        table_levels: 1,
        // `bindgen!` names the types of resources in `with:`, and these use what it generates.
        cycle: &[
            "wasi_http/bindings",
            "wasi_http/body",
            "wasi_http/fields",
            "wasi_http/forwarded",
            "wasi_http/outgoing",
            "wasi_http/request",
            "wasi_http/response",
        ],
    },
    Layering {
        folder: "testing/src",
        name: "usher_testing",
        layers: &[],
        table_levels: 1,
        cycle: &[],
    },
];
