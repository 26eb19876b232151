//! Routes and their responses.

use axum::body::Body;
use axum::extract::State;
use axum::http::header::{CONTENT_TYPE, ETAG, HOST, IF_NONE_MATCH, LINK, LOCATION};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};

use super::failure::Failure;
use super::request::{Change, NewUser, Page, UserId};
use super::store::{Store, User};

/// The service over a store.
pub(super) fn router<S: Store>(store: S) -> Router {
    Router::new()
        .route("/users/", post(create::<S>).get(list::<S>))
        .route(
            "/users/{user_id}",
            get(one::<S>)
                .put(update::<S>)
                .patch(update::<S>)
                .delete(delete::<S>),
        )
        .route("/users.ndjson", get(all::<S>))
        .route("/users", any(redirect))
        .route("/users/{user_id}/", any(redirect))
        .fallback(async || Failure::NoRoute)
        .method_not_allowed_fallback(async || Failure::MethodNotAllowed)
        .with_state(store)
}

async fn create<S: Store>(State(store): State<S>, user: NewUser) -> Result<Response, Failure> {
    Ok(found(store.create(&user).await?))
}

async fn one<S: Store>(
    State(store): State<S>,
    UserId(id): UserId,
    headers: HeaderMap,
) -> Result<Response, Failure> {
    let user = store.get(id.ok_or(Failure::NotFound)?).await?;
    let tag = etag(&user);
    let known = |tags: &str| {
        tags.split(',').any(|known| {
            matches!(known.trim(), "*") || known.trim().trim_start_matches("W/") == tag
        })
    };
    if headers
        .get(IF_NONE_MATCH)
        .and_then(|tags| tags.to_str().ok())
        .is_some_and(known)
    {
        return Ok((StatusCode::NOT_MODIFIED, [(ETAG, tag)]).into_response());
    }
    Ok(([(ETAG, tag)], Json(user)).into_response())
}

async fn update<S: Store>(
    State(store): State<S>,
    UserId(id): UserId,
    change: Change,
) -> Result<Response, Failure> {
    let id = id.ok_or(Failure::NotFound)?;
    Ok(found(store.update(id, &change).await?))
}

async fn delete<S: Store>(
    State(store): State<S>,
    UserId(id): UserId,
) -> Result<StatusCode, Failure> {
    store.delete(id.ok_or(Failure::NotFound)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn list<S: Store>(State(store): State<S>, page: Page) -> Result<Response, Failure> {
    let mut users = store.list(&page).await?;
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let more = users.len() > limit;
    users.truncate(limit);
    Ok(match users.last() {
        Some(last) if more => {
            let link = format!("</users/?limit={limit}&after={}>; rel=\"next\"", last.id);
            ([(LINK, link)], Json(users)).into_response()
        }
        _ => Json(users).into_response(),
    })
}

async fn all<S: Store>(State(store): State<S>) -> Result<Response, Failure> {
    let lines = Body::from_stream(store.all().await?);
    Ok(([(CONTENT_TYPE, "application/x-ndjson")], lines).into_response())
}

fn found(user: User) -> Response {
    ([(ETAG, etag(&user))], Json(user)).into_response()
}

fn etag(user: &User) -> String {
    format!("\"{}\"", user.version)
}

/// Redirects to the path with, or without, the slash at the end.
async fn redirect(uri: Uri, headers: HeaderMap) -> Response {
    let path = match uri.path().strip_suffix('/') {
        Some(path) => path.to_owned(),
        None => format!("{}/", uri.path()),
    };
    let host = headers
        .get(HOST)
        .and_then(|host| host.to_str().ok())
        .unwrap_or_default();
    let query = uri
        .query()
        .map(|query| format!("?{query}"))
        .unwrap_or_default();
    let location = format!("http://{host}{path}{query}");
    (StatusCode::TEMPORARY_REDIRECT, [(LOCATION, location)]).into_response()
}
