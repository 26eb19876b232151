//! The component's boundary: exports call the service, and imports implement its traits. Nothing is
//! decided here. What touches the bindings is compiled for WebAssembly only; everything else also
//! runs, and is tested, natively.

#[cfg(target_arch = "wasm32")]
#[allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated code, which works on raw memory"
)]
mod bindings {
    wit_bindgen::generate!({
        path: "../wit",
        world: "usher:users/service",
        generate_all,
    });
    use super::Component;
    export!(Component);
}

#[cfg(target_arch = "wasm32")]
mod allocator;
#[cfg(target_arch = "wasm32")]
mod buffered;
#[cfg(target_arch = "wasm32")]
mod database;
#[cfg(target_arch = "wasm32")]
mod incoming;
pub mod manifest;
pub mod statements;
#[cfg(target_arch = "wasm32")]
mod typed;

/// The type on which all exports are implemented.
#[cfg(target_arch = "wasm32")]
struct Component;
