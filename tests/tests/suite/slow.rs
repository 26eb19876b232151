//! Clients that read slowly or not at all, over real TCP with the system's buffers.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use usher_tests::http::{Reader, Request};
use usher_tests::janitor::Scratch;
use usher_tests::process::{Running, Usher};

use crate::databases::{Fresh, Kind};
use crate::transactions::{CLEANUP_LIMIT, NOTHING_LEFT, becomes};

/// Users of a list of some 20 MB, more than all buffers on the way hold.
const USERS: usize = 150_000;

/// How long a list is read slowly: several times as long as any limit set here.
const SLOWLY: Duration = Duration::from_secs(30);

/// The program over a database with many users, with these options.
async fn many(kind: Kind, options: &[&str]) -> (Running, String, Fresh, Scratch) {
    let (scratch, fresh) = (Scratch::new(), kind.fresh().await);
    let mut running = Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--database", &fresh.url])
        .args(options.iter().copied())
        .spawn();
    let address = running.address();
    if let Some(postgres) = &fresh.postgres {
        let insert = format!(
            "INSERT INTO users (name, email) SELECT repeat('n', 80), 'u' || i || '@example.org' \
                FROM generate_series(1, {USERS}) AS i"
        );
        let client = postgres.connect().await;
        client.batch_execute(&insert).await.expect("users");
    } else {
        let insert = format!(
            "INSERT INTO users (name, email) WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i \
                + 1 FROM n WHERE i < {USERS}) \
             SELECT printf('%.*c', 80, 'n'), 'u' || i || '@example.org' FROM n"
        );
        let file = fresh.url.strip_prefix("sqlite:").expect("a file");
        let database = rusqlite::Connection::open(file).expect("the file");
        database.execute(&insert, []).expect("users");
    }
    (running, address, fresh, scratch)
}

fn lines(address: &str) -> Vec<u8> {
    Request::get("/users/")
        .header("accept", "application/x-ndjson")
        .encode(address)
}

/// A connection whose client buffers this many unread bytes, or the default.
async fn connect(address: &str, buffer: Option<u32>) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    if let Some(bytes) = buffer {
        socket.set_recv_buffer_size(bytes).expect("it may be set");
    }
    let address = address.parse().expect("an address");
    socket.connect(address).await.expect("a connection")
}

/// Reads a list at this many bytes per second for a while, and then at full speed. Returns the
/// number of lines.
async fn read_slowly(address: &str, rate: usize, buffer: Option<u32>) -> std::io::Result<usize> {
    const PAUSE: Duration = Duration::from_millis(100);
    let mut stream = connect(address, buffer).await;
    stream.write_all(&lines(address)).await?;
    let began = Instant::now();
    let mut read = Vec::new();
    while began.elapsed() < SLOWLY {
        // Slow reading takes its time.
        tokio::time::sleep(PAUSE).await;
        let due = rate * usize::try_from(began.elapsed().as_millis()).unwrap_or(usize::MAX) / 1000;
        let now = due.saturating_sub(read.len()) as u64;
        (&mut stream).take(now).read_to_end(&mut read).await?;
    }
    let mut found = 0;
    let count = |chunk: &[u8]| found += chunk.split(|&byte| byte == b'\n').count() - 1;
    let rest = std::io::Cursor::new(read).chain(stream);
    Reader::new(rest).streamed(count).await?;
    Ok(found)
}

/// All limits are seconds, and the system's buffers hold what the slower clients read in a minute.
#[tokio::test(flavor = "multi_thread")]
async fn list_read_slowly_over_tcp_is_complete() {
    let slowly = async |kind| {
        let (running, address, fresh, _scratch) = many(
            kind,
            &[
                "--request-timeout",
                "10s",
                "--idle-transaction-timeout",
                "2s",
                "--statement-timeout",
                "10s",
                "--write-timeout",
                "20s",
                // Each list has a dedicated connection for as long as it is read.
                "--pool-size",
                "48",
            ],
        )
        .await;
        let mut readers = JoinSet::new();
        for (kilobytes, buffer) in [
            (8, None),
            (32, None),
            (128, None),
            (256, None),
            (512, None),
            (256, Some(4 << 20)),
            (64, Some(4 << 10)),
        ] {
            let address = address.clone();
            readers.spawn(async move {
                let read = read_slowly(&address, kilobytes << 10, buffer).await;
                (kilobytes, buffer, read.map_err(|error| error.to_string()))
            });
        }
        for (kilobytes, buffer, read) in readers.join_all().await {
            assert_eq!(read, Ok(USERS), "{kilobytes} KB/s on {kind:?}, {buffer:?}");
        }
        drop(running);
        fresh.end().await;
    };
    tokio::join!(slowly(Kind::Postgres), slowly(Kind::File));
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_list_over_tcp_is_truncated_after_write_timeout() {
    let (running, address, fresh, _scratch) =
        many(Kind::Postgres, &["--write-timeout", "1s"]).await;
    let mut idle = Vec::new();
    for buffer in [None, Some(4 << 20)] {
        let mut stream = connect(&address, buffer).await;
        let request = lines(&address);
        stream.write_all(&request).await.expect("it is read");
        stream.readable().await.expect("an answer");
        idle.push(stream);
    }
    let client = fresh.postgres.as_ref().expect("PostgreSQL").connect().await;
    tokio::time::timeout(CLEANUP_LIMIT, becomes(&client, NOTHING_LEFT))
        .await
        .expect("their queries are ended");
    for stream in idle {
        let cut = Reader::new(stream).streamed(|_| ()).await;
        assert!(cut.is_err(), "it looks complete");
    }
    drop(running);
    fresh.end().await;
}

/// A page is complete when its first byte is sent.
#[tokio::test(flavor = "multi_thread")]
async fn unread_pages_are_truncated_after_write_timeout() {
    const CLIENTS: usize = 100;
    let scratch = Scratch::new();
    let mut running = Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--database", "memory:"])
        .args(["--write-timeout", "1s", "--admin-listen", "127.0.0.1:0"])
        .spawn();
    running.operators();
    let address = running.address();
    let user = serde_json::json!({"name": "n".repeat(1_000_000), "email": "n@example.org"});
    let mut stream = TcpStream::connect(&address).await.expect("a connection");
    let request = Request::post("/users/", &user).encode(&address);
    stream.write_all(&request).await.expect("a request");
    let stored = Reader::new(stream).response("POST").await;
    assert_eq!(stored.expect("an answer").status, 200);
    let before = running.sockets();
    let mut idle = Vec::new();
    for _ in 0..CLIENTS {
        let mut stream = connect(&address, Some(4 << 10)).await;
        let request = Request::get("/users/1").encode(&address);
        stream.write_all(&request).await.expect("a request");
        stream.readable().await.expect("an answer");
        idle.push(stream);
    }
    let closed = async {
        while running.sockets() > before {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(CLEANUP_LIMIT, closed)
        .await
        .expect("their connections are closed");
    for stream in idle {
        let cut = Reader::new(stream).response("GET").await;
        assert!(cut.is_err(), "it is complete");
    }
}
