//! PostgreSQL killed under load.

use std::sync::Arc;

use usher_tests::cluster::{Cluster, Stop};

use super::bench::Bench;

async fn is_survived(name: &str, how: Stop) {
    let bench = Bench::new(&[]).await;
    bench
        .outage(
            name,
            async |bench| bench.order(move |cluster| cluster.stop(how)).await,
            async |bench| bench.order(Cluster::restart).await,
        )
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn crash_under_load_loses_no_acknowledged_write_and_repeats_none() {
    is_survived("kill -9", Stop::Kill).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restart_under_load_loses_no_acknowledged_write_and_repeats_none() {
    is_survived("restart", Stop::Fast).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_crashes_lose_no_acknowledged_write_and_repeat_none() {
    let bench = Bench::new(&[]).await;
    let load = bench.load();
    for round in 1..=5 {
        let expected = round * 50;
        load.until("writes are done", |ledger| {
            ledger.count(super::ledger::Outcome::Done) >= expected
        })
        .await;
        let cluster = Arc::clone(&bench.cluster);
        super::bench::blocking(move || {
            cluster.stop(Stop::Kill);
            cluster.restart();
        })
        .await;
        bench.recovered(std::time::Instant::now()).await;
    }
    let counted = bench.settle(load).await;
    usher_tests::figures::print("the outage 5 x kill -9", &counted);
}
