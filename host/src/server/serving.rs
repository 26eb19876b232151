//! The component that new requests go to, which another one may replace.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::sandbox::Instances;

/// The instance pool of one core for new requests. Requests in flight keep the pool that they began
/// with.
#[derive(Debug)]
pub struct Serving(Mutex<Arc<Instances>>);

impl From<Arc<Instances>> for Serving {
    fn from(instances: Arc<Instances>) -> Self {
        Self(Mutex::new(instances))
    }
}

impl Serving {
    pub(super) fn current(&self) -> Arc<Instances> {
        Arc::clone(&self.lock())
    }

    /// From now on new requests go to the pool that `next` makes of the current one.
    pub(super) fn replace(&self, next: impl FnOnce(&Instances) -> Arc<Instances>) {
        let mut current = self.lock();
        *current = next(&current);
    }

    /// Only the thread of the core takes the lock.
    fn lock(&self) -> MutexGuard<'_, Arc<Instances>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
