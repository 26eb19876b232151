//! The service over a database of its own, with requests byte by byte.

use serde_json::{Value, json};
use usher_testing::{Builder, TestApp};
use usher_tests::http::{self, Request, Response};

use crate::databases::{ALL, Fresh, Kind};

/// The authority of the service in these tests.
pub(crate) const HOST: &str = "testserver:8000";

/// The embedded component over a database that is empty at first.
#[derive(Debug)]
pub(crate) struct Service {
    pub(crate) app: TestApp,
    fresh: Fresh,
}

impl Service {
    /// Over a database of this kind.
    pub(crate) async fn new(kind: Kind) -> Self {
        Self::with(kind, |builder| builder).await
    }

    /// Over a database of this kind, with settings that differ from the defaults.
    pub(crate) async fn with(kind: Kind, adjust: impl FnOnce(Builder) -> Builder) -> Self {
        let fresh = kind.fresh().await;
        let builder = TestApp::builder().database(fresh.open(|_| ()).await);
        let app = adjust(builder).start().await.expect("it starts");
        Self { app, fresh }
    }

    /// Ends it and removes its database.
    pub(crate) async fn end(self) {
        drop(self.app);
        self.fresh.end().await;
    }

    /// Its database, if it is on PostgreSQL.
    pub(crate) fn postgres(&self) -> Option<&usher_tests::postgres::Database> {
        self.fresh.postgres.as_ref()
    }

    /// Sends a request on a connection of its own.
    pub(crate) async fn send_request(&self, request: &Request) -> Response {
        http::send(self.app.connect(), request, HOST)
            .await
            .unwrap_or_else(|error| panic!("{} {}: {error}", request.method, request.path))
    }

    /// `GET path`.
    pub(crate) async fn get(&self, path: &str) -> Response {
        self.send_request(&Request::get(path)).await
    }

    /// Any method with a JSON body.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &Value) -> Response {
        self.send_request(&sending(method, path, body)).await
    }

    /// Stores a user, which must succeed, and returns its id.
    pub(crate) async fn create(&self, name: &str, email: &str) -> i64 {
        let body = json!({"name": name, "email": email});
        let created = self.send("POST", "/users/", &body).await;
        assert_eq!(created.status, 200, "{}", created.text());
        created.json()["id"].as_i64().expect("an id")
    }
}

/// A request with a JSON body.
pub(crate) fn sending(method: &str, path: &str, body: &Value) -> Request {
    Request::new(method, path)
        .header("content-type", "application/json")
        .body(body.to_string())
}

/// Runs a test on each kind of database. The last line of output names the kind on which it fails.
pub(crate) async fn on_each(test: impl AsyncFn(&Service)) {
    for kind in ALL {
        eprintln!("on {kind:?}");
        let service = Service::new(kind).await;
        test(&service).await;
        service.end().await;
    }
}

/// Expects a status and exactly this JSON.
#[track_caller]
pub(crate) fn is(response: &Response, status: u16, body: &Value) {
    assert_eq!(response.status, status, "{}", response.text());
    assert_eq!(
        response.header("content-type").as_deref(),
        Some("application/json")
    );
    assert_eq!(&response.json(), body);
}

/// Expects an error with this text.
#[track_caller]
pub(crate) fn fails(response: &Response, status: u16, detail: &str) {
    is(response, status, &json!({"detail": detail}));
}
