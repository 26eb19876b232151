//! The component's boundary: exports call a [`Service`](crate::service::Service), and the import
//! implements the database trait. Nothing is decided here. It is compiled for WebAssembly only;
//! everything else also runs, and is tested, natively.

#[allow(
    unsafe_code,
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    reason = "generated code, which works on raw memory"
)]
pub mod bindings;

mod allocator;
mod buffered;
mod database;
mod exported;
mod incoming;
mod migrations;
mod streamed;

pub use database::Import;
pub use exported::Component;
