//! What holds over TCP, a Unix socket and TLS.

use std::time::{Duration, Instant};

use usher_tests::cluster::{Certificate, Cluster};
use usher_tests::janitor::Scratch;
use usher_tests::process::Usher;

use super::{HOSTILE, certified, connect, parts, send_request, socket, usher};

fn hostile(scratch: &Scratch, url: &str) -> Usher {
    std::fs::write(scratch.path().join("hostile.wasm"), HOSTILE).expect("a file");
    usher(scratch, url).args(["--component", "hostile.wasm", "--no-migrate"])
}

/// The URLs of every transport.
async fn transports(cluster: &Cluster) -> Vec<String> {
    let (credentials, port) = parts(cluster);
    let socket = socket(cluster).await;
    vec![
        format!("{}?sslmode=disable", cluster.url()),
        format!("{}?sslmode=require", cluster.url()),
        format!("postgres://{credentials}@{socket}:{port}/postgres"),
        // One of each, so that none can be left out silently.
        format!("postgres://{credentials}@{socket},127.0.0.1/postgres?port={port},{port}"),
    ]
}

#[tokio::test]
async fn row_of_any_size_uses_bounded_memory_on_every_transport() {
    let scratch = Scratch::new();
    let (cluster, _) = certified(&scratch, Certificate::Authority, "localhost").await;
    for url in transports(&cluster).await {
        let limits = [
            ["--workers", "1"],
            ["--max-rows-bytes", "1MiB"],
            // On a busy machine so much text takes its time.
            ["--statement-timeout", "1m"],
            ["--request-timeout", "2m"],
        ];
        let mut running = hostile(&scratch, &url).args(limits.concat()).spawn();
        let address = running.address();
        // The function exists from the second time on.
        send_request(&address, "/table").await;
        let before = running.most_resident_bytes();
        for path in ["/giant", "/giant-error"] {
            let answer = send_request(&address, path).await.text();
            assert!(answer.contains("TooLarge(1"), "{url} {path}: {answer}");
            // The connection is still usable.
            assert_eq!(send_request(&address, "/count").await.text(), "0");
        }
        let grown = running.most_resident_bytes() - before;
        assert!(grown < 16 << 20, "{url}: {grown} bytes more");
    }
}

/// No session sleeps any more, long before the statement would have ended by itself.
#[tokio::test]
async fn statement_is_cancelled_on_every_transport() {
    let scratch = Scratch::new();
    let (cluster, _) = certified(&scratch, Certificate::Authority, "localhost").await;
    let client = connect(&cluster.url()).await;
    let sleeping = async || {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
        let found: i64 = client
            .query_one(count, &[])
            .await
            .expect("an answer")
            .get(0);
        found > 0
    };
    for url in transports(&cluster).await {
        let mut running = hostile(&scratch, &url)
            .args(["--request-timeout", "1500ms", "--workers", "1"])
            .spawn();
        let address = running.address();
        // The function exists from the second time on.
        send_request(&address, "/table").await;
        for path in ["/slow-alone", "/slow-statement"] {
            assert_eq!(
                send_request(&address, path).await.status,
                504,
                "{url} {path}"
            );
            let began = Instant::now();
            while sleeping().await {
                assert!(
                    began.elapsed() < Duration::from_secs(5),
                    "{url} {path} runs on"
                );
            }
        }
    }
}
