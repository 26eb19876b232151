//! Notes in folders: a foreign key, transactions over two tables, and a search.

use serde::{Deserialize, Serialize};
use usher_sdk::prelude::*;

/// The service.
pub struct App;

impl Routed for App {
    type Header = Header;

    const ROUTES: Routes = &[
        Route::get("/folders", list_folders),
        Route::post("/folders", create_folder),
        Route::delete("/folders/{id}", delete_folder),
        Route::get("/folders/{id}/notes", list_notes),
        Route::post("/folders/{id}/notes", create_note),
        Route::get("/notes", search),
        Route::get("/notes/{id}", read_note),
        Route::put("/notes/{id}", replace_note),
        Route::delete("/notes/{id}", delete_note),
        Route::stream("/notes.ndjson", export),
    ];
    const STATEMENTS: &'static [Declared] = &[Declared::service(sql::STATEMENTS)];
    const MIGRATIONS: Migrations = migrations!("../migrations": "0001_notes");
}

usher_sdk::export!(App);

/// Every statement. PostgreSQL and SQLite share one text.
mod sql {
    usher_sdk::statements! {
        /// All folders.
        FOLDERS = "SELECT id, name, notes FROM folders ORDER BY name";
        /// `$1` name.
        CREATE_FOLDER = "INSERT INTO folders (name) VALUES ($1) RETURNING id, name, notes";
        /// `$1` id.
        DELETE_FOLDER = "DELETE FROM folders WHERE id = $1";
        /// `$1` the folder's id, `$2` how many notes it gains.
        COUNT = "UPDATE folders SET notes = notes + $2 WHERE id = $1";
        /// `$1` the folder's id.
        NOTES = "SELECT id, folder_id, title, body FROM notes WHERE folder_id = $1 ORDER BY id";
        /// All notes.
        ALL_NOTES = "SELECT id, folder_id, title, body FROM notes ORDER BY id";
        /// `$1` a pattern, `$2` the limit.
        SEARCH = r"SELECT id, folder_id, title, body FROM notes
            WHERE lower(title) LIKE lower($1) ESCAPE '\' OR lower(body) LIKE lower($1) ESCAPE '\'
            ORDER BY id LIMIT $2";
        /// `$1` id.
        READ = "SELECT id, folder_id, title, body FROM notes WHERE id = $1";
        /// `$1` the folder's id, `$2` title, `$3` body.
        CREATE = "INSERT INTO notes (folder_id, title, body) VALUES ($1, $2, $3)
            RETURNING id, folder_id, title, body";
        /// `$1` id, `$2` the folder's id, `$3` title, `$4` body.
        REPLACE = "UPDATE notes SET folder_id = $2, title = $3, body = $4 WHERE id = $1
            RETURNING id, folder_id, title, body";
        /// `$1` id.
        DELETE = "DELETE FROM notes WHERE id = $1 RETURNING id, folder_id, title, body";
    }
}

#[derive(FromRow, Serialize)]
struct Folder {
    id: i64,
    name: String,
    notes: i64,
}

#[derive(FromRow, Serialize)]
struct Note {
    id: i64,
    #[row(column = "folder_id")]
    folder: i64,
    title: String,
    body: String,
}

#[derive(Deserialize)]
struct NewFolder {
    name: String,
}

#[derive(Deserialize)]
struct NewNote {
    title: String,
    #[serde(default)]
    body: String,
}

#[derive(Deserialize)]
struct Replacement {
    folder: i64,
    #[serde(flatten)]
    note: NewNote,
}

fn list_folders(_: &Request, db: &Db) -> Result<Response, Problem> {
    Response::json(200, &db.query_as::<Folder>(sql::FOLDERS, params![])?)
}

fn create_folder(request: &Request, db: &Db) -> Result<Response, Problem> {
    let new: NewFolder = request.json()?;
    let taken = || Problem::conflict("another folder has this name");
    let folder: Folder = db
        .query_one(sql::CREATE_FOLDER, params![&new.name])
        .on_refusal(RefusalKind::UniqueViolation, taken)?;
    Response::created(format!("/folders/{}/notes", folder.id), &folder)
}

/// The foreign key refuses the deletion of a folder that has notes.
fn delete_folder(request: &Request, db: &Db) -> Result<Response, Problem> {
    let id: i64 = request.param("id")?;
    let full = || Problem::conflict("the folder has notes");
    let deleted = db
        .execute(sql::DELETE_FOLDER, params![id])
        .on_refusal(RefusalKind::ForeignKeyViolation, full)?;
    if deleted == 0 {
        return Err(no_folder());
    }
    Ok(Response::empty(204))
}

fn list_notes(request: &Request, db: &Db) -> Result<Response, Problem> {
    let folder: i64 = request.param("id")?;
    Response::json(200, &db.query_as::<Note>(sql::NOTES, params![folder])?)
}

fn create_note(request: &Request, db: &Db) -> Result<Response, Problem> {
    let folder: i64 = request.param("id")?;
    let new: NewNote = request.json()?;
    let note: Note = db.transaction(|tx| {
        if tx.execute(sql::COUNT, params![folder, 1])? == 0 {
            return Err(no_folder());
        }
        Ok(tx.query_one(sql::CREATE, params![folder, &new.title, &new.body])?)
    })?;
    Response::created(format!("/notes/{}", note.id), &note)
}

/// Notes whose title or body contains `q`, in upper or lower case.
fn search(request: &Request, db: &Db) -> Result<Response, Problem> {
    let words: String = request.query("q")?.unwrap_or_default();
    let limit: i64 = request.query("limit")?.unwrap_or(100);
    let mut pattern = String::from("%");
    for letter in words.chars() {
        if matches!(letter, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(letter);
    }
    pattern.push('%');
    let params = params![&pattern, limit.clamp(1, 1000)];
    Response::json(200, &db.query_as::<Note>(sql::SEARCH, params)?)
}

fn read_note(request: &Request, db: &Db) -> Result<Response, Problem> {
    let id: i64 = request.param("id")?;
    Response::json(200, &db.query_one::<Note>(sql::READ, params![id])?)
}

/// Replaces a note. It may move to another folder, whose count rises in the same transaction.
fn replace_note(request: &Request, db: &Db) -> Result<Response, Problem> {
    let id: i64 = request.param("id")?;
    let Replacement { folder, note: new } = request.json()?;
    let missing = || Problem::invalid("folder", "there is no such folder");
    let note: Note = db.transaction(|tx| {
        let before: Note = tx.query_one(sql::READ, params![id])?;
        tx.execute(sql::COUNT, params![before.folder, -1])?;
        tx.execute(sql::COUNT, params![folder, 1])?;
        tx.query_one(sql::REPLACE, params![id, folder, &new.title, &new.body])
            .on_refusal(RefusalKind::ForeignKeyViolation, missing)
    })?;
    Response::json(200, &note)
}

fn delete_note(request: &Request, db: &Db) -> Result<Response, Problem> {
    let id: i64 = request.param("id")?;
    db.transaction(|tx| {
        let deleted: Note = tx.query_one(sql::DELETE, params![id])?;
        tx.execute(sql::COUNT, params![deleted.folder, -1])?;
        Ok(Response::empty(204))
    })
}

/// All notes, one per line, while the database is still reading them.
fn export(_: &Request) -> Result<Ndjson, Problem> {
    Ok(Ndjson::of::<Note>(sql::ALL_NOTES, params![]))
}

fn no_folder() -> Problem {
    Problem::not_found("there is no such folder")
}
