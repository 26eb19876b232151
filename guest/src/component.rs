//! The component's boundary: exports lead in, imports lead out, and nothing is decided here.

#[allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated code, whose business is raw memory"
)]
mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "usher:service/service",
        generate_all,
    });
    use super::Component;
    export!(Component);
}

mod database;
mod http;
mod memory;
mod typed;
mod whole;

struct Component;
