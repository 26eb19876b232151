//! PostgreSQL behind a pooler, either of which is killed under load.

use usher_tests::cluster::{Cluster, Stop};
use usher_tests::pgbouncer::{PgBouncer, Pooling};

use super::bench::Bench;

async fn server_crash_is_survived(pooling: Pooling) {
    let bench = Bench::pooled(pooling).await;
    bench
        .outage(
            &format!("kill -9 behind a pooler, {pooling:?}"),
            async |bench| bench.order(|cluster| cluster.stop(Stop::Kill)).await,
            async |bench| bench.order(Cluster::restart).await,
        )
        .await;
}

async fn pooler_crash_is_survived(pooling: Pooling) {
    let bench = Bench::pooled(pooling).await;
    bench
        .outage(
            &format!("kill -9 of the pooler, {pooling:?}"),
            async |bench| bench.order_pooler(PgBouncer::stop).await,
            async |bench| {
                bench
                    .order_pooler(|pooler| assert!(pooler.restart(), "it has its port again"))
                    .await;
            },
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_behind_session_pooler_loses_no_acknowledged_write_and_repeats_none() {
    server_crash_is_survived(Pooling::Session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_behind_transaction_pooler_loses_no_acknowledged_write_and_repeats_none() {
    server_crash_is_survived(Pooling::Transaction).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_of_session_pooler_loses_no_acknowledged_write_and_repeats_none() {
    pooler_crash_is_survived(Pooling::Session).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_of_transaction_pooler_loses_no_acknowledged_write_and_repeats_none() {
    pooler_crash_is_survived(Pooling::Transaction).await;
}
