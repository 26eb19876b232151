//! Group commit of the writes of many clients, which no client may notice.

use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_postgres::Client;
use usher_testing::TestApp;
use usher_tests::postgres;

/// Enough clients that some of them wait for others.
const CLIENTS: usize = 60;

async fn start() -> (Arc<TestApp>, postgres::Database, Client) {
    let database = postgres::database().await;
    let app = TestApp::start(database.url()).await.expect("it starts");
    let client = database.connect().await;
    (Arc::new(app), database, client)
}

async fn end(app: Arc<TestApp>, database: postgres::Database, client: Client) {
    drop(app);
    drop(client);
    database.remove().await;
}

/// Sends all these requests at once and returns the statuses in the same order.
async fn post(app: &Arc<TestApp>, emails: impl Iterator<Item = String>) -> Vec<u16> {
    let mut posts = JoinSet::new();
    for (number, email) in emails.enumerate() {
        let app = Arc::clone(app);
        posts.spawn(async move {
            let body = format!(r#"{{"name":"","email":"{email}"}}"#);
            let answer = app
                .post("/users/")
                .json_text(body)
                .await
                .expect("an answer");
            (number, answer.status().as_u16())
        });
    }
    let mut statuses = posts.join_all().await;
    statuses.sort_unstable();
    statuses.into_iter().map(|(_, status)| status).collect()
}

async fn count(client: &Client, what: &str) -> usize {
    let row = client
        .query_one(&format!("SELECT count({what}) FROM users"), &[])
        .await
        .expect("a table");
    usize::try_from(row.get::<_, i64>(0)).expect("a count is not negative")
}

/// Sends requests until a group commit has happened, so that its connections exist.
async fn until_group_commit(app: &Arc<TestApp>, client: &Client) {
    for round in 0..50 {
        let statuses = post(
            app,
            (0..CLIENTS).map(|number| format!("{round}.{number}@example.org")),
        )
        .await;
        assert_eq!(statuses, [200; CLIENTS]);
        // Rows of one transaction have its number.
        if count(client, "DISTINCT xmin::text").await < count(client, "*").await {
            return;
        }
    }
    panic!("in fifty rounds no two writes were committed together");
}

#[tokio::test]
async fn group_commit_stores_each_concurrent_write_once() {
    let (app, database, client) = start().await;
    until_group_commit(&app, &client).await;
    let before = count(&client, "*").await;
    let statuses = post(
        &app,
        (0..CLIENTS).map(|number| format!("{number}@example.com")),
    )
    .await;
    assert_eq!(statuses, [200; CLIENTS]);
    assert_eq!(count(&client, "*").await - before, CLIENTS);
    end(app, database, client).await;
}

#[tokio::test]
async fn group_commit_with_a_refused_write_reruns_the_others() {
    let (app, database, client) = start().await;
    until_group_commit(&app, &client).await;
    for round in 0..20 {
        let taken = |number: usize| number % 7 == 3;
        let statuses = post(
            &app,
            (0..CLIENTS).map(|number| match number {
                _ if taken(number) => "0.0@example.org".to_owned(),
                _ => format!("{round}.{number}@example.net"),
            }),
        )
        .await;
        for (number, status) in statuses.into_iter().enumerate() {
            assert_eq!(status, if taken(number) { 409 } else { 200 }, "{number}");
        }
    }
    let stored = (0..CLIENTS).filter(|number| number % 7 != 3).count() * 20;
    let found = client
        .query_one("SELECT count(*) FROM users WHERE email LIKE '%.net'", &[])
        .await
        .expect("a table");
    assert_eq!(usize::try_from(found.get::<_, i64>(0)), Ok(stored));
    end(app, database, client).await;
}

#[tokio::test]
async fn write_waiting_for_a_lock_does_not_delay_others() {
    let (app, database, mut client) = start().await;
    until_group_commit(&app, &client).await;
    let id: i64 = client
        .query_one("SELECT min(id)::bigint FROM users", &[])
        .await
        .expect("a table")
        .get(0);
    let holder = client.transaction().await.expect("a transaction");
    holder
        .execute(
            "UPDATE users SET name = 'held' WHERE id = $1::bigint",
            &[&id],
        )
        .await
        .expect("a row");
    let mut waiting = JoinSet::new();
    for number in 0..3 {
        let app = Arc::clone(&app);
        waiting.spawn(async move {
            let request = http::Request::patch(format!("/users/{id}"))
                .header("content-type", "application/json")
                .body(format!(r#"{{"name":"{number}"}}"#))
                .expect("a request");
            app.execute(request)
                .await
                .expect("an answer")
                .status()
                .as_u16()
        });
    }
    // All of these are answered while the others wait.
    let statuses = post(
        &app,
        (0..CLIENTS).map(|number| format!("{number}@example.com")),
    )
    .await;
    assert_eq!(statuses, [200; CLIENTS]);
    assert!(waiting.try_join_next().is_none(), "no write passes a lock");
    holder.rollback().await.expect("a transaction");
    assert_eq!(waiting.join_all().await, [200; 3]);
    end(app, database, client).await;
}
