//! Who may send which requests: bearer tokens (RFC 6750), and which sites' pages may (CORS).
//!
//! Both are off by default. A request that is refused never reaches the component, and a token is
//! never passed on to it.
//!
//! | module | contents |
//! |---|---|
//! | [`config`] | the settings |
//! | [`tokens`] | tokens, their scopes, and the file of their hashes |
//! | `cors` | the pages of other sites |
//! | [`control`] | the decision about one request |

pub mod config;
pub mod control;
pub mod tokens;

mod cors;

pub use config::Config;
pub use control::AccessControl;
