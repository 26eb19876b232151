//! What must behave exactly like the FastAPI service that this one replaces.
//!
//! Its clients depend on which requests it accepted, on how it normalised what it stored, and on
//! the bodies of its errors. These come from CPython's `json`, from pydantic 2 and from
//! email-validator 2.4, and no Rust crate agrees with them in every case. So this module
//! reimplements them. The recorded cases in `tests/contract/` hold it to them.

pub mod email;
pub mod faults;
pub mod integer;
pub(crate) mod json;
pub(crate) mod percent;
