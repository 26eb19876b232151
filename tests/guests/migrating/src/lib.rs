//! The service with one more migration: its own two, and a third one that fails unless there is a
//! table `permitted`. Every request returns 204.

mod users;

use users::adoption::{self, Adoption};
use users::steps::MIGRATIONS;
use usher_sdk::answer::{Answer, Chunks, Streamed};
use usher_sdk::database::{Database, Dialect};
use usher_sdk::declared::Declared;
use usher_sdk::http::{Header, Request, Response};
use usher_sdk::migrations::{Migrations, Step};
use usher_sdk::routing::Route;
use usher_sdk::service::Service;

struct Migrating;

/// Its first statement succeeds, its second one only if a test has created the table.
const THIRD: Step = Step {
    name: "0003_half",
    sql: "CREATE TABLE half (id bigint);\nINSERT INTO half SELECT id FROM permitted;\n",
    earlier: &[],
};

impl Service for Migrating {
    type Header = Header;
    type Operation = ();
    type Streamed = Nothing;
    type Adoption = Adoption;

    const ROUTES: &'static [Route<()>] = &[];
    const STATEMENTS: &'static [Declared] = &[
        Declared::migrations(adoption::postgres::sql::STATEMENTS).on(Dialect::Postgres),
        Declared::migrations(adoption::sqlite::sql::STATEMENTS).on(Dialect::Sqlite),
    ];
    const MIGRATIONS: Migrations = Migrations {
        postgres: &[MIGRATIONS.postgres[0], MIGRATIONS.postgres[1], THIRD],
        sqlite: &[MIGRATIONS.sqlite[0], MIGRATIONS.sqlite[1], THIRD],
    };

    fn handle(_: &impl Request<Header>, _: &impl Database) -> Answer<Nothing> {
        Answer::Buffered(Response::empty(204))
    }
}

usher_sdk::export!(Migrating);

/// It streams nothing.
enum Nothing {}

impl Streamed for Nothing {
    type Error = ();
    type Chunks<D: Database> = Self;

    fn open<D: Database>(&self, _: &D) -> Result<Self, Response> {
        match *self {}
    }
}

impl Chunks for Nothing {
    type Error = ();

    fn head(&self) -> Response {
        match *self {}
    }

    fn read(&mut self) -> Result<Option<Vec<u8>>, ()> {
        match *self {}
    }
}
