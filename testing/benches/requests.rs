//! Requests in process, without sockets and without parsing HTTP, over a database in memory: `cargo
//! bench -p usher-testing --bench requests`.
//!
//! The figures are wall-clock time, so compare only parts of one run. `benches/instructions/run`
//! counts instructions, which are the same on every machine, and the programs of `benches/` compare
//! whole servers.

use std::num::NonZeroU32;

use divan::{Bencher, black_box};
use http::StatusCode;
use tokio::runtime::Runtime;
use usher_testing::{Builder, TestApp};

/// The program's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

/// A service with a hundred users, and its runtime.
struct Bench {
    runtime: Runtime,
    app: TestApp,
}

impl Bench {
    fn new(builder: Builder) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime");
        let app = runtime.block_on(builder.start()).expect("a service");
        let bench = Self { runtime, app };
        for number in 0..100 {
            assert_eq!(bench.create(number), StatusCode::OK);
        }
        bench
    }

    fn get(&self, path: &str) -> StatusCode {
        let answer = self.runtime.block_on(self.app.get(path).into_future());
        answer.expect("an answer").status()
    }

    fn create(&self, number: u64) -> StatusCode {
        let user = format!(r#"{{"name":"Ada","email":"ada{number}@example.org"}}"#);
        let request = self.app.post("/users/").json_text(user);
        let answer = self.runtime.block_on(request.into_future());
        answer.expect("an answer").status()
    }
}

/// A `GET` of a path.
fn get(bencher: Bencher<'_, '_>, builder: Builder, path: &str, status: StatusCode) {
    let bench = Bench::new(builder);
    assert_eq!(bench.get(path), status);
    bencher.bench_local(|| bench.get(black_box(path)));
}

/// The call of an instance and the routing of a request: no statement runs.
#[divan::bench]
fn a_path_that_no_route_knows(bencher: Bencher<'_, '_>) {
    get(
        bencher,
        TestApp::builder(),
        "/nothing",
        StatusCode::NOT_FOUND,
    );
}

#[divan::bench]
fn get_of_one_user(bencher: Bencher<'_, '_>) {
    get(bencher, TestApp::builder(), "/users/1", StatusCode::OK);
}

#[divan::bench]
fn get_of_one_user_by_a_fresh_instance(bencher: Bencher<'_, '_>) {
    let builder = TestApp::builder().instance_reuse(NonZeroU32::MIN);
    get(bencher, builder, "/users/1", StatusCode::OK);
}

/// The path that other hosts use, with resources and streams.
#[divan::bench]
fn get_of_one_user_by_the_incoming_handler(bencher: Bencher<'_, '_>) {
    let builder = TestApp::builder().via_incoming_handler();
    get(bencher, builder, "/users/1", StatusCode::OK);
}

#[divan::bench]
fn get_of_100_users(bencher: Bencher<'_, '_>) {
    get(
        bencher,
        TestApp::builder(),
        "/users/?limit=100",
        StatusCode::OK,
    );
}

#[divan::bench]
fn post(bencher: Bencher<'_, '_>) {
    let bench = Bench::new(TestApp::builder());
    let mut next = 100..;
    bencher.bench_local(|| next.next().map(|number| bench.create(number)));
}

/// The cost that a request has in addition if it needs a new instance.
#[divan::bench]
fn an_instance(bencher: Bencher<'_, '_>) {
    let bench = Bench::new(TestApp::builder());
    bencher.bench_local(|| bench.runtime.block_on(bench.app.typed()).is_ok());
}

/// What a test pays: an application with a database of its own, a create and a get.
#[divan::bench]
fn an_application_with_a_create_and_a_get(bencher: Bencher<'_, '_>) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let once = async || {
        let app = TestApp::start("memory:").await.expect("a service");
        let ann = r#"{"name":"Ann","email":"ann@example.org"}"#;
        let created = app.post("/users/").json_text(ann).await.expect("an answer");
        let read = app.get("/users/1").await.expect("an answer");
        assert_eq!(
            (created.status(), read.status()),
            (StatusCode::OK, StatusCode::OK)
        );
    };
    bencher.bench_local(|| runtime.block_on(once()));
}
