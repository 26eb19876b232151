//! Users are listed in pages.

use serde_json::{Value, json};
use usher_tests::http::Response;

use crate::service::{Service, is, on_each, sending};

#[track_caller]
fn ids(response: &Response) -> Vec<i64> {
    assert_eq!(response.status, 200, "{}", response.text());
    let users = response.json();
    let users = users.as_array().expect("an array").iter();
    users
        .map(|user| user["id"].as_i64().expect("an id"))
        .collect()
}

/// The URL of the next page (RFC 8288), resolved against the path of this one.
#[track_caller]
pub(crate) fn next(response: &Response) -> Option<String> {
    let link = response.header("link")?;
    let query = link
        .strip_prefix('<')
        .and_then(|rest| rest.strip_suffix(">; rel=\"next\""))
        .filter(|target| target.starts_with('?'));
    let query = query.unwrap_or_else(|| panic!("not a link to the next page: {link}"));
    Some(format!("/users/{query}"))
}

/// Stores users `first` to `last`, whose ids are these numbers on a new database.
async fn fill(service: &Service, first: i64, last: i64) {
    for number in first..=last {
        let id = service
            .create(&format!("{number}"), &format!("u{number}@example.org"))
            .await;
        assert_eq!(id, number);
    }
}

#[tokio::test]
async fn list_without_users_is_empty() {
    on_each(async |service| {
        let listed = service.get("/users/").await;
        is(&listed, 200, &json!([]));
        assert_eq!((listed.text().as_str(), next(&listed)), ("[]", None));
    })
    .await;
}

#[tokio::test]
async fn list_is_ordered_by_id() {
    on_each(async |service| {
        service.create("Zoë", "z@example.org").await;
        service.create("b", "b@example.org").await;
        service.create("a\"\\\n", "a@example.org").await;
        // An updated row moves within the table, but is still listed by its id.
        service
            .send("PATCH", "/users/1", &json!({"name": "Zoé"}))
            .await;
        service
            .send_request(&usher_tests::http::Request::new("DELETE", "/users/2"))
            .await;
        service.create("c", "c@example.org").await;
        let listed = service.get("/users/").await;
        assert_eq!(
            listed.text(),
            [
                r#"[{"id":1,"name":"Zoé","email":"z@example.org"},"#,
                r#"{"id":3,"name":"a\"\\\n","email":"a@example.org"},"#,
                r#"{"id":4,"name":"c","email":"c@example.org"}]"#,
            ]
            .concat()
        );
        assert_eq!(next(&listed), None);
    })
    .await;
}

#[tokio::test]
async fn pages_have_every_user_exactly_once() {
    on_each(async |service| {
        fill(service, 1, 25).await;
        let mut page = service.get("/users/?limit=10").await;
        let mut seen = ids(&page);
        assert_eq!(seen.len(), 10);
        // Users deleted or stored between two pages shift nothing, because a page starts after an
        // id, not after a count.
        service
            .send_request(&usher_tests::http::Request::new("DELETE", "/users/3"))
            .await;
        service
            .send_request(&usher_tests::http::Request::new("DELETE", "/users/12"))
            .await;
        fill(service, 26, 27).await;
        let mut pages = 1;
        while let Some(path) = next(&page) {
            page = service.get(&path).await;
            seen.extend(ids(&page));
            pages += 1;
        }
        let expected: Vec<i64> = (1..=27).filter(|id| *id != 12).collect();
        assert_eq!((seen, pages), (expected, 3));
    })
    .await;
}

#[tokio::test]
async fn full_last_page_has_no_next_link() {
    on_each(async |service| {
        fill(service, 1, 4).await;
        let first = service.get("/users/?limit=2").await;
        assert_eq!(ids(&first), [1, 2]);
        let last = service.get(&next(&first).expect("a next page")).await;
        assert_eq!((ids(&last), next(&last)), (vec![3, 4], None));
        let all = service.get("/users/?limit=4").await;
        assert_eq!((ids(&all), next(&all)), (vec![1, 2, 3, 4], None));
    })
    .await;
}

#[tokio::test]
async fn page_limit_defaults_to_100_and_is_at_most_1000() {
    on_each(async |service| {
        fill(service, 1, 101).await;
        let page = service.get("/users/").await;
        assert_eq!(ids(&page), (1..=100).collect::<Vec<_>>());
        assert_eq!(
            ids(&service.get(&next(&page).expect("a next page")).await),
            [101]
        );
        let all = service.get("/users/?limit=1000").await;
        assert_eq!((ids(&all).len(), next(&all)), (101, None));
    })
    .await;
}

#[tokio::test]
async fn page_after_a_missing_id_starts_at_the_next_one() {
    on_each(async |service| {
        fill(service, 1, 3).await;
        for (after, expected) in [
            ("0", vec![1, 2, 3]),
            ("-5", vec![1, 2, 3]),
            ("-99999999999999999999999", vec![1, 2, 3]),
            ("1", vec![2, 3]),
            ("%2B01", vec![2, 3]),
            ("3", vec![]),
            ("9223372036854775807", vec![]),
            ("99999999999999999999999", vec![]),
        ] {
            assert_eq!(
                ids(&service.get(&format!("/users/?after={after}")).await),
                expected,
                "after {after}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn email_filter_matches_the_normalised_address() {
    on_each(async |service| {
        service.create("a", "a+b@bücher.ch").await;
        service.create("b", "A+b@bücher.ch").await;
        service.create("c", "postmaster@example.org").await;
        for (query, expected) in [
            ("email=a%2Bb@b%C3%BCcher.ch", vec![1]),
            ("email=a%2Bb%40XN--BCHER-KVA.CH", vec![1]),
            ("email=A%2Bb%40b%C3%BCcher.ch", vec![2]),
            ("email=PostMaster@EXAMPLE.org", vec![3]),
            ("email=nobody@example.org", vec![]),
            // An exact match, neither a part of an address nor a pattern.
            ("email=b@b%C3%BCcher.ch", vec![]),
            ("email=%25@example.org", vec![]),
            ("email=postmaste_@example.org", vec![]),
            // Together with the other two.
            ("email=postmaster@example.org&after=2&limit=1", vec![3]),
            ("email=postmaster@example.org&after=3", vec![]),
            // The last of repeated parameters counts; unknown ones are ignored.
            (
                "email=nobody@example.org&email=postmaster@example.org&sort=name",
                vec![3],
            ),
        ] {
            let found = service.get(&format!("/users/?{query}")).await;
            assert_eq!((ids(&found), next(&found)), (expected, None), "{query}");
        }
    })
    .await;
}

#[tokio::test]
async fn invalid_query_returns_422_with_all_errors() {
    fn integer(name: &str, input: &str) -> Value {
        let msg = "Input should be a valid integer, unable to parse string as an integer";
        json!({"type": "int_parsing", "loc": ["query", name], "msg": msg, "input": input})
    }
    fn limit(kind: &str, msg: &str, input: &str, ctx: &Value) -> Value {
        let loc = ["query", "limit"];
        json!({"type": kind, "loc": loc, "msg": msg, "input": input, "ctx": ctx})
    }
    fn least(input: &str) -> Value {
        let msg = "Input should be greater than or equal to 1";
        limit("greater_than_equal", msg, input, &json!({"ge": 1}))
    }
    fn most(input: &str) -> Value {
        let msg = "Input should be less than or equal to 1000";
        limit("less_than_equal", msg, input, &json!({"le": 1000}))
    }
    fn address(input: &str, reason: &str) -> Value {
        let msg = format!("value is not a valid email address: {reason}");
        let (loc, ctx) = (["query", "email"], json!({"reason": reason}));
        json!({"type": "value_error", "loc": loc, "msg": msg, "input": input, "ctx": ctx})
    }
    fn boolean(input: &str) -> Value {
        let msg = "Input should be a valid boolean, unable to interpret input";
        json!({"type": "bool_parsing", "loc": ["query", "etag"], "msg": msg, "input": input})
    }
    const NO_AT: &str = "An email address must have an @-sign.";

    on_each(async |service| {
        for (query, faults) in [
            ("limit=0", vec![least("0")]),
            ("limit=-1", vec![least("-1")]),
            (
                "limit=-99999999999999999999",
                vec![least("-99999999999999999999")],
            ),
            ("limit=1001", vec![most("1001")]),
            (
                "limit=99999999999999999999",
                vec![most("99999999999999999999")],
            ),
            ("limit=", vec![integer("limit", "")]),
            ("limit", vec![integer("limit", "")]),
            ("limit=ten", vec![integer("limit", "ten")]),
            ("limit=1.5", vec![integer("limit", "1.5")]),
            ("limit=%C3%A9", vec![integer("limit", "é")]),
            ("limit=5&limit=0", vec![least("0")]),
            ("after=x", vec![integer("after", "x")]),
            ("after=", vec![integer("after", "")]),
            ("email=nobody", vec![address("nobody", NO_AT)]),
            ("email=", vec![address("", NO_AT)]),
            ("etag=1", vec![boolean("1")]),
            ("etag", vec![boolean("")]),
            ("etag=true&etag=yes", vec![boolean("yes")]),
            (
                "etag=x&email=nobody&after=x&limit=0",
                vec![
                    least("0"),
                    integer("after", "x"),
                    address("nobody", NO_AT),
                    boolean("x"),
                ],
            ),
        ] {
            for path in ["/users/", "/users.ndjson"] {
                let answer = service.get(&format!("{path}?{query}")).await;
                assert_eq!(answer.status, 422, "{path}?{query}");
                is(&answer, 422, &json!({"detail": faults}));
            }
        }
    })
    .await;
}

/// Ann with two changes, and Bob.
async fn ann_and_bob(service: &Service) {
    service.create("Ann", "ann@example.org").await;
    service.create("Bob", "bob@example.org").await;
    for name in ["Anna", "Anne"] {
        let name = json!({"name": name});
        service.send("PATCH", "/users/1", &name).await;
    }
}

#[tokio::test]
async fn list_with_etag_has_the_etag_of_each_user() {
    on_each(async |service| {
        ann_and_bob(service).await;
        let users = [
            r#"{"id":1,"name":"Anne","email":"ann@example.org","etag":"\"3\""}"#,
            r#"{"id":2,"name":"Bob","email":"bob@example.org","etag":"\"1\""}"#,
        ];
        for query in ["etag=true", "etag=True", "etag=false&etag=true"] {
            let page = service.get(&format!("/users/?{query}")).await;
            assert_eq!(page.text(), format!("[{}]", users.join(",")), "{query}");
            let lines = service.get(&format!("/users.ndjson?{query}")).await;
            assert_eq!(lines.text(), format!("{}\n", users.join("\n")), "{query}");
        }
        for id in [1, 2] {
            let tag = service.get(&format!("/users/{id}")).await.header("etag");
            let page = service.get("/users/?etag=true").await.json();
            assert_eq!(page[id - 1]["etag"].as_str(), tag.as_deref());
        }
    })
    .await;
}

#[tokio::test]
async fn list_without_etag_in_query_has_no_etags() {
    on_each(async |service| {
        ann_and_bob(service).await;
        let page = concat!(
            r#"[{"id":1,"name":"Anne","email":"ann@example.org"},"#,
            r#"{"id":2,"name":"Bob","email":"bob@example.org"}]"#,
        );
        for query in ["", "?etag=false", "?etag=FALSE", "?ETag=true"] {
            assert_eq!(
                service.get(&format!("/users/{query}")).await.text(),
                page,
                "{query}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn next_page_of_list_with_etag_has_etags() {
    on_each(async |service| {
        fill(service, 1, 3).await;
        let first = service.get("/users/?etag=true&limit=2").await;
        let path = next(&first).expect("a next page");
        assert_eq!(path, "/users/?limit=2&after=2&etag=true");
        let second = service.get(&path).await;
        assert_eq!(second.json()[0]["etag"], json!("\"1\""));
    })
    .await;
}

#[tokio::test]
async fn etag_of_list_permits_one_change() {
    on_each(async |service| {
        ann_and_bob(service).await;
        let page = service.get("/users/?etag=true").await.json();
        let tag = page[0]["etag"].as_str().expect("a tag").to_owned();
        for status in [200, 412] {
            let change = json!({"name": "Anja"});
            let change = sending("PATCH", "/users/1", &change).header("if-match", &tag);
            assert_eq!(service.send_request(&change).await.status, status);
        }
    })
    .await;
}
