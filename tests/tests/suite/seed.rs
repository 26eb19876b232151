//! The three tests of the service this one replaces, with the database swapped at the component's import in place of
//! `app.dependency_overrides[get_db]`.

use usher::testing::TestApp;

const ALICE: &str = r#"{"name":"Alice","email":"alice@example.com"}"#;

#[tokio::test]
async fn a_user_is_created() {
    let app = TestApp::start("memory:").await.expect("it starts");
    let answer = app.post("/users/", ALICE).await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(
        &answer.body()[..],
        br#"{"id":1,"name":"Alice","email":"alice@example.com"}"#
    );
}

#[tokio::test]
async fn an_address_is_registered_once() {
    let app = TestApp::start("memory:").await.expect("it starts");
    app.post("/users/", ALICE).await.expect("an answer");
    let answer = app.post("/users/", ALICE).await.expect("an answer");
    assert_eq!(answer.status(), 409);
    assert_eq!(
        &answer.body()[..],
        br#"{"detail":"Email already registered"}"#
    );
}

#[tokio::test]
async fn a_user_that_was_created_is_read() {
    let app = TestApp::start("memory:").await.expect("it starts");
    app.post("/users/", ALICE).await.expect("an answer");
    let answer = app.get("/users/1").await.expect("an answer");
    assert_eq!(answer.status(), 200);
    assert_eq!(
        &answer.body()[..],
        br#"{"id":1,"name":"Alice","email":"alice@example.com"}"#
    );
}
