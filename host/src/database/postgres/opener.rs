//! Opens further connections of a pool in the background.
//!
//! At most one per pool is being opened. After a failure, the next attempt waits for
//! [`RECONNECT_PAUSE`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use super::limits::RECONNECT_PAUSE;
use crate::database::types::Error;

/// Spawns a task that opens a connection, unless one is running, which `is_opening` records.
pub(super) fn open_another<P, F>(
    pool: &Arc<P>,
    is_opening: fn(&P) -> &AtomicBool,
    open: impl FnOnce(Arc<P>) -> F,
) where
    P: Send + Sync + 'static,
    F: Future<Output = Result<(), Error>> + Send + 'static,
{
    if is_opening(pool).swap(true, Relaxed) {
        return;
    }
    let opened = open(Arc::clone(pool));
    let pool = Arc::clone(pool);
    tokio::spawn(async move {
        if let Err(error) = opened.await {
            tracing::debug!("no further database connection can be opened: {error:?}");
            tokio::time::sleep(RECONNECT_PAUSE).await;
        }
        is_opening(&pool).store(false, Relaxed);
    });
}
