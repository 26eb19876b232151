//! The sandbox: a component made ready, and its instances, handed a request each.
//!
//! An instance serves one request at a time, so that a trap, a memory limit or an endless loop hits the request that caused
//! it and no other. Read in this order:
//!
//! | module | what lives there |
//! |---|---|
//! | [`bindings`] | what a component exports, as Rust |
//! | [`engine`], `processor` | the engine's settings; the clock that interrupts a guest, and the time it has used |
//! | [`bounds`], `compile` | what a component may make of its host before it serves |
//! | [`source`], [`config`], [`error`] | where a component comes from, what it may take of its host, what can go wrong |
//! | `growth`, [`state`] | the linear memory of an instance, and what the host keeps for it |
//! | [`component`] | a component, loaded, linked and ready to instantiate |
//! | `info` | what it asks for, for its operator to read |
//! | [`migrate`] | it brings its own schema up to date |
//! | `admission` | how many requests are in flight on one core |
//! | [`call`], `report` | one call until its deadline, and the log lines of one that went wrong |
//! | [`body`] | the body of its response, as the server reads it |
//! | [`pool`] | the instances of one core: reused while they are sound, replaced when they are not |

pub mod bindings;
pub mod body;
pub mod bounds;
pub mod call;
pub mod component;
pub mod config;
pub mod engine;
pub mod error;
pub mod migrate;
pub mod pool;
pub mod source;
pub mod state;

mod admission;
mod compile;
mod growth;
pub(crate) mod info;
mod processor;
mod report;

pub use body::GuestBody;
pub use component::{Capacity, Runtime, start_engine};
pub use config::Config;
pub use error::{CallError, LoadError};
pub use pool::Instances;
pub use source::{Source, USERS_WASM};
pub use state::{State, StoreLimits};
