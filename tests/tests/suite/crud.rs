//! Users are replaced, changed and deleted.

use std::collections::BTreeSet;

use serde_json::{Value, json};
use usher_tests::http::{self, Request};

use crate::service::{HOST, Service, fails, is, on_each, sending};

fn user(id: i64, name: &str, email: &str) -> Value {
    json!({"id": id, "name": name, "email": email})
}

fn missing(field: &str, input: &Value) -> Value {
    json!({"type": "missing", "loc": ["body", field], "msg": "Field required", "input": input})
}

fn no_string(field: &str, input: &Value) -> Value {
    json!({"type": "string_type", "loc": ["body", field], "msg": "Input should be a valid \
        string", "input": input})
}

fn no_id(input: &str) -> Value {
    let msg = "Input should be a valid integer, unable to parse string as an integer";
    json!({"type": "int_parsing", "loc": ["path", "user_id"], "msg": msg, "input": input})
}

/// The errors of a 422: their types and places.
#[track_caller]
fn faults(response: &http::Response) -> Vec<(String, Value)> {
    assert_eq!(response.status, 422, "{}", response.text());
    let body = response.json();
    let faults = body["detail"].as_array().expect("a list of faults").iter();
    faults
        .map(|fault| {
            (
                fault["type"].as_str().expect("a type").to_owned(),
                fault["loc"].clone(),
            )
        })
        .collect()
}

/// Expects that user 1 is as `ann` created it.
async fn ann_is_untouched(service: &Service, tag: Option<&str>) {
    let got = service.get("/users/1").await;
    is(&got, 200, &user(1, "Ann", "ann@example.org"));
    assert_eq!(got.header("etag").as_deref(), tag);
}

async fn ann(service: &Service) -> Option<String> {
    assert_eq!(service.create("Ann", "ann@example.org").await, 1);
    service.get("/users/1").await.header("etag")
}

#[tokio::test]
async fn put_replaces_name_and_email() {
    on_each(async |service| {
        ann(service).await;
        let body = json!({"name": "", "email": "Bob@EXAMPLE.net", "id": 7, "more": null});
        let put = service.send("PUT", "/users/1", &body).await;
        is(&put, 200, &user(1, "", "Bob@example.net"));
        assert_eq!(
            put.text(),
            r#"{"id":1,"name":"","email":"Bob@example.net"}"#
        );
        let got = service.get("/users/1").await;
        assert_eq!(
            (got.text(), got.header("etag")),
            (put.text(), put.header("etag"))
        );
        // The released address is free, and the other one is taken.
        assert_eq!(service.create("x", "ann@example.org").await, 2);
        let taken = json!({"name": "x", "email": "Bob@example.net"});
        fails(
            &service.send("POST", "/users/", &taken).await,
            409,
            "Email already registered",
        );
    })
    .await;
}

#[tokio::test]
async fn put_with_own_address_returns_200() {
    on_each(async |service| {
        ann(service).await;
        let same = json!({"name": "Anna", "email": "ann@EXAMPLE.org"});
        for method in ["PUT", "PATCH"] {
            let answer = service.send(method, "/users/1", &same).await;
            is(&answer, 200, &user(1, "Anna", "ann@example.org"));
        }
    })
    .await;
}

#[tokio::test]
async fn patch_changes_only_the_given_fields() {
    on_each(async |service| {
        ann(service).await;
        for (change, name, email) in [
            (json!({"name": "Anna"}), "Anna", "ann@example.org"),
            (
                json!({"email": "anna@XN--BCHER-KVA.ch"}),
                "Anna",
                "anna@bücher.ch",
            ),
            (json!({"name": "", "other": 1}), "", "anna@bücher.ch"),
            (
                json!({"name": "A", "email": "a@example.org"}),
                "A",
                "a@example.org",
            ),
        ] {
            let changed = service.send("PATCH", "/users/1", &change).await;
            is(&changed, 200, &user(1, name, email));
            assert_eq!(
                service.get("/users/1").await.text(),
                changed.text(),
                "{change}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn write_with_taken_address_returns_409() {
    on_each(async |service| {
        let tag = ann(service).await;
        service.create("Bob", "bob@example.org").await;
        for (method, body) in [
            ("PUT", json!({"name": "x", "email": "bob@EXAMPLE.org"})),
            ("PATCH", json!({"name": "x", "email": "bob@EXAMPLE.org"})),
            ("PATCH", json!({"email": "bob@example.org"})),
        ] {
            let answer = service.send(method, "/users/1", &body).await;
            fails(&answer, 409, "Email already registered");
            ann_is_untouched(service, tag.as_deref()).await;
        }
    })
    .await;
}

#[tokio::test]
async fn write_of_unknown_user_returns_404() {
    on_each(async |service| {
        ann(service).await;
        let body = json!({"name": "x", "email": "x@example.org"});
        for id in [
            "2",
            "0",
            "-1",
            "9223372036854775807",
            "9223372036854775808",
            "1000000000000000000000000000000",
        ] {
            for method in ["PUT", "PATCH", "DELETE"] {
                let answer = service.send(method, &format!("/users/{id}"), &body).await;
                fails(&answer, 404, "User not found");
            }
        }
    })
    .await;
}

#[tokio::test]
async fn ids_of_writes_are_parsed_like_those_of_get() {
    on_each(async |service| {
        ann(service).await;
        for (id, name) in [("01", "a"), ("+1", "b"), ("1.0", "c"), ("%20%31%20", "d")] {
            let path = format!("/users/{id}");
            let changed = service.send("PATCH", &path, &json!({"name": name})).await;
            is(&changed, 200, &user(1, name, "ann@example.org"));
        }
        assert_eq!(
            service
                .send_request(&Request::new("DELETE", "/users/1.00"))
                .await
                .status,
            204
        );
        for id in ["x", "1.5", "1e0", "_1"] {
            let answer = service
                .send_request(&Request::new("DELETE", &format!("/users/{id}")))
                .await;
            is(&answer, 422, &json!({"detail": [no_id(id)]}));
        }
    })
    .await;
}

#[tokio::test]
async fn invalid_body_returns_422_and_changes_nothing() {
    on_each(async |service| {
        let tag = ann(service).await;
        let put = async |body: Value, detail: Value| {
            is(
                &service.send("PUT", "/users/1", &body).await,
                422,
                &json!({"detail": detail}),
            );
            ann_is_untouched(service, tag.as_deref()).await;
        };
        put(
            json!({}),
            json!([missing("name", &json!({})), missing("email", &json!({}))]),
        )
        .await;
        let name_only = json!({"name": "x"});
        put(name_only.clone(), json!([missing("email", &name_only)])).await;
        let wrong = json!({"name": null, "email": 1});
        put(
            wrong,
            json!([
                no_string("name", &Value::Null),
                no_string("email", &json!(1))
            ]),
        )
        .await;

        let patch = async |body: Value, expected: &[(&str, Value)]| {
            let answer = service.send("PATCH", "/users/1", &body).await;
            let expected: Vec<_> = expected
                .iter()
                .map(|(kind, place)| ((*kind).to_owned(), place.clone()))
                .collect();
            assert_eq!(faults(&answer), expected, "{body}");
            ann_is_untouched(service, tag.as_deref()).await;
        };
        patch(json!({}), &[("value_error", json!(["body"]))]).await;
        patch(json!({"other": 1}), &[("value_error", json!(["body"]))]).await;
        patch(json!([]), &[("model_attributes_type", json!(["body"]))]).await;
        patch(
            json!({"name": null}),
            &[("string_type", json!(["body", "name"]))],
        )
        .await;
        patch(
            json!({"email": null}),
            &[("string_type", json!(["body", "email"]))],
        )
        .await;
        patch(
            json!({"name": "x\u{0}", "email": "nobody"}),
            &[
                ("value_error", json!(["body", "name"])),
                ("value_error", json!(["body", "email"])),
            ],
        )
        .await;
        // Valid fields beside invalid ones are not stored.
        patch(
            json!({"name": "x", "email": "x@localhost"}),
            &[("value_error", json!(["body", "email"]))],
        )
        .await;

        for method in ["PUT", "PATCH"] {
            let empty = service
                .send_request(&Request::new(method, "/users/1"))
                .await;
            assert_eq!(faults(&empty), [("missing".to_owned(), json!(["body"]))]);
            let text = Request::new(method, "/users/1").body(r#"{"name":"x"}"#);
            assert_eq!(
                faults(&service.send_request(&text).await),
                [("model_attributes_type".to_owned(), json!(["body"]))]
            );
            let broken = Request::new(method, "/users/1")
                .header("content-type", "application/json")
                .body("{");
            assert_eq!(
                faults(&service.send_request(&broken).await)[0].0,
                "json_invalid"
            );
            let latin = Request::new(method, "/users/1")
                .header("content-type", "application/json")
                .body(b"\"\xe9\"");
            fails(
                &service.send_request(&latin).await,
                400,
                "There was an error parsing the body",
            );
        }
        ann_is_untouched(service, tag.as_deref()).await;
    })
    .await;
}

#[tokio::test]
async fn invalid_id_and_body_return_all_errors_before_any_lookup() {
    on_each(async |service| {
        let answer = service.send("PUT", "/users/x", &json!({"email": 1})).await;
        let detail = [
            no_id("x"),
            missing("name", &json!({"email": 1})),
            no_string("email", &json!(1)),
        ];
        is(&answer, 422, &json!({"detail": detail}));
        // There is no user 5, but the body is checked first.
        let answer = service.send("PATCH", "/users/5", &json!({"name": 1})).await;
        is(
            &answer,
            422,
            &json!({"detail": [no_string("name", &json!(1))]}),
        );
    })
    .await;
}

#[tokio::test]
async fn deleted_user_is_gone_and_its_id_is_not_reused() {
    on_each(async |service| {
        ann(service).await;
        let deleted = service
            .send_request(&Request::new("DELETE", "/users/1"))
            .await;
        assert_eq!((deleted.status, deleted.body.len()), (204, 0));
        // RFC 9110, 8.6: a 204 has no length.
        assert_eq!(
            (
                deleted.header("content-length"),
                deleted.header("content-type")
            ),
            (None, None)
        );
        fails(&service.get("/users/1").await, 404, "User not found");
        fails(
            &service
                .send_request(&Request::new("DELETE", "/users/1"))
                .await,
            404,
            "User not found",
        );
        is(&service.get("/users/").await, 200, &json!([]));
        // The address can be used again, the id cannot: a client that kept the id must not reach
        // another user.
        assert_eq!(service.create("Ann", "ann@example.org").await, 2);
    })
    .await;
}

#[tokio::test]
async fn head_returns_the_headers_of_get_without_body() {
    on_each(async |service| {
        ann(service).await;
        service.create("Bob", "bob@example.org").await;
        for path in [
            "/users/1",
            "/users/",
            "/users/?limit=1",
            "/users/3",
            "/users/x",
            "/nowhere",
            "/users/?limit=0",
            "/users",
            "/openapi.json",
            "/docs",
        ] {
            let get = service.get(path).await;
            let reader = {
                let (read, mut write) = tokio::io::split(service.app.connect());
                let bytes = Request::new("HEAD", path).encode(HOST);
                tokio::io::AsyncWriteExt::write_all(&mut write, &bytes)
                    .await
                    .expect("a connection");
                http::Reader::new(read)
            };
            let mut reader = reader;
            let head = reader.response("HEAD").await.expect("an answer");
            assert_eq!(head.status, get.status, "{path}");
            let named = |response: &http::Response| {
                // These differ between any two requests.
                let of_request = ["date", "x-request-id"];
                let headers = response.headers.iter();
                let headers = headers.filter(|(name, _)| !of_request.contains(&name.as_str()));
                headers.cloned().collect::<BTreeSet<_>>()
            };
            assert_eq!(named(&head), named(&get), "{path}");
            assert_eq!(
                reader.rest().await.expect("a closed connection"),
                b"",
                "a body after HEAD {path}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn unsupported_method_returns_405_with_allow() {
    on_each(async |service| {
        for (path, allowed) in [
            ("/users/", vec!["GET", "HEAD", "POST"]),
            ("/users/1", vec!["DELETE", "GET", "HEAD", "PATCH", "PUT"]),
        ] {
            for method in [
                "OPTIONS",
                "TRACE",
                "PROPFIND",
                if path == "/users/" { "PUT" } else { "POST" },
            ] {
                let answer = service.send_request(&Request::new(method, path)).await;
                fails(&answer, 405, "Method Not Allowed");
                let allow = answer.header("allow").unwrap_or_default();
                assert_eq!(
                    allow.split(", ").collect::<BTreeSet<_>>(),
                    allowed.iter().copied().collect(),
                    "{path}"
                );
            }
        }
    })
    .await;
}

#[tokio::test]
async fn extra_slash_is_redirected_before_any_check() {
    on_each(async |service| {
        ann(service).await;
        for method in ["PUT", "PATCH", "DELETE"] {
            let request =
                sending(method, "/users/1/?a=b", &json!("no user")).header("if-match", "\"9\"");
            let answer = service.send_request(&request).await;
            assert_eq!((answer.status, answer.body.len()), (307, 0));
            assert_eq!(
                answer.header("location").as_deref(),
                Some("http://testserver:8000/users/1?a=b")
            );
        }
    })
    .await;
}
