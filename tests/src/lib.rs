//! Helpers of Usher's black-box tests, beside [`usher_testing`].
//!
//! The tests are one program, `tests/suite`, so that they share one PostgreSQL cluster and only one
//! program is linked. They use Usher's public interfaces alone: the `usher` program, its HTTP, and
//! [`usher_testing::TestApp`].
//!
//! | module | contents |
//! |---|---|
//! | [`nginx`] | a real proxy in front of the program |
//! | [`http`] | requests and responses byte by byte |
//! | [`http2`] | a client of HTTP/2 |
//! | [`json`] | JSON values, compared with numbers of any size |
//! | [`figures`] | prints what a test has measured |

pub mod figures;
pub mod http;
pub mod http2;
pub mod json;
pub mod nginx;

pub use usher_testing::{cluster, janitor, pgbouncer, postgres, process, programs, proxy};
