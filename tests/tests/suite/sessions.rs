//! The server's sessions on PostgreSQL: TLS, name, number, lifetime, and cancelled statements.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use tokio_postgres::Client;
use usher_tests::cluster::{Cluster, Stop};
use usher_tests::figures;
use usher_tests::http::{self, Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::postgres::{self, Database};
use usher_tests::process::{Running, Usher, WAIT_LIMIT};

const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));

async fn send_request(address: &str, path: &str) -> Response {
    let stream = TcpStream::connect(address).await.expect("a connection");
    http::send(stream, &Request::get(path), address)
        .await
        .expect("an answer")
}

fn usher(scratch: &Scratch, url: &str) -> Usher {
    Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args(["--listen", "127.0.0.1:0", "--database", url])
}

/// The program with the component `hostile`.
fn hostile(scratch: &Scratch, url: &str) -> Usher {
    std::fs::write(scratch.path().join("hostile.wasm"), HOSTILE).expect("a file");
    usher(scratch, url).args(["--component", "hostile.wasm", "--no-migrate"])
}

/// PostgreSQL's view of the sessions of the server under test.
async fn sessions(client: &Client, what: &str) -> Vec<String> {
    let statement = format!(
        "SELECT ({what})::text FROM pg_stat_activity LEFT JOIN pg_stat_ssl USING (pid) \
         WHERE application_name = 'usher' AND datname = current_database()"
    );
    let rows = client.query(&statement, &[]).await.expect("an answer");
    rows.iter().map(|row| row.get(0)).collect()
}

/// Waits until the sessions satisfy a condition.
async fn until(client: &Client, what: &str, is_so: impl Fn(&[String]) -> bool) {
    let began = Instant::now();
    loop {
        let found = sessions(client, what).await;
        if is_so(&found) {
            return;
        }
        assert!(began.elapsed() < WAIT_LIMIT, "{what}: {found:?}");
    }
}

/// A server that offers TLS as `localhost`, and a file with the certificate of its authority.
async fn certified(scratch: &Scratch) -> (Cluster, String) {
    let cluster = Cluster::start().unwrap_or_else(|error| panic!("{error}"));
    cluster.certify("localhost");
    cluster.stop(Stop::Fast);
    cluster.restart();
    let client = connect(&cluster).await;
    let read = "SELECT pg_read_file('ca.crt')";
    let certificate: String = client.query_one(read, &[]).await.expect("a file").get(0);
    let file = scratch.file("ca.crt");
    std::fs::write(&file, certificate).expect("a file");
    (cluster, file)
}

async fn connect(cluster: &Cluster) -> Client {
    let (client, connection) = tokio_postgres::connect(&cluster.url(), tokio_postgres::NoTls)
        .await
        .expect("a server that runs");
    // The user of the client sees its end.
    tokio::spawn(async move { drop(connection.await) });
    client
}

#[tokio::test]
async fn connection_security_matches_sslmode() {
    let scratch = Scratch::new();
    let (cluster, authority) = certified(&scratch).await;
    let client = connect(&cluster).await;
    let by_name = cluster.url().replace("127.0.0.1", "localhost");
    for (url, options, encrypted) in [
        (&cluster.url(), String::new(), true),
        (&cluster.url(), "?sslmode=disable".into(), false),
        (&cluster.url(), "?sslmode=prefer".into(), true),
        (&cluster.url(), "?sslmode=require".into(), true),
        // As in libpq: any server with a certificate of the authority, under any name.
        (
            &cluster.url(),
            format!("?sslmode=require&sslrootcert={authority}"),
            true,
        ),
        (
            &by_name,
            format!("?sslmode=verify-full&sslrootcert={authority}"),
            true,
        ),
        // An address instead of a host.
        (
            &by_name,
            format!("?sslmode=verify-full&sslrootcert={authority}&hostaddr=127.0.0.1"),
            true,
        ),
    ] {
        let mut running = usher(&scratch, &format!("{url}{options}")).spawn();
        let address = running.address();
        assert_eq!(
            send_request(&address, "/users/1").await.status,
            404,
            "{options}"
        );
        let found = sessions(&client, "ssl").await;
        assert!(!found.is_empty(), "{options}");
        assert!(
            found.iter().all(|ssl| *ssl == encrypted.to_string()),
            "{options}: {found:?}"
        );
        drop(running);
        until(&client, "pid", <[String]>::is_empty).await;
    }
}

#[tokio::test]
async fn server_with_another_certificate_is_refused() {
    let scratch = Scratch::new();
    let (cluster, authority) = certified(&scratch).await;
    let url = cluster.url();
    let by_name = url.replace("127.0.0.1", "localhost");
    std::fs::write(scratch.path().join("no.crt"), "no certificate").expect("a file");
    let (elsewhere, stranger) = {
        let scratch = Scratch::new();
        let (cluster, file) = certified(&scratch).await;
        let certificate = std::fs::read(&file).expect("a file");
        (cluster, certificate)
    };
    drop(elsewhere);
    let other = scratch.file("other.crt");
    std::fs::write(&other, stranger).expect("a file");
    for (url, message) in [
        // A trusted certificate for another name.
        (
            format!("{url}?sslmode=verify-full&sslrootcert={authority}"),
            "certificate",
        ),
        // The right name, by an unknown authority or by another one.
        (format!("{by_name}?sslmode=verify-full"), "certificate"),
        (
            format!("{by_name}?sslmode=verify-full&sslrootcert={other}"),
            "certificate",
        ),
        (
            format!("{url}?sslmode=require&sslrootcert={other}"),
            "certificate",
        ),
        (
            format!("{url}?sslmode=require&sslrootcert=no.crt"),
            "no.crt",
        ),
        (
            format!("{url}?sslmode=require&sslrootcert=nowhere.crt"),
            "nowhere.crt",
        ),
    ] {
        let ended = usher(&scratch, &url).args(["--database-wait", "0s"]).run();
        assert!(ended.code().is_some_and(|code| code > 0), "{url}");
        assert!(
            ended.only_line().contains(message),
            "{url}: {}",
            ended.only_line()
        );
    }
}

#[tokio::test]
async fn required_tls_is_never_skipped() {
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    let url = |mode: &str| format!("{}?sslmode={mode}", database.url());
    for mode in ["disable", "prefer"] {
        let address = usher(&scratch, &url(mode)).spawn().address();
        assert!(!address.is_empty(), "{mode}");
    }
    for mode in ["require", "verify-full"] {
        let ended = usher(&scratch, &url(mode))
            .args(["--database-wait", "0s"])
            .run();
        assert!(ended.code().is_some_and(|code| code > 0), "{mode}");
        assert!(ended.only_line().contains("TLS"), "{}", ended.only_line());
    }
}

/// The server on a database of the test's own, with a connection to observe it.
async fn watched(options: &[&str]) -> (Scratch, Database, Client, Running, String) {
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    let client = database.connect().await;
    let mut running = hostile(&scratch, database.url())
        .args(options.iter().copied())
        .spawn();
    let address = running.address();
    assert_eq!(send_request(&address, "/table").await.status, 200);
    (scratch, database, client, running, address)
}

#[tokio::test]
async fn sessions_have_a_name_and_a_lifetime() {
    let (_scratch, _database, client, _running, address) =
        watched(&["--workers", "1", "--connection-lifetime", "100ms"]).await;
    let mut seen = BTreeSet::new();
    let began = Instant::now();
    // Both shared and dedicated connections.
    while seen.len() < 6 {
        assert_eq!(send_request(&address, "/count").await.status, 200);
        assert_eq!(send_request(&address, "/rollback").await.status, 200);
        seen.extend(sessions(&client, "pid").await);
        assert!(began.elapsed() < WAIT_LIMIT, "{seen:?}");
    }
    // The replaced connections are closed.
    until(&client, "pid", |now| now.len() <= 4).await;
}

#[tokio::test]
async fn sessions_stay_within_pool_size() {
    let (_scratch, _database, client, _running, address) =
        watched(&["--workers", "1", "--pool-size", "4"]).await;
    let mut requests = tokio::task::JoinSet::new();
    for number in 0..200 {
        let address = address.clone();
        let path = if number % 2 == 0 { "/count" } else { "/commit" };
        requests.spawn(async move { send_request(&address, path).await.status });
    }
    let mut most = 0;
    while let Some(status) = requests.join_next().await {
        assert_eq!(status.expect("it does not panic"), 200);
        most = most.max(sessions(&client, "pid").await.len());
    }
    assert!((1..=4).contains(&most), "{most} sessions");
}

/// The connections to a port of this machine, as Linux reports them: the kind of each timer, and
/// when it is due.
#[cfg(target_os = "linux")]
fn timers(port: u16) -> Vec<(String, Duration)> {
    let table = std::fs::read_to_string("/proc/net/tcp").expect("a table");
    let of = |line: &str| {
        // proc_net_tcp: the third field is the remote address, the fourth the state (1:
        // established), the sixth the timer, in hundredths of a second.
        let fields: Vec<_> = line.split_whitespace().collect();
        let (remote, state, timer) = (fields.get(2)?, fields.get(3)?, fields.get(5)?);
        let (kind, due) = timer.split_once(':')?;
        let due = u64::from_str_radix(due, 16).ok()?;
        (remote.ends_with(&format!(":{port:04X}")) && *state == "01")
            .then(|| (kind.to_owned(), Duration::from_millis(due * 10)))
    };
    table.lines().skip(1).filter_map(of).collect()
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn sessions_have_the_requested_tcp_keepalive() {
    let scratch = Scratch::new();
    let cluster = Cluster::start().unwrap_or_else(|error| panic!("{error}"));
    for (option, least, most) in [("", 7, 30), ("?keepalives_idle=7", 0, 7)] {
        let mut running = usher(&scratch, &format!("{}{option}", cluster.url())).spawn();
        let address = running.address();
        assert_eq!(send_request(&address, "/users/1").await.status, 404);
        let began = Instant::now();
        // While something is being sent another timer runs.
        loop {
            let found = timers(cluster.port());
            assert!(!found.is_empty(), "there is a session");
            if found.iter().all(|(kind, _)| kind == "02") {
                let expected = Duration::from_secs(least)..=Duration::from_secs(most);
                assert!(
                    found.iter().all(|(_, due)| expected.contains(due)),
                    "{found:?}"
                );
                break;
            }
            assert!(began.elapsed() < WAIT_LIMIT, "{found:?}");
        }
    }
}

/// A server that accepts connections and never sends anything.
#[tokio::test]
async fn silent_server_is_given_up_after_connect_timeout() {
    let scratch = Scratch::new();
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let url = format!("postgres://me:secret@127.0.0.1:{port}/users");
    let ended = usher(&scratch, &url)
        .args(["--connect-timeout", "200ms", "--database-wait", "0s"])
        .run();
    assert_eq!(ended.code(), Some(1));
    let line = ended.only_line();
    assert!(line.contains("no connection within 200ms"), "{line}");
}

#[tokio::test]
async fn request_without_database_takes_no_connection() {
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    let client = database.connect().await;
    let mut running = usher(&scratch, database.url())
        .args(["--no-migrate"])
        .spawn();
    let address = running.address();
    // The start connects once, to check that the database is there.
    until(&client, "pid", <[String]>::is_empty).await;
    for (path, status) in [("/users/x", 422), ("/nowhere", 404), ("/openapi.json", 200)] {
        assert_eq!(send_request(&address, path).await.status, status, "{path}");
    }
    assert!(sessions(&client, "pid").await.is_empty());
    // A request with the database returns that there is no table, and leaves a connection.
    assert_eq!(send_request(&address, "/users/1").await.status, 500);
    assert!(!sessions(&client, "pid").await.is_empty());
}

#[tokio::test]
async fn wait_for_a_connection_ends_after_pool_wait() {
    let (_scratch, _database, _client, _running, address) =
        watched(&["--workers", "1", "--pool-size", "2", "--pool-wait", "200ms"]).await;
    let holder = tokio::spawn({
        let address = address.clone();
        async move { send_request(&address, "/begun-loop").await }
    });
    let overloaded = async {
        loop {
            let began = Instant::now();
            let answer = send_request(&address, "/commit-and-report").await;
            if answer.status == 503 {
                assert_eq!(answer.text(), "Error::Overloaded");
                assert!(began.elapsed() >= Duration::from_millis(200));
                return;
            }
        }
    };
    tokio::time::timeout(WAIT_LIMIT, overloaded)
        .await
        .expect("there is one connection, and it is taken");
    // A request without a connection of its own is served.
    assert_eq!(send_request(&address, "/count").await.status, 200);
    holder.abort();
    let free = async { while send_request(&address, "/commit").await.status != 200 {} };
    tokio::time::timeout(WAIT_LIMIT, free)
        .await
        .expect("the client left, and its transaction with it");
}

/// From outside: no session sleeps any more, long before the statement would have ended by itself.
#[tokio::test]
async fn overdue_or_abandoned_statement_is_cancelled_on_postgresql() {
    let (_scratch, _database, client, _running, address) =
        watched(&["--request-timeout", "1500ms"]).await;
    let sleeping = "wait_event IS NOT DISTINCT FROM 'PgSleep'";
    let some = |found: &[String]| found.iter().any(|sleeps| sleeps == "true");
    for path in ["/slow-alone", "/slow-statement"] {
        let request = tokio::spawn({
            let address = address.clone();
            async move { send_request(&address, path).await.status }
        });
        until(&client, sleeping, some).await;
        assert_eq!(request.await.expect("it does not panic"), 504, "{path}");
        until(&client, sleeping, |found| !some(found)).await;

        let left = tokio::spawn({
            let address = address.clone();
            async move { send_request(&address, path).await }
        });
        until(&client, sleeping, some).await;
        left.abort();
        until(&client, sleeping, |found| !some(found)).await;
    }
}

/// From outside: the process uses no more processor time.
#[tokio::test]
async fn overdue_or_abandoned_statement_is_cancelled_on_sqlite() {
    let scratch = Scratch::new();
    let mut running = hostile(&scratch, "sqlite:users.db")
        .args(["--request-timeout", "500ms"])
        .spawn();
    let address = running.address();
    assert_eq!(send_request(&address, "/table").await.status, 200);
    for path in ["/slow-alone", "/slow-statement"] {
        assert_eq!(send_request(&address, path).await.status, 504, "{path}");
        let left = tokio::time::timeout(Duration::from_millis(100), send_request(&address, path));
        left.await.expect_err("it takes longer");
        let began = Instant::now();
        loop {
            let before = running.processor_time();
            tokio::time::sleep(Duration::from_millis(200)).await;
            if running.processor_time().saturating_sub(before) < Duration::from_millis(100) {
                break;
            }
            assert!(began.elapsed() < WAIT_LIMIT, "{path} runs on");
        }
    }
}

#[tokio::test]
async fn row_of_any_size_uses_no_more_memory_than_the_limit() {
    let (_scratch, _database, _client, running, address) =
        watched(&["--workers", "1", "--max-rows-bytes", "1MiB"]).await;
    let before = running.most_resident_bytes();
    for path in ["/giant", "/giant-error"] {
        let answer = send_request(&address, path).await;
        assert!(
            answer.text().contains("TooLarge(1"),
            "{path}: {}",
            answer.text()
        );
        // The connection is still usable.
        assert_eq!(send_request(&address, "/count").await.text(), "0");
    }
    let grown = running.most_resident_bytes() - before;
    figures::print(
        "a value of 300 MB",
        &format!("{} KiB more memory at most", grown >> 10),
    );
    assert!(grown < 16 << 20, "{grown} bytes more");
}
