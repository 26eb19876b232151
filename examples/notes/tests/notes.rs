//! The component that runs in production, with a database in memory and on PostgreSQL.

use serde_json::{Value, json};
use usher_testing::{Source, TestApp, TestDatabase, TestError};

/// Runs each test in a module for each database.
macro_rules! on_each_database {
    ($($test:ident,)+) => {
        mod memory {
            $(#[tokio::test]
            async fn $test() -> Result<(), super::TestError> {
                super::$test(super::app(super::TestDatabase::Memory).await?).await
            })+
        }

        mod postgresql {
            $(#[tokio::test]
            async fn $test() -> Result<(), super::TestError> {
                super::$test(super::app(super::TestDatabase::Postgres).await?).await
            })+
        }
    };
}

on_each_database! {
    folder_counts_its_notes_in_the_same_transaction,
    refused_transaction_changes_neither_table,
    folder_with_notes_is_not_deleted,
    folder_with_a_taken_name_is_refused,
    search_finds_words_in_title_and_body,
}

/// The service with the folders 1 and 2.
async fn app(database: TestDatabase) -> Result<TestApp, TestError> {
    let component = Source::File(env!("COMPONENT").into());
    let builder = TestApp::builder().component(component).database(database);
    let app = builder.start().await?;
    for name in ["home", "work"] {
        let folder = json!({"name": name});
        app.post("/folders").json(&folder).await?.expect_status(201);
    }
    Ok(app)
}

async fn add(app: &TestApp, folder: i64, title: &str, body: &str) -> Result<(), TestError> {
    let note = json!({"title": title, "body": body});
    let path = format!("/folders/{folder}/notes");
    app.post(&path).json(&note).await?.expect_status(201);
    Ok(())
}

/// How many notes each folder says it has, and how many it has.
async fn counts(app: &TestApp) -> Result<[[usize; 2]; 2], TestError> {
    let mut counts = [[0; 2]; 2];
    let folders: Value = app.get("/folders").await?.expect_status(200).json();
    for (index, counts) in counts.iter_mut().enumerate() {
        let path = format!("/folders/{}/notes", index + 1);
        let notes: Value = app.get(&path).await?.expect_status(200).json();
        let counted = folders[index]["notes"].as_u64().expect("a number");
        *counts = [
            usize::try_from(counted).expect("a small number"),
            notes.as_array().expect("a list").len(),
        ];
    }
    Ok(counts)
}

async fn folder_counts_its_notes_in_the_same_transaction(app: TestApp) -> Result<(), TestError> {
    add(&app, 1, "tea", "").await?;
    add(&app, 1, "milk", "").await?;
    assert_eq!(counts(&app).await?, [[2, 2], [0, 0]]);
    let moved = json!({"folder": 2, "title": "tea", "body": "green"});
    app.put("/notes/1").json(&moved).await?.expect_status(200);
    assert_eq!(counts(&app).await?, [[1, 1], [1, 1]]);
    app.delete("/notes/1").await?.expect_status(204);
    assert_eq!(counts(&app).await?, [[1, 1], [0, 0]]);
    Ok(())
}

async fn refused_transaction_changes_neither_table(app: TestApp) -> Result<(), TestError> {
    add(&app, 1, "tea", "").await?;
    let missing = json!({"title": "tea"});
    app.post("/folders/3/notes")
        .json(&missing)
        .await?
        .expect_status(404);
    let moved = json!({"folder": 3, "title": "tea", "body": ""});
    let refused = app.put("/notes/1").json(&moved).await?.expect_status(422);
    assert_eq!(refused.json::<Value>()["errors"][0]["pointer"], "#/folder");
    assert_eq!(counts(&app).await?, [[1, 1], [0, 0]]);
    Ok(())
}

async fn folder_with_notes_is_not_deleted(app: TestApp) -> Result<(), TestError> {
    add(&app, 1, "tea", "").await?;
    app.delete("/folders/1").await?.expect_status(409);
    app.delete("/folders/2").await?.expect_status(204);
    app.delete("/folders/2").await?.expect_status(404);
    Ok(())
}

async fn folder_with_a_taken_name_is_refused(app: TestApp) -> Result<(), TestError> {
    let taken = json!({"name": "home"});
    app.post("/folders").json(&taken).await?.expect_status(409);
    let folders: Value = app.get("/folders").await?.expect_status(200).json();
    assert_eq!(folders.as_array().map(Vec::len), Some(2));
    Ok(())
}

async fn search_finds_words_in_title_and_body(app: TestApp) -> Result<(), TestError> {
    add(&app, 1, "Tea", "green").await?;
    add(&app, 2, "Shopping", "tea, 100%").await?;
    for (query, found) in [("tea", 2), ("GREEN", 1), ("%25", 1), ("_", 0), ("", 2)] {
        let path = format!("/notes?q={query}");
        let notes: Value = app.get(&path).await?.expect_status(200).json();
        assert_eq!(notes.as_array().map(Vec::len), Some(found), "{query}");
    }
    let export = app.get("/notes.ndjson").await?.expect_status(200);
    assert_eq!(export.text().lines().count(), 2);
    Ok(())
}
