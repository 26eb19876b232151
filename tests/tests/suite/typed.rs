//! The same users by typed calls, without HTTP, over the same database.

use serde_json::json;
use usher_testing::typed::Typed;
use usher_testing::typed::exports::usher::users::users::{
    Changes, Error, Guest, NewUser, Page, User,
};
use usher_tests::http::Request;

use crate::service::{is, on_each, sending};

fn user(name: &str, email: &str) -> NewUser {
    NewUser {
        name: name.to_owned(),
        email: email.to_owned(),
    }
}

fn name(name: &str) -> Changes {
    Changes {
        name: Some(name.to_owned()),
        email: None,
    }
}

fn page(limit: u32, after: i64, email: Option<&str>) -> Page {
    Page {
        limit,
        after,
        email: email.map(str::to_owned),
    }
}

fn parts(user: &User) -> (i64, &str, &str) {
    (user.id, &user.name, &user.email)
}

fn users(typed: &Typed) -> &Guest {
    typed.usher_users_users()
}

#[tokio::test]
async fn typed_calls_and_http_share_the_same_users() {
    on_each(async |service| {
        let (mut store, typed) = service.app.typed().await.expect("an instance");
        let new = user("Ann", "Ann@EXAMPLE.org");
        let created = users(&typed).call_create(&mut store, &new).await;
        let created = created.expect("a call").expect("a user");
        assert_eq!(parts(&created), (1, "Ann", "Ann@example.org"));
        let got = service.get("/users/1").await;
        is(
            &got,
            200,
            &json!({"id": 1, "name": "Ann", "email": "Ann@example.org"}),
        );
        assert_eq!(got.header("etag"), Some(format!("\"{}\"", created.version)));

        let changed = users(&typed)
            .call_change(&mut store, 1, &name("Anna"), Some(created.version))
            .await;
        let changed = changed.expect("a call").expect("a user");
        assert_eq!(parts(&changed), (1, "Anna", "Ann@example.org"));
        // After a write here the tag is stale there, and vice versa.
        let stale = sending("PATCH", "/users/1", &json!({"name": "x"}))
            .header("if-match", &format!("\"{}\"", created.version));
        assert_eq!(service.send_request(&stale).await.status, 412);
        assert_eq!(
            service
                .send("PATCH", "/users/1", &json!({"name": "y"}))
                .await
                .status,
            200
        );
        let stale = users(&typed)
            .call_replace(
                &mut store,
                1,
                &user("z", "z@example.org"),
                Some(changed.version),
            )
            .await;
        assert!(matches!(stale.expect("a call"), Err(Error::Stale)));

        let replaced = users(&typed)
            .call_replace(&mut store, 1, &user("z", "z@example.org"), None)
            .await;
        assert_eq!(
            parts(&replaced.expect("a call").expect("a user")),
            (1, "z", "z@example.org")
        );
        let deleted = users(&typed).call_delete(&mut store, 1, None).await;
        deleted.expect("a call").expect("it is there");
        assert_eq!(
            service.send_request(&Request::get("/users/1")).await.status,
            404
        );
    })
    .await;
}

#[tokio::test]
async fn typed_errors_are_distinct() {
    on_each(async |service| {
        service.create("Ann", "ann@example.org").await;
        service.create("Bob", "bob@example.org").await;
        let (mut store, typed) = service.app.typed().await.expect("an instance");
        let guest = users(&typed);
        let taken = guest
            .call_create(&mut store, &user("x", "bob@EXAMPLE.org"))
            .await;
        assert!(matches!(taken.expect("a call"), Err(Error::EmailTaken)));
        let taken = guest
            .call_replace(&mut store, 1, &user("x", "bob@example.org"), None)
            .await;
        assert!(matches!(taken.expect("a call"), Err(Error::EmailTaken)));
        let invalid = guest.call_create(&mut store, &user("x\0", "nobody")).await;
        let Err(Error::Invalid(faults)) = invalid.expect("a call") else {
            panic!("it is neither a name nor an address")
        };
        let fields: Vec<_> = faults.iter().map(|fault| fault.field.as_str()).collect();
        assert_eq!(fields, ["name", "email"]);
        for id in [0, -1, 3, i64::MAX, i64::MIN] {
            let got = guest.call_get(&mut store, id).await;
            assert!(matches!(got.expect("a call"), Err(Error::NotFound)), "{id}");
            let changed = guest.call_change(&mut store, id, &name("x"), Some(1)).await;
            assert!(
                matches!(changed.expect("a call"), Err(Error::NotFound)),
                "{id}"
            );
            let deleted = guest.call_delete(&mut store, id, None).await;
            assert!(
                matches!(deleted.expect("a call"), Err(Error::NotFound)),
                "{id}"
            );
        }
    })
    .await;
}

#[tokio::test]
async fn typed_pages_have_the_requested_length() {
    on_each(async |service| {
        for number in 1..=5 {
            service.create("x", &format!("u{number}@example.org")).await;
        }
        let (mut store, typed) = service.app.typed().await.expect("an instance");
        for (page, expected, more) in [
            (page(2, 0, None), vec![1, 2], true),
            (page(2, 2, None), vec![3, 4], true),
            (page(2, 4, None), vec![5], false),
            (page(5, 0, None), vec![1, 2, 3, 4, 5], false),
            (page(1000, -1, None), vec![1, 2, 3, 4, 5], false),
            (page(10, 0, Some("u4@EXAMPLE.org")), vec![4], false),
            (page(10, 4, Some("u4@example.org")), vec![], false),
        ] {
            let found = users(&typed).call_list(&mut store, &page).await;
            let found = found.expect("a call").expect("a page");
            let ids: Vec<_> = found.users.iter().map(|user| user.id).collect();
            assert_eq!((ids, found.more), (expected, more), "{page:?}");
        }
        let wrong = page(10, 0, Some("nobody"));
        let wrong = users(&typed).call_list(&mut store, &wrong).await;
        assert!(matches!(wrong.expect("a call"), Err(Error::Invalid(_))));
    })
    .await;
}
