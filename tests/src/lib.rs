//! What Usher's black-box tests are made with, beside [`usher_testing`].
//!
//! The tests themselves are one program, `tests/suite`, so that one PostgreSQL cluster serves them all and one program has to
//! be linked. They know Usher by its public doors alone: the `usher` program, its HTTP, and [`usher_testing::TestApp`].
//!
//! | module | what lives there |
//! |---|---|
//! | [`nginx`] | a real proxy before the program |
//! | [`http`] | requests and responses byte by byte |
//! | [`json`] | JSON values, compared with numbers of any size |
//! | [`figures`] | what a test has measured, for whoever wants to see it |

pub mod figures;
pub mod http;
pub mod json;
pub mod nginx;

pub use usher_testing::{cluster, janitor, pgbouncer, postgres, process, proxy};
