//! Many clients at once.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::json;
use tokio::task::JoinSet;
use usher_testing::TestApp;
use usher_tests::http::Request;

use crate::databases::{ALL, Kind};
use crate::service::{Service, sending};

#[tokio::test]
async fn two_hundred_equal_posts_store_one_user() {
    for kind in ALL {
        let fresh = kind.fresh().await;
        let app = Arc::new(
            TestApp::builder()
                .database(fresh.open(|_| ()).await)
                .start()
                .await
                .expect("it starts"),
        );
        let mut posts = JoinSet::new();
        for number in 0..200 {
            let app = Arc::clone(&app);
            posts.spawn(async move {
                // The same address in two spellings: the normalised one is unique.
                let email = if number % 2 == 0 {
                    "one@example.org"
                } else {
                    "one@EXAMPLE.org"
                };
                let body = format!(r#"{{"name":"{number}","email":"{email}"}}"#);
                app.post("/users/")
                    .json_text(body)
                    .await
                    .expect("an answer")
                    .status()
                    .as_u16()
            });
        }
        let statuses = posts.join_all().await;
        let of = |expected| {
            statuses
                .iter()
                .filter(|status| **status == expected)
                .count()
        };
        assert_eq!((of(200), of(409)), (1, 199), "on {kind:?}: {statuses:?}");
        drop(app);
        fresh.end().await;
    }
}

/// Fifty clients read a user, change it and write it back with the tag they read; after a 412 they
/// retry.
async fn no_update_is_lost(kind: Kind) {
    const CLIENTS: usize = 50;
    const ROUNDS: usize = 20;
    let fresh = kind.fresh().await;
    let app = Arc::new(
        TestApp::builder()
            .database(fresh.open(|_| ()).await)
            .start()
            .await
            .expect("it starts"),
    );
    app.post("/users/")
        .json_text(r#"{"name":"","email":"a@example.org"}"#)
        .await
        .expect("an answer");
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let app = Arc::clone(&app);
        clients.spawn(async move {
            for round in 0..ROUNDS {
                loop {
                    let read = app.get("/users/1").await.expect("an answer");
                    let tag = read.headers()["etag"].clone();
                    let text = String::from_utf8_lossy(read.body()).into_owned();
                    let name = text.split('"').nth(5).expect("a name");
                    let body = format!(r#"{{"name":"{name},{client}.{round}"}}"#);
                    let request = http::Request::patch("/users/1")
                        .header("content-type", "application/json")
                        .header("if-match", tag)
                        .body(body)
                        .expect("a request");
                    match app
                        .execute(request)
                        .await
                        .expect("an answer")
                        .status()
                        .as_u16()
                    {
                        200 => break,
                        412 => {}
                        other => panic!("{other}"),
                    }
                }
            }
        });
    }
    clients.join_all().await;
    let text = app.get("/users/1").await.expect("an answer").into_body();
    let text = String::from_utf8_lossy(&text).into_owned();
    let changes: std::collections::HashSet<&str> = text
        .split('"')
        .nth(5)
        .expect("a name")
        .split(',')
        .filter(|change| !change.is_empty())
        .collect();
    assert_eq!(
        changes.len(),
        CLIENTS * ROUNDS,
        "every acknowledged change is in the last value, on {kind:?}"
    );
    let version = app.get("/users/1").await.expect("an answer").headers()["etag"].clone();
    assert_eq!(version, format!("\"{}\"", CLIENTS * ROUNDS + 1));
    drop(app);
    fresh.end().await;
}

#[tokio::test]
async fn concurrent_updates_in_memory_lose_none() {
    no_update_is_lost(Kind::Memory).await;
}

#[tokio::test]
async fn concurrent_updates_in_a_file_lose_none() {
    no_update_is_lost(Kind::File).await;
}

#[tokio::test]
async fn concurrent_updates_in_postgresql_lose_none() {
    no_update_is_lost(Kind::Postgres).await;
}

/// Sends all these requests at once, and counts the responses by status.
async fn at_once(service: &Arc<Service>, requests: Vec<Request>) -> BTreeMap<u16, usize> {
    let mut running = JoinSet::new();
    for request in requests {
        let service = Arc::clone(service);
        running.spawn(async move { service.send_request(&request).await.status });
    }
    let mut counted = BTreeMap::new();
    for status in running.join_all().await {
        *counted.entry(status).or_default() += 1;
    }
    counted
}

#[tokio::test]
async fn concurrent_changes_to_one_address_succeed_once() {
    for kind in ALL {
        let service = Arc::new(Service::new(kind).await);
        for number in 1..=50 {
            service.create("x", &format!("u{number}@example.org")).await;
        }
        let body = json!({"email": "one@example.org"});
        let requests = (1..=50).map(|id| sending("PATCH", &format!("/users/{id}"), &body));
        let counted = at_once(&service, requests.collect()).await;
        assert_eq!(
            counted,
            BTreeMap::from([(200, 1), (409, 49)]),
            "on {kind:?}"
        );
        let found = service.get("/users/?email=one@example.org").await;
        assert_eq!(found.json().as_array().map(Vec::len), Some(1));
        let service = Arc::into_inner(service).expect("all requests have responses");
        service.end().await;
    }
}

#[tokio::test]
async fn concurrent_deletes_of_one_user_succeed_once() {
    for kind in ALL {
        let service = Arc::new(Service::new(kind).await);
        service.create("x", "x@example.org").await;
        let requests = vec![Request::new("DELETE", "/users/1"); 50];
        let counted = at_once(&service, requests).await;
        assert_eq!(
            counted,
            BTreeMap::from([(204, 1), (404, 49)]),
            "on {kind:?}"
        );
        let service = Arc::into_inner(service).expect("all requests have responses");
        service.end().await;
    }
}

/// Several programs over one database whose default isolation is serializable, so that conflicts
/// are refused instead of waiting.
async fn serializable(programs: usize) -> (crate::databases::Fresh, Vec<Arc<TestApp>>) {
    let fresh = Kind::Postgres.fresh().await;
    let postgres = fresh.postgres.as_ref().expect("PostgreSQL");
    let client = postgres.connect().await;
    let name = client
        .query_one("SELECT quote_ident(current_database())", &[])
        .await
        .expect("its name");
    let name: String = name.get(0);
    client
        .batch_execute(&format!(
            "ALTER DATABASE {name} SET default_transaction_isolation TO 'serializable'"
        ))
        .await
        .expect("its owner may");
    let mut apps = Vec::new();
    for _ in 0..programs {
        let builder = TestApp::builder().database(fresh.open(|_| ()).await);
        apps.push(Arc::new(builder.start().await.expect("it starts")));
    }
    (fresh, apps)
}

#[tokio::test]
async fn serializable_changes_of_one_user_all_succeed() {
    const CLIENTS: usize = 40;
    const CHANGES: usize = 10;
    let (fresh, apps) = serializable(3).await;
    let user = r#"{"name":"","email":"a@example.org"}"#;
    assert_eq!(
        apps[0]
            .post("/users/")
            .json_text(user)
            .await
            .expect("an answer")
            .status(),
        200
    );
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let app = Arc::clone(&apps[client % apps.len()]);
        clients.spawn(async move {
            for change in 0..CHANGES {
                let body = format!(r#"{{"name":"{client}.{change}"}}"#);
                let answer = app
                    .patch("/users/1")
                    .json_text(body)
                    .await
                    .expect("an answer");
                assert_eq!(answer.status(), 200, "{:?}", answer.body());
            }
        });
    }
    clients.join_all().await;
    let answer = apps[0].get("/users/1").await.expect("an answer");
    // Once each: a refused change had no effect.
    assert_eq!(
        answer.headers()["etag"],
        format!("\"{}\"", CLIENTS * CHANGES + 1)
    );
    drop(apps);
    fresh.end().await;
}

#[tokio::test]
async fn serializable_equal_posts_store_one_user() {
    let (fresh, apps) = serializable(3).await;
    let mut posts = JoinSet::new();
    for number in 0..60 {
        let app = Arc::clone(&apps[number % apps.len()]);
        posts.spawn(async move {
            let body = format!(r#"{{"name":"{number}","email":"a@example.org"}}"#);
            app.post("/users/")
                .json_text(body)
                .await
                .expect("an answer")
                .status()
                .as_u16()
        });
    }
    let statuses = posts.join_all().await;
    let of = |expected| {
        statuses
            .iter()
            .filter(|status| **status == expected)
            .count()
    };
    assert_eq!((of(200), of(409)), (1, 59), "{statuses:?}");
    drop(apps);
    fresh.end().await;
}
