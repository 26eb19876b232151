//! The three tests of the FastAPI service. The component's import replaces the database, instead of
//! `app.dependency_overrides[get_db]`.

use serde_json::Value;
use usher_testing::TestApp;

fn json(body: &[u8]) -> Value {
    serde_json::from_slice(body).expect("JSON")
}

#[tokio::test]
async fn create_user() {
    let app = TestApp::start("memory:").await.expect("it starts");
    let body = r#"{"name": "John Doe", "email": "john@example.com"}"#;
    let response = app.post("/users/", body).await.expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(json(response.body())["name"], "John Doe");
}

#[tokio::test]
async fn get_user() {
    let app = TestApp::start("memory:").await.expect("it starts");
    let body = r#"{"name": "Alice", "email": "alice@example.com"}"#;
    let response = app.post("/users/", body).await.expect("an answer");
    assert_eq!(response.status(), 200);
    let user_id = json(response.body())["id"].clone();

    let response = app
        .get(&format!("/users/{user_id}"))
        .await
        .expect("an answer");
    assert_eq!(response.status(), 200);
    assert_eq!(json(response.body())["name"], "Alice");
}

#[tokio::test]
async fn get_user_not_found() {
    let app = TestApp::start("memory:").await.expect("it starts");
    let response = app.get("/users/999").await.expect("an answer");
    assert_eq!(response.status(), 404);
    assert_eq!(&response.body()[..], br#"{"detail":"User not found"}"#);
}
