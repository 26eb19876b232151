//! What Usher's black-box tests are made with.
//!
//! The tests themselves are one program, `tests/suite`, so that one PostgreSQL cluster serves them all and one program has to
//! be linked. They know Usher by its public doors alone: the `usher` program, its HTTP, and [`usher::testing`].
//!
//! | module | what lives there |
//! |---|---|
//! | [`postgres`] | a database of its own for each test, on a server that all tests of a process share |
//! | [`cluster`] | that server where none is given: a throw-away cluster, also to be had alone |
//! | [`pgbouncer`] | a connection pooler before a server |
//! | [`proxy`] | what stands between the program and its server, and cuts, delays, throttles |
//! | [`nginx`] | a real proxy before the program |
//! | [`process`] | the program, started, heard, asked to stop |
//! | [`http`] | requests and responses byte by byte |
//! | [`json`] | JSON values, compared with numbers of any size |
//! | [`figures`] | what a test has measured, for whoever wants to see it |
//! | [`janitor`] | what cleans up after a test process that was killed |

pub mod cluster;
pub mod figures;
pub mod http;
pub mod janitor;
pub mod json;
pub mod nginx;
pub mod pgbouncer;
pub mod postgres;
pub mod process;
pub mod proxy;
