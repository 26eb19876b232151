//! `ETag`, `If-Match` and `If-None-Match` (RFC 9110, 8.8.3 and 13).

use serde_json::{Value, json};
use usher_tests::http::{Request, Response};

use crate::service::{Service, fails, is, on_each, sending};

#[track_caller]
fn tag(response: &Response) -> String {
    assert_eq!(response.status, 200, "{}", response.text());
    let tag = response.header("etag").expect("a tag");
    assert!(
        tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"'),
        "not a strong tag: {tag}"
    );
    tag
}

/// Stores user 1, changes it once, and returns the old tag and the new one.
async fn changed(service: &Service) -> (String, String) {
    let body = json!({"name": "Ann", "email": "ann@example.org"});
    let old = tag(&service.send("POST", "/users/", &body).await);
    let new = tag(&service
        .send("PATCH", "/users/1", &json!({"name": "Anna"}))
        .await);
    assert_ne!(old, new);
    (old, new)
}

fn anna() -> Value {
    json!({"id": 1, "name": "Anna", "email": "ann@example.org"})
}

#[tokio::test]
async fn etag_identifies_one_state_of_a_user() {
    on_each(async |service| {
        let body = json!({"name": "Ann", "email": "ann@example.org"});
        let created = tag(&service.send("POST", "/users/", &body).await);
        assert_eq!(tag(&service.get("/users/1").await), created);
        assert_eq!(tag(&service.get("/users/1").await), created);
        let mut seen = vec![created];
        for (method, body) in [
            ("PUT", json!({"name": "Bob", "email": "ann@example.org"})),
            ("PATCH", json!({"name": "Ann"})),
            ("PATCH", json!({"email": "bob@example.org"})),
            // The same content as at first is a later state: a client that read the first must not
            // overwrite it.
            ("PUT", body),
        ] {
            let written = tag(&service.send(method, "/users/1", &body).await);
            assert_eq!(tag(&service.get("/users/1").await), written);
            assert!(!seen.contains(&written), "{written} stands for two states");
            seen.push(written);
        }
    })
    .await;
}

#[tokio::test]
async fn matching_if_none_match_returns_304() {
    on_each(async |service| {
        let (old, new) = changed(service).await;
        for known in [
            new.clone(),
            format!("W/{new}"),
            "*".to_owned(),
            format!("{old}, {new}"),
            format!("\"x\" ,W/{new}"),
        ] {
            for method in ["GET", "HEAD"] {
                let request = Request::new(method, "/users/1").header("if-none-match", &known);
                let answer = service.send_request(&request).await;
                assert_eq!((answer.status, answer.body.len()), (304, 0), "{known}");
                assert_eq!(answer.header("etag"), Some(new.clone()), "{known}");
                assert_eq!(
                    (
                        answer.header("content-type"),
                        answer.header("content-length")
                    ),
                    (None, None),
                    "{known}"
                );
            }
        }
        for unknown in [old, "\"x\"".to_owned(), "x".to_owned(), String::new()] {
            let request = Request::get("/users/1").header("if-none-match", &unknown);
            is(&service.send_request(&request).await, 200, &anna());
        }
        let nobody = Request::get("/users/2").header("if-none-match", "*");
        fails(&service.send_request(&nobody).await, 404, "User not found");
    })
    .await;
}

#[tokio::test]
async fn write_with_other_if_match_returns_412() {
    on_each(async |service| {
        let (old, new) = changed(service).await;
        let body = json!({"name": "Bob", "email": "bob@example.org"});
        let number = new.trim_matches('"');
        for stale in [
            old.clone(),
            // If-Match compares strongly: a weak tag matches nothing.
            format!("W/{new}"),
            "\"x\"".to_owned(),
            "\"\"".to_owned(),
            "x".to_owned(),
            String::new(),
            number.to_owned(),
            format!("\"0{number}\""),
            format!("\"+{number}\""),
            "\"99999999999999999999999\"".to_owned(),
            format!("{old}, \"x\", W/{new}"),
        ] {
            for method in ["PUT", "PATCH", "DELETE"] {
                let request = sending(method, "/users/1", &body).header("if-match", &stale);
                let answer = service.send_request(&request).await;
                assert_eq!(answer.status, 412, "{method} under {stale}");
                fails(&answer, 412, "Precondition Failed");
            }
        }
        let got = service.get("/users/1").await;
        is(&got, 200, &anna());
        assert_eq!(tag(&got), new);
    })
    .await;
}

#[tokio::test]
async fn write_with_matching_if_match_succeeds() {
    on_each(async |service| {
        let (old, mut current) = changed(service).await;
        for round in 0..4 {
            for method in ["PUT", "PATCH"] {
                let tags = match round {
                    0 => current.clone(),
                    1 => "*".to_owned(),
                    2 => format!("{old}, {current}"),
                    _ => format!("\"x\" ,{current},W/\"9\""),
                };
                let body = json!({"name": format!("{method} {round}"), "email": "ann@example.org"});
                let request = sending(method, "/users/1", &body).header("if-match", &tags);
                let written = service.send_request(&request).await;
                let next = tag(&written);
                assert_ne!(next, current);
                assert_eq!(written.json()["name"], body["name"]);
                current = next;
            }
        }
        let stale = Request::new("DELETE", "/users/1").header("if-match", &old);
        assert_eq!(service.send_request(&stale).await.status, 412);
        let fresh = Request::new("DELETE", "/users/1").header("if-match", &current);
        assert_eq!(service.send_request(&fresh).await.status, 204);
        assert_eq!(service.send_request(&fresh).await.status, 404);
    })
    .await;
}

#[tokio::test]
async fn write_with_matching_if_none_match_returns_412() {
    on_each(async |service| {
        let (old, new) = changed(service).await;
        let body = json!({"name": "Bob", "email": "bob@example.org"});
        for named in [
            "*".to_owned(),
            new.clone(),
            // If-None-Match compares weakly.
            format!("W/{new}"),
            format!("{old} , {new}"),
        ] {
            for method in ["PUT", "PATCH", "DELETE"] {
                let request = sending(method, "/users/1", &body).header("if-none-match", &named);
                let answer = service.send_request(&request).await;
                fails(&answer, 412, "Precondition Failed");
                let both = request.header("if-match", &new);
                let answer = service.send_request(&both).await;
                fails(&answer, 412, "Precondition Failed");
            }
        }
        is(&service.get("/users/1").await, 200, &anna());
    })
    .await;
}

#[tokio::test]
async fn write_with_other_if_none_match_succeeds() {
    on_each(async |service| {
        let (old, mut current) = changed(service).await;
        for method in ["PUT", "PATCH"] {
            for round in 0..4 {
                let (if_none_match, if_match) = match round {
                    0 => (old.clone(), None),
                    1 => ("\"x\"".to_owned(), None),
                    2 => (String::new(), Some("*".to_owned())),
                    _ => (old.clone(), Some(format!("{old}, {current}"))),
                };
                let body = json!({"name": "Anna", "email": "ann@example.org"});
                let mut request =
                    sending(method, "/users/1", &body).header("if-none-match", &if_none_match);
                if let Some(tags) = &if_match {
                    request = request.header("if-match", tags);
                }
                let written = service.send_request(&request).await;
                assert_eq!(written.status, 200, "{method} {if_none_match} {if_match:?}");
                current = tag(&written);
            }
        }
        let delete = Request::new("DELETE", "/users/1").header("if-none-match", &old);
        assert_eq!(service.send_request(&delete).await.status, 204);
    })
    .await;
}

#[tokio::test]
async fn read_with_other_if_match_returns_412() {
    on_each(async |service| {
        let (old, new) = changed(service).await;
        for method in ["GET", "HEAD"] {
            for stale in [old.clone(), format!("W/{new}"), "\"x\"".to_owned()] {
                // If-Match comes before If-None-Match.
                let request = Request::new(method, "/users/1")
                    .header("if-match", &stale)
                    .header("if-none-match", &new);
                assert_eq!(service.send_request(&request).await.status, 412, "{stale}");
                let known = Request::new(method, "/users/1").header("if-match", &new);
                assert_eq!(service.send_request(&known).await.status, 200);
                for path in ["/users/", "/openapi.json", "/docs", "/redoc"] {
                    let request = Request::new(method, path).header("if-match", &stale);
                    let answer = service.send_request(&request).await;
                    assert_eq!(answer.status, 412, "{method} {path}");
                    let exists = Request::new(method, path).header("if-match", "*");
                    let answer = service.send_request(&exists).await;
                    assert_eq!(answer.status, 200, "{method} {path}");
                }
            }
        }
        let document = tag(&service.get("/openapi.json").await);
        let known = Request::get("/openapi.json").header("if-match", &document);
        assert_eq!(service.send_request(&known).await.status, 200);
    })
    .await;
}

#[tokio::test]
async fn unknown_user_with_any_precondition_returns_404() {
    on_each(async |service| {
        let body = json!({"name": "Bob", "email": "bob@example.org"});
        for tags in ["\"1\"", "\"1\", \"2\"", "*", "\"x\""] {
            for method in ["PUT", "PATCH", "DELETE"] {
                for condition in ["if-match", "if-none-match"] {
                    let request = sending(method, "/users/1", &body).header(condition, tags);
                    fails(&service.send_request(&request).await, 404, "User not found");
                }
            }
        }
        is(&service.get("/users/").await, 200, &json!([]));
    })
    .await;
}

#[tokio::test]
async fn invalid_request_returns_422_before_its_precondition() {
    on_each(async |service| {
        let (old, new) = changed(service).await;
        let wrong = sending("PUT", "/users/1", &json!({})).header("if-match", &old);
        assert_eq!(service.send_request(&wrong).await.status, 422);
        let no_id = sending("DELETE", "/users/x", &json!({})).header("if-match", &old);
        assert_eq!(service.send_request(&no_id).await.status, 422);
        // A write that may not proceed checks no address.
        service.create("Bob", "bob@example.org").await;
        let taken = json!({"email": "bob@example.org"});
        let stale = sending("PATCH", "/users/1", &taken).header("if-match", &old);
        assert_eq!(service.send_request(&stale).await.status, 412);
        let fresh = sending("PATCH", "/users/1", &taken).header("if-match", &new);
        assert_eq!(service.send_request(&fresh).await.status, 409);
    })
    .await;
}

#[tokio::test]
async fn etags_in_two_header_lines_are_one_list() {
    on_each(async |service| {
        let (old, new) = changed(service).await;
        // RFC 9110, 5.3: lines of one name equal one line, joined by a comma.
        let known = Request::get("/users/1")
            .header("if-none-match", &old)
            .header("if-none-match", &new);
        assert_eq!(service.send_request(&known).await.status, 304);
        let write = sending("PATCH", "/users/1", &json!({"name": "x"}))
            .header("if-match", &old)
            .header("if-match", &new);
        assert_eq!(service.send_request(&write).await.status, 200);
    })
    .await;
}
