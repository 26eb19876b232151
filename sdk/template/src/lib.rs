//! A service of one resource, `/items`.

use serde::{Deserialize, Serialize};
use usher_sdk::prelude::*;

/// The service.
pub struct App;

impl Routed for App {
    type Header = Header;

    const ROUTES: Routes = &[
        Route::get("/items", list),
        Route::post("/items", create),
        Route::get("/items/{id}", read),
        Route::put("/items/{id}", replace),
        Route::delete("/items/{id}", delete),
        Route::stream("/items.ndjson", export),
    ];
    const STATEMENTS: &'static [Declared] = &[Declared::service(sql::STATEMENTS)];
    const MIGRATIONS: Migrations = migrations!("../migrations": "0001_items");
}

usher_sdk::export!(App);

/// Every statement. PostgreSQL and SQLite share one text.
mod sql {
    usher_sdk::statements! {
        /// `$1` the id to continue after, `$2` the limit.
        LIST = "SELECT id, name, quantity FROM items WHERE id > $1 ORDER BY id LIMIT $2";
        /// `$1` name, `$2` quantity.
        CREATE = "INSERT INTO items (name, quantity) VALUES ($1, $2) RETURNING id, name, quantity";
        /// `$1` id.
        READ = "SELECT id, name, quantity FROM items WHERE id = $1";
        /// `$1` id, `$2` name, `$3` quantity.
        REPLACE = "UPDATE items SET name = $2, quantity = $3 WHERE id = $1 \
            RETURNING id, name, quantity";
        /// `$1` id.
        DELETE = "DELETE FROM items WHERE id = $1";
    }
}

/// A stored item.
#[derive(FromRow, Serialize)]
struct Item {
    id: i64,
    name: String,
    quantity: i64,
}

/// What a client sends.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewItem {
    name: String,
    quantity: i64,
}

impl NewItem {
    /// The body of a request, with its rules checked.
    fn parse(request: &Request) -> Result<Self, Problem> {
        let item: Self = request.json()?;
        if item.name.trim().is_empty() {
            return Err(Problem::invalid("name", "must not be empty"));
        }
        if item.quantity < 0 {
            return Err(Problem::invalid("quantity", "must not be negative"));
        }
        Ok(item)
    }
}

/// The longest page.
const PAGE_LIMIT: i64 = 1000;

fn list(request: &Request, db: &Db) -> Result<Response, Problem> {
    let after: i64 = request.query("after")?.unwrap_or(0);
    let limit: i64 = request.query("limit")?.unwrap_or(100);
    let params = params![after, limit.clamp(1, PAGE_LIMIT)];
    Response::json(200, &db.query_as::<Item>(sql::LIST, params)?)
}

fn create(request: &Request, db: &Db) -> Result<Response, Problem> {
    let new = NewItem::parse(request)?;
    let item: Item = db
        .query_one(sql::CREATE, params![&new.name, new.quantity])
        .on_refusal(RefusalKind::UniqueViolation, name_taken)?;
    Response::created(format!("/items/{}", item.id), &item)
}

fn read(request: &Request, db: &Db) -> Result<Response, Problem> {
    let id: i64 = request.param("id")?;
    Response::json(200, &db.query_one::<Item>(sql::READ, params![id])?)
}

fn replace(request: &Request, db: &Db) -> Result<Response, Problem> {
    let id: i64 = request.param("id")?;
    let new = NewItem::parse(request)?;
    let item: Item = db
        .query_one(sql::REPLACE, params![id, &new.name, new.quantity])
        .on_refusal(RefusalKind::UniqueViolation, name_taken)?;
    Response::json(200, &item)
}

fn delete(request: &Request, db: &Db) -> Result<Response, Problem> {
    let id: i64 = request.param("id")?;
    match db.execute(sql::DELETE, params![id])? {
        0 => Err(Problem::not_found("there is no such item")),
        _ => Ok(Response::empty(204)),
    }
}

/// All items, one per line.
fn export(_: &Request) -> Result<Ndjson, Problem> {
    Ok(Ndjson::of::<Item>(sql::LIST, params![0, i64::MAX]))
}

fn name_taken() -> Problem {
    Problem::conflict("another item has this name")
}
