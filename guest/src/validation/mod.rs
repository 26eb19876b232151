//! From what a client sends to what the service works with. A [`Name`] or [`Email`] that exists is valid, and what cannot
//! become one is a [`Fault`] that says where and why, in the words of the service this one replaces.

pub mod body;
mod email;
mod fault;
pub mod id;
mod json;
mod name;
pub(crate) mod query;

pub use email::{Email, Reason};
pub use fault::{Fault, Location, Problem, faults_to_json};
pub(crate) use json::{write_escaped, write_string};
pub use name::{Name, NulInName};
