//! One runtime with a thread per core, one listener, one pool.

use std::net::SocketAddr;

use axum::serve::ListenerExt as _;
use tokio::net::TcpListener;

use super::file_pool::FilePool;
use super::memory::Memory;
use super::store::Store;
use super::{Database, announce, pool, routes};
use crate::Error;

/// Serves until the process is ended.
pub(super) fn serve(listen: SocketAddr, database: Database) -> Result<(), Error> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?
        .block_on(async {
            match database {
                Database::Postgres(config) => run(listen, pool::open(*config).await?).await,
                Database::Memory => run(listen, Memory::open()?).await,
                Database::File(path) => run(listen, FilePool::open(&path)?).await,
            }
        })
}

async fn run(listen: SocketAddr, store: impl Store) -> Result<(), Error> {
    let listener = TcpListener::bind(listen).await?;
    announce(listener.local_addr()?);
    let listener = listener.tap_io(|stream| {
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("a connection sends with delay: {error}");
        }
    });
    Ok(axum::serve(listener, routes::router(store)).await?)
}
