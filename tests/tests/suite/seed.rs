//! The three tests of the FastAPI service. The component's import replaces the database, instead of
//! `app.dependency_overrides[get_db]`.

use serde_json::{Value, json};
use usher_testing::TestApp;

#[tokio::test]
async fn create_user() {
    let app = TestApp::start("memory:").await.expect("it starts");
    let john = json!({"name": "John Doe", "email": "john@example.com"});
    let response = app.post("/users/").json(&john).await.expect("an answer");
    let user: Value = response.expect_status(200).json();
    assert_eq!(user["name"], "John Doe");
}

#[tokio::test]
async fn get_user() {
    let app = TestApp::start("memory:").await.expect("it starts");
    let alice = json!({"name": "Alice", "email": "alice@example.com"});
    let response = app.post("/users/").json(&alice).await.expect("an answer");
    let user: Value = response.expect_status(200).json();

    let path = format!("/users/{}", user["id"]);
    let response = app.get(&path).await.expect("an answer");
    let user: Value = response.expect_status(200).json();
    assert_eq!(user["name"], "Alice");
}

#[tokio::test]
async fn get_user_not_found() {
    let app = TestApp::start("memory:").await.expect("it starts");
    let response = app.get("/users/999").await.expect("an answer");
    response
        .expect_status(404)
        .expect_json(&json!({"detail": "User not found"}));
}
