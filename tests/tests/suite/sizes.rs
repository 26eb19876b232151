//! Every user that can be stored can be listed, however large: pages and batches are bounded by
//! bytes as well as by count.

use serde_json::{Value, json};
use tokio::net::TcpStream;
use usher_tests::http::{self, Request, Response};
use usher_tests::janitor::Scratch;
use usher_tests::process::Usher;

use crate::databases::{ALL, Kind};
use crate::listing::next;
use crate::service::{Service, is, on_each, sending};

/// The longest name that fits a body of 1 MiB.
const LONGEST: usize = (1 << 20) - 64;

/// The size of a page, which the response for one user alone may exceed.
const PAGE: usize = 1 << 20;

/// A user of a test, as stored and as listed.
#[derive(Clone, Debug, PartialEq, Eq)]
struct User {
    name: String,
    email: String,
}

impl User {
    fn new(number: usize, name: String) -> Self {
        Self {
            name,
            email: format!("u{number}@example.org"),
        }
    }

    fn body(&self) -> Value {
        json!({"name": self.name, "email": self.email})
    }
}

/// Names of all sizes in mixed order: many long ones, many that are six times as long in JSON, and
/// short ones.
fn mixed() -> Vec<User> {
    let mut sizes: Vec<(usize, char)> = Vec::new();
    sizes.extend([(LONGEST, 'n'); 6]);
    sizes.extend([(150_000, '\u{1}'); 12]);
    sizes.extend([(LONGEST / 6, '\u{1f}'); 2]);
    sizes.extend([(LONGEST / 2, '"'); 2]);
    sizes.extend([(70_000, 'é'), (0, 'x'), (1, '\n'), (65_536, 'y')]);
    sizes.extend([(20, 's'); 60]);
    let mut state = 20_261_127_u64;
    for end in (1..sizes.len()).rev() {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let other = usize::try_from(state >> 33).expect("31 bits") % (end + 1);
        sizes.swap(end, other);
    }
    let named = sizes.into_iter().enumerate();
    let named =
        named.map(|(number, (size, letter))| User::new(number, letter.to_string().repeat(size)));
    named.collect()
}

/// The users of a page or of an NDJSON list, by ascending id.
fn users(listed: &[Value]) -> Vec<User> {
    let text = |user: &Value, field: &str| user[field].as_str().expect("a text").to_owned();
    let ids: Vec<i64> = listed
        .iter()
        .filter_map(|user| user["id"].as_i64())
        .collect();
    assert!(ids.is_sorted_by(|one, next| one < next), "{ids:?}");
    let user = |user: &Value| User {
        name: text(user, "name"),
        email: text(user, "email"),
    };
    listed.iter().map(user).collect()
}

#[track_caller]
fn page(response: &Response) -> Vec<Value> {
    assert_eq!(response.status, 200, "{}", start_of(response));
    let one = response
        .json()
        .as_array()
        .is_some_and(|users| users.len() == 1);
    assert!(
        one || response.body.len() <= PAGE + 2,
        "{}",
        response.body.len()
    );
    response.json().as_array().expect("an array").clone()
}

fn start_of(response: &Response) -> String {
    response.text().chars().take(200).collect()
}

/// Follows all pages from a first one.
async fn walk(service: &Service, first: &str) -> Vec<User> {
    let mut path = first.to_owned();
    let mut listed = Vec::new();
    loop {
        let answer = service.get(&path).await;
        listed.extend(page(&answer));
        match next(&answer) {
            Some(next) => path = next,
            None => return users(&listed),
        }
    }
}

async fn lines(service: &Service) -> Vec<User> {
    let request = Request::get("/users/").header("accept", "application/x-ndjson");
    let answer = service.send_request(&request).await;
    assert_eq!(answer.status, 200);
    let listed: Vec<Value> = answer
        .text()
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    users(&listed)
}

async fn store(service: &Service, users: &[User]) {
    for user in users {
        let stored = service.send("POST", "/users/", &user.body()).await;
        assert_eq!(stored.status, 200, "{}", start_of(&stored));
    }
}

/// Expects exactly these users, without a megabyte in the message otherwise.
#[track_caller]
fn are(found: &[User], expected: &[User], what: &str) {
    let sizes =
        |users: &[User]| -> Vec<usize> { users.iter().map(|user| user.name.len()).collect() };
    assert_eq!(sizes(found), sizes(expected), "{what}");
    assert!(found == expected, "{what}");
}

#[tokio::test]
async fn pages_with_names_of_any_size_have_every_user_once() {
    let mixed = mixed();
    on_each(async |service| {
        store(service, &mixed).await;
        are(&walk(service, "/users/").await, &mixed, "pages");
        are(&lines(service).await, &mixed, "lines");
    })
    .await;
}

#[tokio::test]
async fn largest_user_is_returned_by_every_operation() {
    on_each(async |service| {
        for (number, (size, letter)) in [(LONGEST, 'n'), (LONGEST / 6, '\u{1}'), (LONGEST / 2, '"')]
            .into_iter()
            .enumerate()
        {
            let user = User::new(number, letter.to_string().repeat(size));
            let id = service.create("short", "short@example.org").await;
            let path = format!("/users/{id}");
            let expected = json!({"id": id, "name": user.name, "email": user.email});
            is(
                &service.send("PUT", &path, &user.body()).await,
                200,
                &expected,
            );
            is(&service.get(&path).await, 200, &expected);
            let name = json!({"name": user.name});
            is(&service.send("PATCH", &path, &name).await, 200, &expected);
            let found = service.get(&format!("/users/?email={}", user.email)).await;
            is(&found, 200, &json!([expected]));
            assert_eq!(next(&found), None);
        }
    })
    .await;
}

#[tokio::test]
async fn pages_shrink_to_max_rows_bytes() {
    for kind in ALL {
        let fresh = kind.fresh().await;
        let database = fresh.open(|config| config.max_rows_bytes = 100_000).await;
        let app = usher_testing::TestApp::builder().database(database);
        let app = app.start().await.expect("it starts");
        let mut expected = Vec::new();
        for (number, size) in [60_000, 10, 60_000, 99_000, 20, 30_000, 60_000, 99_000]
            .into_iter()
            .enumerate()
        {
            let user = User::new(number, "n".repeat(size));
            let stored = sending("POST", "/users/", &user.body());
            let stored = http::send(app.connect(), &stored, "test").await;
            assert_eq!(stored.expect("an answer").status, 200, "on {kind:?}");
            expected.push(user);
        }
        for first in ["/users/", "/users/?limit=2", "/users/?limit=1000"] {
            let (mut path, mut listed) = (Some(first.to_owned()), Vec::new());
            while let Some(target) = path {
                let answer = http::send(app.connect(), &Request::get(&target), "test").await;
                let answer = answer.expect("an answer");
                listed.extend(page(&answer));
                path = next(&answer);
            }
            are(&users(&listed), &expected, &format!("{first} on {kind:?}"));
        }
        drop(app);
        fresh.end().await;
    }
}

#[tokio::test]
async fn page_ends_before_a_user_over_max_rows_bytes() {
    for kind in [Kind::File, Kind::Postgres] {
        let fresh = kind.fresh().await;
        let database = fresh.open(|config| config.max_rows_bytes = 4 << 20).await;
        let app = usher_testing::TestApp::builder().database(database);
        let app = app.start().await.expect("it starts");
        for number in 1..=4 {
            let user = User::new(number, "n".repeat(500_000)).body();
            let stored = sending("POST", "/users/", &user);
            let stored = http::send(app.connect(), &stored, "test").await;
            assert_eq!(stored.expect("an answer").status, 200);
        }
        drop(app);
        let database = fresh.open(|config| config.max_rows_bytes = 510_000).await;
        let wider = fresh.open(|config| config.max_rows_bytes = 4 << 20).await;
        let wider = usher_testing::TestApp::builder().database(wider);
        let wider = wider.start().await.expect("it starts");
        let large = json!({"name": "n".repeat(600_000)});
        let changed = sending("PATCH", "/users/3", &large);
        let changed = http::send(wider.connect(), &changed, "test").await;
        assert_eq!(changed.expect("an answer").status, 200);
        let app = usher_testing::TestApp::builder().database(database);
        let app = app.start().await.expect("it starts");
        let get = async |path: &str| {
            let answer = http::send(app.connect(), &Request::get(path), "test").await;
            answer.expect("an answer")
        };
        // Users before and after it are still listed.
        let first = get("/users/").await;
        assert_eq!(page(&first).len(), 2, "on {kind:?}");
        assert_eq!(get(&next(&first).expect("there is more")).await.status, 500);
        let last = get("/users/?after=3").await;
        assert_eq!((page(&last).len(), next(&last)), (1, None));
        drop((app, wider));
        fresh.end().await;
    }
}

/// A request with the largest user that fits a body, in the least memory that the program accepts.
#[tokio::test]
async fn small_instance_memory_shrinks_pages_without_errors() {
    for kind in [Kind::File, Kind::Postgres] {
        let (scratch, fresh) = (Scratch::new(), kind.fresh().await);
        let mut running = Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
            .current_dir(scratch.path())
            .args(["--listen", "127.0.0.1:0", "--database", &fresh.url])
            .args(["--instance-memory", "12MiB", "--workers", "1"])
            .spawn();
        let address = running.address();
        let send_request = async |request: Request| {
            let stream = TcpStream::connect(&address).await.expect("a connection");
            let answer = http::send(stream, &request, &address).await;
            answer.expect("an answer")
        };
        let mut expected = Vec::new();
        for number in 0..24 {
            let (size, letter) = [(LONGEST, 'n'), (LONGEST / 6, '\u{1}'), (9, 's')][number % 3];
            let user = User::new(number, letter.to_string().repeat(size));
            let stored = send_request(Request::post("/users/", &user.body())).await;
            assert_eq!(stored.status, 200, "on {kind:?}: {}", start_of(&stored));
            expected.push(user);
        }
        let (mut path, mut listed) = (Some("/users/?limit=1000".to_owned()), Vec::new());
        while let Some(target) = path {
            let answer = send_request(Request::get(&target)).await;
            listed.extend(page(&answer));
            path = next(&answer);
        }
        are(&users(&listed), &expected, &format!("pages on {kind:?}"));
        let lines = Request::get("/users/").header("accept", "application/x-ndjson");
        let lines = send_request(lines).await;
        let lines = lines.text();
        let lines: Vec<Value> = lines
            .lines()
            .map(|line| serde_json::from_str(line).expect("JSON"))
            .collect();
        are(&users(&lines), &expected, &format!("lines on {kind:?}"));
        drop(running);
        fresh.end().await;
    }
}
