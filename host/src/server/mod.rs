//! HTTP over TCP: from the listening socket to one call of the component for each request, and back.
//!
//! Read in this order:
//!
//! | module | what lives there |
//! |---|---|
//! | [`config`] | everything that can be set, with its default and its unit |
//! | `serve`, `start`, `shutdown`, [`error`] | the process's life: start, accept, drain |
//! | `listener`, `worker` | the sockets, and the thread of each core |
//! | [`connection`] | one client connection: HTTP/1.1 in, one call for each request |
//! | [`body`], `error_body` | a response's body, and the answers that are the host's own |
//! | `connection_io`, [`transport`] | the connection's bytes, and what carries them |
//! | `head_timer`, `write_stall`, `lingering_close` | a client that sends no request, takes no answer, or is answered early |
//! | `descriptors`, `watch` | how many connections there may be, and whether the cores turn |
//! | `admin`, `exposition` | what operators are told: readiness and counters |

pub mod body;
pub mod config;
pub mod connection;
pub mod error;
pub mod serve;
pub mod transport;

mod admin;
mod connection_io;
mod descriptors;
mod error_body;
mod exposition;
mod head_timer;
mod lingering_close;
mod listener;
mod shutdown;
mod start;
mod watch;
mod worker;
mod write_stall;

pub use config::Config;
pub use error::ServeError;
pub use serve::serve;
pub use start::{migrate, plan};
