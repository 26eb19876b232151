//! The host runtime of Usher.
pub mod bindings;
pub mod database;
