//! The order of floors in each crate. A change of this file is a change of the architecture.

/// A crate and the order that its files keep. A file belongs to the longest floor that its path
/// begins with, and imports only from its own floor and those below it.
pub(crate) struct Building {
    pub(crate) folder: &'static str,
    pub(crate) name: &'static str,
    /// Highest first. The reading table of `lib.rs` has this order or its reverse. None: the crate
    /// has no floors.
    pub(crate) floors: &'static [&'static str],
    /// The one circle that may be there, with its reason.
    pub(crate) circle: &'static [&'static str],
}

/// The crates that are drawn, those that exist.
pub(crate) const BUILDINGS: [Building; 3] = [
    Building {
        folder: "guest/src",
        name: "usher_guest",
        floors: &["lib", "component", "api", "users", "compat", "database"],
        circle: &[],
    },
    Building {
        folder: "host/src",
        name: "usher",
        floors: &[
            "main",
            "lib",
            "cli",
            "server",
            "sandbox",
            "wasi_http",
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
            "options",
            "telemetry",
        ],
        // `bindgen!` names the types that stand for resources in `with:`, and these take what
        // it generates: fields, statuses, errors.
        circle: &[
            "wasi_http/bindings",
            "wasi_http/body",
            "wasi_http/fields",
            "wasi_http/forwarded",
            "wasi_http/outgoing",
            "wasi_http/request",
            "wasi_http/response",
        ],
    },
    Building {
        folder: "testing/src",
        name: "usher_testing",
        floors: &[],
        circle: &[],
    },
];
