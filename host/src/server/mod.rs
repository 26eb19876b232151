//! HTTP over TCP: accepts connections and calls the component once for each request.
//!
//! Read in this order:
//!
//! | module | contents |
//! |---|---|
//! | [`config`], [`address`] | the server's settings; where to listen |
//! | `serve`, `start`, `shutdown`, [`error`] | start, accept, drain, and what can fail |
//! | [`drain`] | how connections end without a lost request |
//! | `listener`, `unix_socket`, `worker` | the sockets, and the thread of each core |
//! | [`limits`], `clients` | the limits of client connections; how many one client has |
//! | `notify` | tells the service manager what the server does |
//! | [`connection`], `tls`, `proxy_protocol` | one client connection, and what comes before HTTP |
//! | `peer` | who sends the requests of a connection, and what of them is believed |
//! | [`serving`], `replacement` | the component of new requests, and how another one replaces it |
//! | [`service`], `request_head`, `host` | one request; which head and which `Host` are valid |
//! | `request_body` | reads the body of a request |
//! | `connection_state` | what the service and the connection I/O tell each other |
//! | [`body`], `error_body` | response bodies, and the host's own error responses |
//! | `description` | adds to the OpenAPI description which tokens are needed |
//! | `http1` | a connection of HTTP/1, which holds little while it is idle |
//! | `connection_io`, [`transport`] | connection I/O of HTTP/1, and the sockets below it |
//! | `http2`, `streams`, `stream_body`, `http2_io` | a connection of HTTP/2, its streams and I/O |
//! | `head_timer`, `write_stall` | timeouts for clients that send or read nothing |
//! | `lingering_close` | how a connection is closed after an early response |
//! | `half_close` | a client that has closed its sending side |
//! | `descriptors`, `core_dump` | the limits on open files and on core dumps |
//! | `watch` | the heartbeat of each core |
//! | `admin`, `exposition` | the operators' listener: readiness and metrics |

pub mod address;
pub mod body;
pub mod config;
pub mod connection;
pub mod drain;
pub mod error;
pub mod limits;
pub mod serve;
pub mod service;
pub mod serving;
pub mod tls;
pub mod transport;

mod admin;
mod clients;
mod connection_io;
mod connection_state;
mod core_dump;
mod description;
mod descriptors;
mod error_body;
mod exposition;
mod half_close;
mod head_timer;
mod host;
mod http1;
mod http2;
mod http2_io;
mod lingering_close;
mod listener;
mod notify;
mod peer;
mod proxy_protocol;
mod replacement;
mod request_body;
mod request_head;
mod shutdown;
mod start;
mod stream_body;
mod streams;
mod unix_socket;
mod watch;
mod worker;
mod write_stall;

pub use address::Address;
pub use config::Config;
pub use error::ServeError;
pub use serve::serve;
pub use start::{migrate, plan};
