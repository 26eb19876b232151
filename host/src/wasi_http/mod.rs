//! `wasi:http/types` for a server: one HTTP exchange as the guest sees it.
//!
//! A request costs a guest some fifteen calls of this interface, so each is made to do little: nothing of a request is copied
//! before it is asked for, and a response goes to the connection as the guest wrote it. Components that offer HTTP in one call
//! are spared all this: see `buffered`. Read in this order:
//!
//! | module | what lives there |
//! |---|---|
//! | [`bindings`] | the interface, as Rust |
//! | [`view`] | where an instance keeps its exchanges |
//! | `head`, `forwarded` | what a response may say, and what a trusted proxy says of a request |
//! | [`fields`] | header fields, of both |
//! | [`request`] | the request that came in |
//! | [`body`], [`response`] | the response on its way out |
//! | [`outgoing`] | what components compiled against all of `wasi:http` refer to, without any way to send it |
//! | [`linker`] | the import, given to components |
//! | `buffered` | a request and its response in one call |

pub mod bindings;
pub mod body;
pub(crate) mod buffered;
pub mod fields;
pub(crate) mod forwarded;
pub(crate) mod head;
pub mod linker;
pub mod outgoing;
pub mod request;
pub mod response;
pub mod view;

pub use linker::add_to_linker;
pub use view::View;
