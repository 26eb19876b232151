//! JSON Web Tokens (RFC 7519) as bearer tokens: access tokens of one issuer (RFC 9068), which are
//! for one of the audiences named here.
//!
//! What a token says of itself is believed only after its signature has been verified by a key of
//! the operator's choice, from a file or a URL. The key says which algorithms it is for; a token
//! only picks one of them. Keys and addresses in a token's header are not looked at (RFC 8725, 3).
//!
//! | module | contents |
//! |---|---|
//! | [`config`] | the settings |
//! | `rejection` | why a token is refused |
//! | `object` | JSON objects, strictly |
//! | `claims` | what a token says, and whether it counts here and now |
//! | `compact` | the compact form of a token, and its header |
//! | `key` | keys (RFC 7517), and the algorithms that each is for |
//! | `source`, `fetch` | where the keys are; one request for them |
//! | `keys` | the keys of the moment, which are replaced while the server runs |
//! | `cache` | tokens that were verified before |
//! | [`verifier`] | the decision about one token |

pub mod config;
pub mod verifier;

mod cache;
mod claims;
mod compact;
mod fetch;
mod key;
mod keys;
mod object;
mod rejection;
mod source;

pub use config::Config;
pub(crate) use keys::Refresh;
pub(crate) use rejection::Rejection;
pub(crate) use source::shown;
pub(crate) use verifier::Verifier;
