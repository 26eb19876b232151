//! Who may send which requests: bearer tokens (RFC 6750) of a file and of an issuer, and which
//! sites' pages may (CORS).
//!
//! All are off by default. A request that is refused never reaches the component, and a token is
//! never passed on to it.
//!
//! | module | contents |
//! |---|---|
//! | `error` | why access cannot be controlled |
//! | [`scopes`] | what a token permits |
//! | [`tokens`] | tokens of a file, which has their hashes |
//! | [`jwt`] | JSON Web Tokens of an issuer |
//! | [`config`] | the settings |
//! | `cors` | the pages of other sites |
//! | `identity` | who sends a request, as the component is told |
//! | `refusal` | why a request is refused, and what its sender is told |
//! | `openapi` | what an OpenAPI description says of all this |
//! | [`control`] | the decision about one request |

pub mod config;
pub mod control;
pub mod jwt;
pub mod scopes;
pub mod tokens;

mod cors;
mod error;
mod identity;
mod openapi;
mod refusal;

pub use config::Config;
pub use control::AccessControl;
pub use error::AccessError;
pub use scopes::Scopes;

pub(crate) use control::Checked;
pub(crate) use identity::{is_reserved, strip};
pub(crate) use refusal::Refusal;
