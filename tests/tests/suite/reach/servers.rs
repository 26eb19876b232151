//! Which of several servers is used.

use std::net::TcpListener;
use std::time::{Duration, Instant};

use tokio::net::TcpStream;
use usher_tests::cluster::Stop;
use usher_tests::janitor::Scratch;
use usher_tests::process::WAIT_LIMIT;
use usher_tests::proxy::{Conditions, Proxy};
use usher_tests::{figures, postgres};

use super::{
    RECOVERY, cluster, connect, refused, refuses, send, send_request, serves, unused_number, usher,
    web_server, write,
};

/// A server that accepts connections and never sends anything.
fn silent() -> (TcpListener, u16) {
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    (silent, port)
}

/// A port whose connections are dropped silently, because its queue is full and not accepted from.
async fn dropping() -> (Vec<Box<dyn Send>>, u16) {
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket
        .bind(([127, 0, 0, 1], 0).into())
        .expect("a free port");
    let listener = socket.listen(1).expect("a queue");
    let address = listener.local_addr().expect("an address");
    let mut kept: Vec<Box<dyn Send>> = vec![Box::new(listener)];
    let wait = Duration::from_millis(300);
    while let Ok(stream) = tokio::time::timeout(wait, TcpStream::connect(address)).await {
        kept.push(Box::new(stream.expect("room in the queue")));
    }
    (kept, address.port())
}

/// Waits for a result of this kind, and returns how long that took.
async fn until(address: &str, is_it: impl AsyncFn(&str) -> bool) -> Duration {
    let began = Instant::now();
    while !is_it(address).await {
        assert!(began.elapsed() < WAIT_LIMIT);
    }
    began.elapsed()
}

#[tokio::test]
async fn silent_first_host_is_skipped_at_start() {
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    let ((_kept, silent), (_taken, refused)) = (silent(), refused());
    let (_full, dropping) = dropping().await;
    let web_server = web_server();
    let url = |hosts: &str, query: &str| {
        let url = database.url().replace("postgres://", "");
        let (credentials, rest) = url.split_once('@').expect("a password");
        let (place, name) = rest.split_once('/').expect("a database");
        format!(
            "postgres://{credentials}@{}/{name}{query}",
            hosts.replace("WELL", place)
        )
    };
    let alone = {
        let began = Instant::now();
        serves(usher(&scratch, &url("WELL", "")), "alone").await;
        began.elapsed()
    };
    for (hosts, query) in [
        (format!("127.0.0.1:{silent},WELL"), ""),
        (format!("127.0.0.1:{silent},WELL"), "?connect_timeout=2"),
        (format!("127.0.0.1:{silent},WELL"), "?connect_timeout=60"),
        (
            format!("127.0.0.1:{refused},127.0.0.1:{silent},WELL"),
            "?load_balance_hosts=random",
        ),
        (
            format!("127.0.0.1:{silent},127.0.0.1:{refused},127.0.0.1:{silent},WELL"),
            "?target_session_attrs=read-write",
        ),
        (format!("127.0.0.1:{dropping},WELL"), ""),
        (format!("127.0.0.1:{web_server},WELL"), ""),
    ] {
        let url = url(&hosts, query);
        let began = Instant::now();
        serves(usher(&scratch, &url), &url).await;
        let late = began.elapsed().saturating_sub(alone);
        figures::print(
            "a silent host before the well one",
            &format!("{late:?} later"),
        );
        assert!(late < RECOVERY, "{url}: {late:?} later than without");
    }
}

/// Nothing is closed: statements are sent, and nothing is returned.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_with_silent_sessions_is_replaced_within_two_seconds() {
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    let direct = database.url();
    let server = direct
        .split('@')
        .nth(1)
        .and_then(|rest| rest.split('/').next());
    let server = server.expect("an address").to_owned();
    let proxy = Proxy::start(server.parse().expect("an address"))
        .await
        .expect("a port");
    let url = direct.replace(&server, &format!("{},{server}", proxy.address()));
    let (_running, address) = serves(usher(&scratch, &url).args(["--workers", "1"]), &url).await;
    for number in 0..8 {
        assert_eq!(send(&address, &write(number)).await.status, 200);
        assert_eq!(send_request(&address, "/users/?limit=2").await.status, 200);
    }
    assert!(proxy.connections() > 0, "the first host is preferred");
    proxy.set(Conditions {
        stalled: true,
        ..Conditions::default()
    });
    let reads = until(&address, async |address| {
        send_request(address, "/users/1").await.status == 200
    })
    .await;
    let writes = until(&address, async |address| {
        let number = 100 + usize::from(unused_number());
        send(address, &write(number)).await.status == 200
    })
    .await;
    figures::print(
        "a server falls silent",
        &format!("reads after {reads:?}, writes {writes:?} later"),
    );
    assert!(
        reads + writes < RECOVERY + Duration::from_secs(1),
        "{reads:?}, {writes:?}"
    );
    // Once it is back it is preferred again, for new connections.
    proxy.set(Conditions::default());
}

#[tokio::test]
async fn target_session_attrs_choose_among_servers_as_in_libpq() {
    let scratch = Scratch::new();
    let (primary, standby) = (cluster(), cluster());
    // Both have the schema before one of them stops accepting writes.
    for cluster in [&primary, &standby] {
        serves(usher(&scratch, &cluster.url()), "one server").await;
        let client = connect(&cluster.url()).await;
        for change in [
            "ALTER SYSTEM SET wal_level = replica",
            "ALTER ROLE usher PASSWORD 'usher'",
        ] {
            client.batch_execute(change).await.expect("a superuser may");
        }
    }
    // The setting has to be in force before the server is stopped to become a standby.
    standby.stop(Stop::Fast);
    standby.restart();
    standby.stop(Stop::Fast);
    standby.restart_as_standby();
    let (_kept, silent) = silent();
    let url = |query: &str| {
        format!(
            "postgres://usher:usher@127.0.0.1:{silent},127.0.0.1:{},127.0.0.1:{}/postgres?{query}",
            standby.port(),
            primary.port()
        )
    };
    for (requested, port) in [
        ("any", standby.port()),
        ("read-write", primary.port()),
        ("primary", primary.port()),
        ("standby", standby.port()),
        ("read-only", standby.port()),
        ("prefer-standby", standby.port()),
    ] {
        let url = url(&format!("target_session_attrs={requested}"));
        let start = usher(&scratch, &url).args(["--no-migrate", "--workers", "1"]);
        let (_running, _address) = serves(start, requested).await;
        let url = format!("postgres://usher:usher@127.0.0.1:{port}/postgres");
        let client = connect(&url).await;
        let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'usher'";
        let found: i64 = client
            .query_one(count, &[])
            .await
            .expect("an answer")
            .get(0);
        assert!(found > 0, "{requested}");
    }
    // No session on another server may exist.
    let alone = format!(
        "postgres://usher:usher@127.0.0.1:{}/postgres?target_session_attrs=primary",
        standby.port()
    );
    let start = usher(&scratch, &alone).args(["--database-wait", "0s"]);
    let ended = refuses(start, &alone, &["standby", "target_session_attrs"]);
    assert_eq!(ended.code(), Some(1));
    let (_running, _) = serves(
        usher(&scratch, &alone.replace("=primary", "=prefer-standby")).args(["--no-migrate"]),
        "prefer-standby",
    )
    .await;
}
