//! A server process, a database of its own, and clients that write continuously.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use usher_tests::cluster::Cluster;
use usher_tests::figures;
use usher_tests::http::{self, Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::pgbouncer::{PgBouncer, Pooling};
use usher_tests::process::{Running, Usher, WAIT_LIMIT};
use usher_tests::proxy::Proxy;

use super::ledger::{Ledger, Outcome, State};

/// How many clients write at once.
const CLIENTS: usize = 8;

/// The promise under test: within this time of the database's return, reads and writes are served
/// again.
const RECOVERY: Duration = Duration::from_secs(2);

/// How long processor time is measured while the database is away and requests are slow.
const WINDOW: Duration = Duration::from_secs(1);

/// The interval between slow requests.
const WALK: Duration = Duration::from_millis(50);

/// The fixture of every test with an outage.
pub(super) struct Bench {
    pub(super) cluster: Arc<Cluster>,
    pub(super) proxy: Proxy,
    pub(super) running: Running,
    pub(super) address: String,
    pooler: Option<Arc<Mutex<PgBouncer>>>,
    _scratch: Scratch,
}

/// The role of the server, with no more privileges than it needs.
pub(super) const CLERK: &str = "clerk";

/// A durable cluster with a role for the server. Other tests switch durability off, which makes
/// them faster.
pub(super) async fn cluster() -> Arc<Cluster> {
    let cluster = blocking(|| Cluster::start().unwrap_or_else(|error| panic!("{error}"))).await;
    let client = connect(&cluster.url()).await;
    client
        .batch_execute(
            "ALTER DATABASE postgres SET synchronous_commit = on; \
             CREATE ROLE clerk LOGIN PASSWORD 'clerk'; GRANT CREATE ON SCHEMA public TO clerk",
        )
        .await
        .expect("a superuser may");
    Arc::new(cluster)
}

/// Runs blocking work on a thread of its own, while the clients continue.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
}

/// Opens a connection for the test, closed when the client is dropped.
pub(super) async fn connect(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
        .await
        .expect("a server that runs");
    // The user of the client sees its end.
    tokio::spawn(async move { drop(connection.await) });
    client
}

/// The URL of the cluster's database for the role `clerk`.
fn clerk(cluster: &Cluster) -> String {
    format!(
        "postgres://{CLERK}:clerk@127.0.0.1:{}/postgres",
        cluster.port()
    )
}

impl Bench {
    /// The server, with these options, on a new cluster behind a proxy.
    pub(super) async fn new(options: &[&str]) -> Self {
        Self::on(cluster().await, options).await
    }

    /// The server, with these options, on this cluster behind a proxy.
    pub(super) async fn on(cluster: Arc<Cluster>, options: &[&str]) -> Self {
        let url = clerk(&cluster);
        Self::by(cluster, &url, None, options).await
    }

    /// The server on a new cluster, behind a proxy, behind a pooler that reconnects as soon as its
    /// server is back.
    pub(super) async fn pooled(pooling: Pooling) -> Self {
        let cluster = cluster().await;
        let url = clerk(&cluster);
        let pooler =
            blocking(move || PgBouncer::start(&url, pooling, &["server_login_retry = 0.2"])).await;
        let url = pooler.url();
        let pooler = Some(Arc::new(Mutex::new(pooler)));
        Self::by(cluster, &url, pooler, &[]).await
    }

    /// The server, with these options, on the database of this URL behind a proxy.
    async fn by(
        cluster: Arc<Cluster>,
        url: &str,
        pooler: Option<Arc<Mutex<PgBouncer>>>,
        options: &[&str],
    ) -> Self {
        let scratch = Scratch::new();
        let config: tokio_postgres::Config = url.parse().expect("a URL");
        let port = config.get_ports().first().copied().expect("a port");
        let server = SocketAddr::from(([127, 0, 0, 1], port));
        let proxy = Proxy::start(server).await.expect("a port");
        let mut running = Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
            .current_dir(scratch.path())
            .env("DATABASE_URL", &proxy.url(url))
            .args(["--listen", "127.0.0.1:0"])
            .args(options.iter().copied())
            .spawn();
        let (running, address) = blocking(move || {
            let address = running.address();
            (running, address)
        })
        .await;
        Self {
            cluster,
            proxy,
            running,
            address,
            pooler,
            _scratch: scratch,
        }
    }

    /// Runs a blocking operation on the pooler.
    pub(super) async fn order_pooler(&self, order: impl FnOnce(&mut PgBouncer) + Send + 'static) {
        let pooler = Arc::clone(self.pooler.as_ref().expect("a server behind a pooler"));
        blocking(move || order(&mut pooler.lock().unwrap_or_else(PoisonError::into_inner))).await;
    }

    /// Connects as the superuser, not through the proxy.
    pub(super) async fn superuser(&self) -> tokio_postgres::Client {
        connect(&self.cluster.url()).await
    }

    /// Runs a blocking operation on the cluster.
    pub(super) async fn order(&self, order: impl FnOnce(&Cluster) + Send + 'static) {
        let cluster = Arc::clone(&self.cluster);
        blocking(move || order(&cluster)).await;
    }

    /// Sends one request.
    pub(super) async fn send_request(&self, request: &Request) -> Response {
        send_request(&self.address, request)
            .await
            .expect("an answer")
    }

    /// Starts the clients.
    pub(super) fn load(&self) -> Load {
        let shared = Arc::new(Shared::default());
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            clients.spawn(client(number, self.address.clone(), Arc::clone(&shared)));
        }
        Load { shared, clients }
    }

    /// Sends slow requests while the database is away, and returns the processor time that the
    /// server used.
    pub(super) async fn walk(&self) -> Duration {
        let before = self.running.processor_time();
        let end = Instant::now() + WINDOW;
        let mut steps = tokio::time::interval(WALK);
        while Instant::now() < end {
            steps.tick().await;
            let answer = self.send_request(&Request::get("/users/1")).await;
            assert!(
                matches!(answer.status, 200 | 404 | 503 | 504),
                "{} {}",
                answer.status,
                answer.text()
            );
        }
        let took = self.running.processor_time().saturating_sub(before);
        assert!(
            took < WINDOW / 2,
            "{took:?} of processor time in {WINDOW:?}: it runs in circles"
        );
        took
    }

    /// Waits until both reads and writes are served, and returns how long that took since `back`.
    pub(super) async fn recovered(&self, back: Instant) -> Duration {
        let write = Request::new("DELETE", "/users/999999999");
        let read = Request::get("/users/999999999");
        let served = async {
            // Every core recovers by itself, and writes use other connections than reads.
            let mut in_a_row = 0;
            while in_a_row < 8 {
                let mut served = true;
                for request in [&read, &write] {
                    served &= self.send_request(request).await.status == 404;
                }
                in_a_row = if served { in_a_row + 1 } else { 0 };
            }
        };
        tokio::time::timeout(WAIT_LIMIT, served)
            .await
            .expect("it recovers by itself");
        let took = back.elapsed();
        assert!(took < RECOVERY, "it took {took:?} to recover");
        took
    }

    /// Stops the clients, and compares the ledger with the database.
    pub(super) async fn settle(&self, load: Load) -> String {
        let ledger = load.stop().await;
        let rows = self
            .superuser()
            .await
            .query(
                "SELECT email, name, version FROM users WHERE email LIKE '%.example.org'",
                &[],
            )
            .await
            .expect("the users");
        let count = rows.len();
        let there: BTreeMap<String, State> = rows
            .iter()
            .map(|row| {
                let (email, name, version) = (row.get(0), row.get(1), row.get(2));
                (email, State { name, version })
            })
            .collect();
        assert_eq!(there.len(), count, "an address is there twice");
        let faults = ledger.faults(there);
        assert!(
            faults.is_empty(),
            "{ledger}: {} things are wrong, such as:\n{}",
            faults.len(),
            faults[..faults.len().min(20)].join("\n")
        );
        ledger.to_string()
    }

    /// One outage under load: interrupts the database, waits for the effect, measures, restores it,
    /// and compares the ledger with the database. Prints a line of figures.
    pub(super) async fn outage(
        &self,
        name: &str,
        strike: impl AsyncFnOnce(&Self),
        heal: impl AsyncFnOnce(&Self),
    ) {
        let load = self.load();
        load.until("writes are done", |ledger| {
            ledger.count(Outcome::Done) >= 100
        })
        .await;
        strike(self).await;
        let before = load.ledger().count_undone();
        load.until("the outage is felt", |ledger| {
            ledger.count_undone() >= before + 20
        })
        .await;
        load.pause(true).await;
        let processor = self.walk().await;
        let done = load.ledger().count(Outcome::Done);
        load.pause(false).await;
        heal(self).await;
        let recovered = self.recovered(Instant::now()).await;
        load.until("writes are done again", |ledger| {
            ledger.count(Outcome::Done) >= done + 100
        })
        .await;
        let counted = self.settle(load).await;
        figures::print(
            &format!("the outage {name}"),
            &format!(
                "{counted}; served again after {recovered:?}; {processor:?} of processor time in \
                    {WINDOW:?} without the database"
            ),
        );
    }
}

/// Sends one request on a connection of its own.
pub(super) async fn send_request(address: &str, request: &Request) -> std::io::Result<Response> {
    let stream = TcpStream::connect(address).await?;
    http::send(stream, request, address).await
}

#[derive(Debug, Default)]
struct Shared {
    ledger: Mutex<Ledger>,
    over: AtomicBool,
    paused: AtomicBool,
    /// The number of clients with a request in flight.
    busy: std::sync::atomic::AtomicUsize,
}

impl Shared {
    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Clients that write, and read what they wrote, until they are stopped.
pub(super) struct Load {
    shared: Arc<Shared>,
    clients: JoinSet<()>,
}

impl Load {
    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.shared.ledger()
    }

    /// Waits until the ledger satisfies a condition.
    pub(super) async fn until(&self, what: &str, is_so: impl Fn(&Ledger) -> bool) {
        let waiting = async {
            while !is_so(&self.ledger()) {
                tokio::task::yield_now().await;
            }
        };
        let waited = tokio::time::timeout(WAIT_LIMIT, waiting).await;
        assert!(
            waited.is_ok(),
            "waited in vain until {what}: {}",
            self.ledger()
        );
    }

    /// Pauses the clients and waits until all have stopped, or resumes them.
    pub(super) async fn pause(&self, paused: bool) {
        self.shared.paused.store(paused, Relaxed);
        let resting = async {
            while paused && self.shared.busy.load(Relaxed) > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(WAIT_LIMIT, resting)
            .await
            .expect("every request is answered");
    }

    async fn stop(self) -> Ledger {
        self.shared.over.store(true, Relaxed);
        self.clients.join_all().await;
        std::mem::take(&mut *self.shared.ledger())
    }
}

/// Creates users, changes and reads them, and deletes every other one.
async fn client(number: usize, address: String, shared: Arc<Shared>) {
    for user in 0.. {
        if shared.over.load(Relaxed) {
            return;
        }
        user_life(number, user, &address, &shared).await;
    }
}

async fn user_life(number: usize, user: u32, address: &str, shared: &Shared) {
    let email = format!("u{user}@c{number}.example.org");
    let name = |version: i64| format!("{number} {user} {version}");
    // In order, each until it is done; after a result in doubt the user is left as it is.
    let send = async |request: Request, after: Option<State>| loop {
        let answer = send(address, &request, shared).await?;
        match shared.ledger().wrote(&email, after.clone(), &answer)? {
            Outcome::Done => return Some(answer),
            Outcome::Refused if !shared.over.load(Relaxed) => {}
            Outcome::Refused | Outcome::InDoubt | Outcome::Late => return None,
        }
    };
    let state = |version| {
        Some(State {
            name: name(version),
            version,
        })
    };
    let body = json!({"name": name(1), "email": email});
    let Some(created) = send(Request::post("/users/", &body), state(1)).await else {
        return;
    };
    let path = format!("/users/{}", created.json()["id"]);
    for version in 2..=4 {
        let body = json!({"name": name(version)}).to_string();
        let request = Request::new("PATCH", &path)
            .header("content-type", "application/json")
            .body(body);
        if send(request, state(version)).await.is_none() {
            return;
        }
        if let Some(answer) = self::send(address, &Request::get(&path), shared).await {
            shared.ledger().read(&email, &name(version), &answer);
        }
    }
    if user % 2 == 1 {
        send(Request::new("DELETE", &path), None).await;
    }
}

/// Sends a request unless the clients are paused. The server must respond, whatever the database
/// does.
async fn send(address: &str, request: &Request, shared: &Shared) -> Option<Response> {
    loop {
        shared.busy.fetch_add(1, Relaxed);
        if !shared.paused.load(Relaxed) {
            break;
        }
        shared.busy.fetch_sub(1, Relaxed);
        if shared.over.load(Relaxed) {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let answer = send_request(address, request).await;
    shared.busy.fetch_sub(1, Relaxed);
    match answer {
        Ok(answer) => Some(answer),
        Err(error) => {
            shared
                .ledger()
                .went_wrong(format!("{} {}: {error}", request.method, request.path));
            None
        }
    }
}
