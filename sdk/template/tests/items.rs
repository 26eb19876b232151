//! The component that runs in production, with a database in memory.

use serde_json::{Value, json};
use usher_testing::{Source, TestApp, TestError};

async fn app() -> Result<TestApp, TestError> {
    let component = Source::File(env!("COMPONENT").into());
    TestApp::builder().component(component).start().await
}

#[tokio::test]
async fn created_item_can_be_read_changed_and_deleted() -> Result<(), TestError> {
    let app = app().await?;
    let tea = json!({"name": "tea", "quantity": 3});
    app.post("/items")
        .json(&tea)
        .await?
        .expect_status(201)
        .expect_header("location", "/items/1")
        .expect_json(&json!({"id": 1, "name": "tea", "quantity": 3}));
    let less = json!({"name": "tea", "quantity": 2});
    app.put("/items/1").json(&less).await?.expect_status(200);
    let read = app.get("/items/1").await?.expect_status(200);
    assert_eq!(read.json::<Value>()["quantity"], 2);
    app.delete("/items/1").await?.expect_status(204);
    app.get("/items/1").await?.expect_status(404);
    Ok(())
}

#[tokio::test]
async fn taken_name_returns_409() -> Result<(), TestError> {
    let app = app().await?;
    let tea = json!({"name": "tea", "quantity": 3});
    app.post("/items").json(&tea).await?.expect_status(201);
    app.post("/items").json(&tea).await?.expect_status(409);
    Ok(())
}

#[tokio::test]
async fn wrong_field_returns_422_and_its_pointer() -> Result<(), TestError> {
    let app = app().await?;
    for (body, pointer) in [
        (json!({"name": "tea"}), "#/quantity"),
        (json!({"name": 1, "quantity": 3}), "#/name"),
        (json!({"name": "", "quantity": 3}), "#/name"),
    ] {
        let response = app.post("/items").json(&body).await?.expect_status(422);
        assert_eq!(response.json::<Value>()["errors"][0]["pointer"], pointer);
    }
    Ok(())
}

#[tokio::test]
async fn list_and_export_contain_every_item() -> Result<(), TestError> {
    let app = app().await?;
    for name in ["tea", "coffee"] {
        let item = json!({"name": name, "quantity": 1});
        app.post("/items").json(&item).await?.expect_status(201);
    }
    let list = app.get("/items?after=1").await?.expect_status(200);
    list.expect_json(&json!([{"id": 2, "name": "coffee", "quantity": 1}]));
    let export = app.get("/items.ndjson").await?.expect_status(200);
    assert_eq!(export.text().lines().count(), 2);
    Ok(())
}
