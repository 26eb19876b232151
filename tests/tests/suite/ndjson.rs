//! Lists of users as NDJSON.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use usher::database::{Error, Value};
use usher_testing::Script;
use usher_testing::{TestApp, TestError};
use usher_tests::http::{self, Reader, Request, Response};

use crate::databases::{ALL, Kind};
use crate::service::{HOST, Service, is, on_each};
use crate::transactions::{CLEANUP_LIMIT, NOTHING_LEFT, becomes};

const NDJSON: &str = "application/x-ndjson";

fn ndjson(path: &str) -> Request {
    Request::get(path).header("accept", NDJSON)
}

#[track_caller]
fn is_lines(response: &Response, lines: &str) {
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.header("content-type").as_deref(), Some(NDJSON));
    assert_eq!(response.header("vary").as_deref(), Some("accept"));
    assert_eq!(response.header("link"), None);
    assert_eq!(response.text(), lines);
}

#[tokio::test]
async fn ndjson_list_is_ordered_by_id() {
    on_each(async |service| {
        service.create("Zoë\n", "z@example.org").await;
        service.create("b", "b@example.org").await;
        service.create("a", "a@example.org").await;
        service
            .send("PATCH", "/users/1", &json!({"name": "Zoé\n"}))
            .await;
        service
            .send_request(&Request::new("DELETE", "/users/2"))
            .await;
        is_lines(
            &service.send_request(&ndjson("/users/")).await,
            concat!(
                r#"{"id":1,"name":"Zoé\n","email":"z@example.org"}"#,
                "\n",
                r#"{"id":3,"name":"a","email":"a@example.org"}"#,
                "\n",
            ),
        );
    })
    .await;
}

#[tokio::test]
async fn ndjson_list_is_longer_than_a_page() {
    on_each(async |service| {
        let mut expected = String::new();
        for id in 1..=300 {
            service.create("n", &format!("u{id}@example.org")).await;
            expected.push_str(&format!(
                "{{\"id\":{id},\"name\":\"n\",\"email\":\"u{id}@example.org\"}}\n"
            ));
        }
        is_lines(&service.send_request(&ndjson("/users/")).await, &expected);
    })
    .await;
}

#[tokio::test]
async fn ndjson_list_without_users_is_empty() {
    on_each(async |service| is_lines(&service.send_request(&ndjson("/users/")).await, "")).await;
}

#[tokio::test]
async fn ndjson_list_is_filtered_like_a_page() {
    on_each(async |service| {
        for id in 1..=5 {
            service.create("n", &format!("u{id}@bücher.ch")).await;
        }
        for (query, ids) in [
            ("after=3", vec![4, 5]),
            ("after=-1&limit=2", vec![1, 2]),
            ("limit=1000", vec![1, 2, 3, 4, 5]),
            ("email=u2@XN--BCHER-KVA.CH", vec![2]),
            ("email=u2@bücher.ch&after=2", vec![]),
            ("email=nobody@example.org", vec![]),
        ] {
            let line =
                |id| format!("{{\"id\":{id},\"name\":\"n\",\"email\":\"u{id}@bücher.ch\"}}\n");
            let expected: String = ids.into_iter().map(line).collect();
            let query = query.replace('ü', "%C3%BC");
            is_lines(
                &service
                    .send_request(&ndjson(&format!("/users/?{query}")))
                    .await,
                &expected,
            );
        }
    })
    .await;
}

#[tokio::test]
async fn ndjson_list_with_invalid_query_returns_422_like_a_page() {
    on_each(async |service| {
        let query = "/users/?limit=0&after=x&email=y";
        let refused = service.send_request(&ndjson(query)).await;
        assert_eq!(refused.status, 422);
        assert_eq!(refused.json(), service.get(query).await.json());
    })
    .await;
}

#[tokio::test]
async fn list_without_ndjson_in_accept_returns_a_page() {
    on_each(async |service| {
        service.create("n", "n@example.org").await;
        let page = json!([{"id": 1, "name": "n", "email": "n@example.org"}]);
        for accept in [
            None,
            Some("*/*"),
            Some("application/json"),
            Some("application/json, text/plain, */*"),
            Some("text/html"),
            Some("application/x-ndjson;q=0.5, application/json"),
            Some("application/x-ndjson, application/json"),
        ] {
            let mut request = Request::get("/users/");
            if let Some(accept) = accept {
                request = request.header("accept", accept);
            }
            let answer = service.send_request(&request).await;
            is(&answer, 200, &page);
            assert_eq!(
                answer.header("vary").as_deref(),
                Some("accept"),
                "{accept:?}"
            );
        }
        // In two header lines; several lines count as one list.
        let request = Request::get("/users/").header("accept", "application/json;q=0.2");
        let request = request.header("accept", "Application/X-NDJSON;q=0.1");
        assert_eq!(service.send_request(&request).await.json(), page);
        let request = Request::get("/users/").header("accept", "application/json;q=0.1");
        let request = request.header("accept", "Application/X-NDJSON;q=0.2");
        is_lines(
            &service.send_request(&request).await,
            "{\"id\":1,\"name\":\"n\",\"email\":\"n@example.org\"}\n",
        );
    })
    .await;
}

#[tokio::test]
async fn ndjson_accept_on_other_routes_is_ignored() {
    on_each(async |service| {
        service.create("n", "n@example.org").await;
        let answer = service.send_request(&ndjson("/users/1")).await;
        is(
            &answer,
            200,
            &json!({"id": 1, "name": "n", "email": "n@example.org"}),
        );
        assert_eq!(answer.header("vary"), None);
    })
    .await;
}

#[tokio::test]
async fn head_of_ndjson_list_returns_headers_alone() {
    on_each(async |service| {
        service.create("n", "n@example.org").await;
        let mut request = ndjson("/users/");
        request.method = "HEAD".into();
        let head = service.send_request(&request).await;
        is_lines(&head, "");
        // A client would rely on a length.
        assert_eq!(head.header("content-length"), None);
        request.path = "/users/?limit=x".into();
        assert_eq!(service.send_request(&request).await.status, 422);
    })
    .await;
}

#[tokio::test]
async fn users_ndjson_returns_all_users_whatever_accept_says() {
    on_each(async |service| {
        for id in 1..=101 {
            service.create("n", &format!("u{id}@example.org")).await;
        }
        for query in ["", "?after=50", "?limit=2", "?email=U7@EXAMPLE.org&after=3"] {
            let negotiated = service
                .send_request(&ndjson(&format!("/users/{query}")))
                .await;
            for accept in ["*/*", "application/json", NDJSON] {
                let request = Request::get(&format!("/users.ndjson{query}"));
                let answer = service
                    .send_request(&request.header("accept", accept))
                    .await;
                assert_eq!(answer.status, 200);
                assert_eq!(answer.header("content-type").as_deref(), Some(NDJSON));
                assert_eq!(answer.header("vary"), None);
                assert_eq!(answer.text(), negotiated.text(), "{query} {accept}");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn users_ndjson_is_routed_like_other_paths() {
    on_each(async |service| {
        service.create("n", "n@example.org").await;
        let head = Request::new("HEAD", "/users.ndjson");
        let head = service.send_request(&head).await;
        assert_eq!((head.status, head.text().as_str()), (200, ""));
        assert_eq!(head.header("content-type").as_deref(), Some(NDJSON));
        for method in ["POST", "PUT", "PATCH", "DELETE"] {
            let other = Request::new(method, "/users.ndjson");
            let other = service.send_request(&other).await;
            assert_eq!(other.status, 405);
            assert_eq!(other.header("allow").as_deref(), Some("GET, HEAD"));
        }
        let slash = service.get("/users.ndjson/?limit=1").await;
        let location = format!("http://{HOST}/users.ndjson?limit=1");
        assert_eq!(slash.status, 307);
        assert_eq!(slash.header("location"), Some(location));
        for path in ["/users.json", "/users.ndjson/1", "/Users.ndjson"] {
            assert_eq!(service.get(path).await.status, 404, "{path}");
        }
    })
    .await;
}

/// A database that returns this many users and then an error.
async fn failing(users: i64, error: Error) -> TestApp {
    let script = Script::new();
    let row = |id| {
        vec![
            Value::Integer(id),
            Value::Text("n".into()),
            Value::Text(format!("u{id}@example.org")),
            Value::Integer(1),
        ]
    };
    script
        .on("SELECT * id, name, email, version FROM users *")
        .rows_then(
            ["id", "name", "email", "version"],
            (1..=users).map(row),
            error,
        );
    let builder = TestApp::builder().database(script.database());
    builder.no_migrate().start().await.expect("it starts")
}

#[tokio::test]
async fn error_before_the_first_user_sets_the_status() {
    for (error, status) in [
        (Error::Unavailable("gone".into()), 503),
        (Error::Overloaded, 503),
        (Error::Timeout, 504),
        (Error::TooLarge(1), 500),
    ] {
        let app = failing(0, error).await;
        let answer = http::send(app.connect(), &ndjson("/users/"), HOST)
            .await
            .expect("an answer");
        assert_eq!(answer.status, status);
        assert!(answer.json()["detail"].is_string(), "{}", answer.text());
    }
}

#[tokio::test]
async fn error_after_the_first_user_truncates_the_body() {
    let app = failing(1000, Error::Unavailable("gone".into())).await;
    let mut client = app.connect();
    let request = ndjson("/users/").header("connection", "keep-alive");
    client
        .write_all(&request.encode(HOST))
        .await
        .expect("it is read");
    // No last chunk, and nothing more on this connection, so it cannot be taken for complete.
    let mut raw = Vec::new();
    client.read_to_end(&mut raw).await.expect("it is closed");
    let raw = String::from_utf8_lossy(&raw);
    assert!(
        raw.starts_with("HTTP/1.1 200 OK\r\n") && raw.contains("{\"id\":256,"),
        "{raw}"
    );
    assert!(
        raw.to_lowercase().contains("transfer-encoding: chunked"),
        "{raw}"
    );
    assert!(!raw.ends_with("0\r\n\r\n"), "{raw}");
    let request = http::send(app.connect(), &ndjson("/users/"), HOST).await;
    assert_eq!(
        request.map_err(|error| error.kind()),
        Err(std::io::ErrorKind::UnexpectedEof)
    );
    let request = http_request();
    assert!(matches!(
        app.execute(request).await,
        Err(TestError::Response(_))
    ));
}

fn http_request() -> ::http::Request<bytes::Bytes> {
    let request = ::http::Request::get("/users/").header("accept", NDJSON);
    request.body(bytes::Bytes::new()).expect("a request")
}

/// More than all the buffers between a guest and its client hold.
const MANY: i64 = 400;
const LARGE: usize = 10 << 10;

async fn many(service: &Service) {
    let name = "n".repeat(LARGE);
    for id in 1..=MANY {
        service.create(&name, &format!("u{id}@example.org")).await;
    }
}

/// A client that has sent a request and read only the beginning of the response.
async fn begun(app: &TestApp) -> (DuplexStream, Vec<u8>) {
    let mut client = app.connect();
    client
        .write_all(&ndjson("/users/").encode(HOST))
        .await
        .expect("it is read");
    let mut read = Vec::new();
    while !read.windows(8).any(|window| window == b"{\"id\":1,") {
        let count = client.read_buf(&mut read).await.expect("an answer");
        assert!(count > 0, "{}", String::from_utf8_lossy(&read));
    }
    (client, read)
}

/// How many lines the rest of a response has, once it is complete.
async fn rest(client: DuplexStream, begun: Vec<u8>) -> std::io::Result<i64> {
    let mut count = 0;
    let mut reader = Reader::new(std::io::Cursor::new(begun).chain(client));
    reader
        .streamed(|chunk| {
            count += chunk
                .iter()
                .map(|&byte| i64::from(byte == b'\n'))
                .sum::<i64>();
        })
        .await?;
    Ok(count)
}

#[tokio::test]
async fn disconnected_client_of_a_list_frees_its_cursor() {
    on_each(async |service| {
        many(service).await;
        // More of them than there are connections for reading.
        for _ in 0..40 {
            drop(begun(&service.app).await);
        }
        if let Some(postgres) = service.postgres() {
            let client = postgres.connect().await;
            tokio::time::timeout(CLEANUP_LIMIT, becomes(&client, NOTHING_LEFT))
                .await
                .expect("no session and no lock is left");
        }
        let (client, read) = begun(&service.app).await;
        assert_eq!(rest(client, read).await.expect("all of it"), MANY);
        service.create("n", "last@example.org").await;
    })
    .await;
}

#[tokio::test]
async fn ndjson_list_is_a_snapshot_of_its_start() {
    for kind in ALL {
        let service = Service::new(kind).await;
        many(&service).await;
        let (client, read) = begun(&service.app).await;
        // A slow reader does not delay other requests.
        service.create("n", "last@example.org").await;
        let deleted = service
            .send_request(&Request::new("DELETE", &format!("/users/{MANY}")))
            .await;
        assert_eq!(deleted.status, 204, "on {kind:?}");
        assert_eq!(
            rest(client, read).await.expect("all of it"),
            MANY,
            "on {kind:?}"
        );
        service.end().await;
    }
}

/// A service over a database of this kind, with this time for a request.
async fn hurried(kind: Kind, deadline: Duration) -> Service {
    let service = Service::with(kind, |builder| builder.request_timeout(deadline)).await;
    many(&service).await;
    service
}

#[tokio::test]
async fn list_lasts_as_long_as_its_client_reads() {
    const DEADLINE: Duration = Duration::from_secs(3);
    let slowly = async |kind| {
        let service = hurried(kind, DEADLINE).await;
        let (mut client, mut read) = begun(&service.app).await;
        let began = Instant::now();
        while began.elapsed() < DEADLINE + DEADLINE / 4 {
            // A slow reader takes its time.
            tokio::time::sleep(DEADLINE / 40).await;
            let count = (&mut client).take(32 << 10).read_to_end(&mut read).await;
            assert_eq!(count.expect("more of it"), 32 << 10, "cut off on {kind:?}");
        }
        assert_eq!(
            rest(client, read).await.expect("all of it"),
            MANY,
            "on {kind:?}"
        );
        service.end().await;
    };
    tokio::join!(
        slowly(Kind::Memory),
        slowly(Kind::File),
        slowly(Kind::Postgres)
    );
}

#[tokio::test]
async fn unread_list_is_truncated_at_the_deadline() {
    let service = hurried(Kind::Postgres, Duration::from_millis(500)).await;
    let (client, read) = begun(&service.app).await;
    let postgres = service.postgres().expect("PostgreSQL").connect().await;
    tokio::time::timeout(CLEANUP_LIMIT, becomes(&postgres, NOTHING_LEFT))
        .await
        .expect("its query is ended");
    let cut = rest(client, read).await;
    assert_eq!(
        cut.map_err(|error| error.kind()),
        Err(std::io::ErrorKind::UnexpectedEof)
    );
    service.end().await;
}
