//! Limits on the memory that the host holds for requests.
//!
//! | module | contents |
//! |---|---|
//! | `body` | the memory of a body while it is read, for which it waits |
//! | `limits` | the limits of one request, and of all together |
//! | `pool` | memory of a limited size, and those who wait for it |

mod body;
mod limits;
mod pool;

pub(crate) use body::BodyMemory;
pub(crate) use limits::{Charge, FREE, HostCharge, HostMemory, OverLimit, RequestMemory};
