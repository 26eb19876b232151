//! The service's migrations, from its own sources.

#![allow(dead_code, reason = "the service uses all of it")]

#[path = "../../../../guest/src/users/adoption/mod.rs"]
pub mod adoption;
#[path = "../../../../guest/src/users/steps.rs"]
pub mod steps;
