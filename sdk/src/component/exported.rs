//! The type on which all exports are implemented.

use std::marker::PhantomData;

/// The exports of a service: what [`export!`](crate::export) passes to the bindings.
#[derive(Debug)]
pub struct Component<S>(PhantomData<S>);
