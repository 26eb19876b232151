//! What many clients do at once.

use tokio::task::JoinSet;
use usher::testing::TestApp;

use crate::databases::{ALL, Kind};

#[tokio::test]
async fn of_two_hundred_equal_posts_one_is_stored() {
    for kind in ALL {
        let fresh = kind.fresh().await;
        let app = std::sync::Arc::new(
            TestApp::builder()
                .open_database(fresh.open(|_| ()).await)
                .start()
                .await
                .expect("it starts"),
        );
        let mut posts = JoinSet::new();
        for number in 0..200 {
            let app = std::sync::Arc::clone(&app);
            posts.spawn(async move {
                // The same address in two spellings: it is the normalised one that is unique.
                let email = if number % 2 == 0 {
                    "one@example.org"
                } else {
                    "one@EXAMPLE.org"
                };
                let body = format!(r#"{{"name":"{number}","email":"{email}"}}"#);
                app.post("/users/", body)
                    .await
                    .expect("an answer")
                    .status()
                    .as_u16()
            });
        }
        let statuses = posts.join_all().await;
        let of = |wanted| statuses.iter().filter(|status| **status == wanted).count();
        assert_eq!((of(200), of(409)), (1, 199), "on {kind:?}: {statuses:?}");
        drop(app);
    }
}

/// Fifty clients read a user, change it and write it back under the tag they read; whoever is told 412 tries again.
async fn no_update_is_lost(kind: Kind) {
    const CLIENTS: usize = 50;
    const ROUNDS: usize = 20;
    let fresh = kind.fresh().await;
    let app = std::sync::Arc::new(
        TestApp::builder()
            .open_database(fresh.open(|_| ()).await)
            .start()
            .await
            .expect("it starts"),
    );
    app.post("/users/", r#"{"name":"","email":"a@example.org"}"#)
        .await
        .expect("an answer");
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let app = std::sync::Arc::clone(&app);
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
                        .request(request)
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
}

#[tokio::test]
async fn no_update_is_lost_in_memory() {
    no_update_is_lost(Kind::Memory).await;
}

#[tokio::test]
async fn no_update_is_lost_in_postgresql() {
    no_update_is_lost(Kind::Postgres).await;
}
