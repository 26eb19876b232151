//! `wasi:http/types` for a server: one request and its response as the guest sees them.
//!
//! A guest makes some fifteen calls of this interface for one request, so each call does little:
//! nothing of a request is copied before the guest reads it, and the bytes of a response go to the
//! connection uncopied. A component that exports `buffered-handler` needs none of these calls: see
//! `buffered`. Read in this order:
//!
//! | module | contents |
//! |---|---|
//! | [`bindings`] | the interface, as Rust |
//! | [`view`] | the parts of an instance's state that this module uses |
//! | `head`, `forwarded` | checks of a response's head; the scheme that a trusted proxy reports |
//! | [`fields`] | header fields of requests and responses |
//! | [`request`] | the received request |
//! | [`body`], [`response`] | the guest's response |
//! | [`outgoing`] | outgoing requests, which can be built but not sent |
//! | [`linker`] | adds the import to a linker |
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

pub use linker::{add_outgoing_to_linker, add_to_linker};
pub use view::View;
