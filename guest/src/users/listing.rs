//! Listing users: a page at a time, or all of them in batches.

use super::error::Error;
use super::model::{PAGE_LIMIT, Page, Selection, User, UserPage};
use super::{row, sql};
use crate::compat::email::Email;
use usher_sdk::database::{self, Cursor, Database, Param, Rows, Value};
use usher_sdk::retry;

/// The maximum bytes of names and addresses on a page. A single larger user still gets a page.
///
/// One instance holds the page in its memory, as rows and as JSON.
pub const PAGE_BYTES: usize = 1 << 20;

/// The maximum number of users that a [`Reader`] fetches at once. The cost of a fetch is
/// negligible beside this many rows.
pub const BATCH_LIMIT: u32 = 256;

/// The target size of a batch, in bytes of names and addresses.
const BATCH_BYTES: usize = 64 << 10;

/// The size of a reader's first batch, before anything is known of the users' sizes.
const FIRST_BATCH: u32 = 16;

/// Returns a page of at most `page.limit` users and at most [`PAGE_BYTES`], but at least one
/// user if there is any.
///
/// # Errors
/// When the database fails.
pub fn list(database: &impl Database, page: &Page<'_>) -> Result<UserPage, Error> {
    let limit = page.limit.min(PAGE_LIMIT);
    // One row beyond the limit tells whether there are more.
    let (statement, params) = statement(page.after, i64::from(limit) + 1, page.email.as_ref());
    let rows = match retry::query(database, statement, &params) {
        Ok(rows) => rows,
        Err(database::Error::TooLarge(_)) => return list_in_batches(database, page, limit),
        Err(error) => return Err(error.into()),
    };
    let found = rows.len();
    let mut users = Vec::with_capacity(found.min(limit as usize));
    let mut bytes = 0;
    for row in rows.into_iter().take(limit as usize) {
        let user = row::user(row)?;
        bytes += size(&user);
        if bytes > PAGE_BYTES && !users.is_empty() {
            break;
        }
        users.push(user);
    }
    let more = found > users.len();
    Ok(UserPage { users, more })
}

/// As [`list`], for users that together are larger than the host's limit for one result.
fn list_in_batches(
    database: &impl Database,
    page: &Page<'_>,
    limit: u32,
) -> Result<UserPage, Error> {
    let selection = Selection {
        limit: Some(limit + 1),
        after: page.after,
        email: page.email.clone(),
    };
    let mut reader = read(database, &selection)?;
    let mut users = Vec::new();
    let mut bytes = 0;
    loop {
        let batch = match reader.fetch() {
            Ok(batch) => batch,
            // A user larger than a result ends this page, and fails only the page it begins.
            Err(database::Error::TooLarge(_)) if !users.is_empty() => {
                return Ok(UserPage { users, more: true });
            }
            Err(error) => return Err(error.into()),
        };
        if batch.is_empty() {
            return Ok(UserPage { users, more: false });
        }
        for row in batch {
            let user = row::user(row)?;
            bytes += size(&user);
            if users.len() >= limit as usize || (bytes > PAGE_BYTES && !users.is_empty()) {
                return Ok(UserPage { users, more: true });
            }
            users.push(user);
        }
    }
}

/// The bytes of a user that count against [`PAGE_BYTES`].
fn size(user: &User) -> usize {
    user.name.len() + user.email.len()
}

fn statement<'a>(
    after: i64,
    limit: i64,
    email: Option<&'a Email<'_>>,
) -> (&'static str, Vec<Param<'a>>) {
    let mut params = vec![Param::Integer(after), Param::Integer(limit)];
    let statement = match email {
        None => sql::LIST,
        Some(email) => {
            params.push(Param::Text(email.as_str()));
            sql::LIST_BY_EMAIL
        }
    };
    (statement, params)
}

/// Reads users in batches. Dropping it ends the query.
#[derive(Debug)]
pub struct Reader<C> {
    cursor: C,
    /// The size of the next batch.
    batch: u32,
}

/// Begins to read users by ascending id, from a snapshot taken now.
///
/// # Errors
/// When the database fails.
pub fn read<D: Database>(
    database: &D,
    selection: &Selection<'_>,
) -> Result<Reader<D::Cursor>, Error> {
    let limit = selection.limit.map_or(sql::ALL, i64::from);
    let (statement, params) = statement(selection.after, limit, selection.email.as_ref());
    Ok(Reader {
        cursor: database.open(statement, &params)?,
        batch: FIRST_BATCH,
    })
}

impl<C: Cursor> Reader<C> {
    /// Returns the next batch of users, which is empty at the end.
    ///
    /// # Errors
    /// When the database fails. No users follow after an error.
    pub fn read(&mut self) -> Result<Vec<User>, Error> {
        self.fetch()?.into_iter().map(row::user).collect()
    }

    /// Fetches rows, and sizes the next batch by their average length.
    fn fetch(&mut self) -> Result<Rows, database::Error> {
        let rows = self.cursor.next(self.batch)?;
        if !rows.is_empty() {
            let text = |value: &Value| match value {
                Value::Text(text) => text.len(),
                _ => 0,
            };
            let bytes: usize = rows.iter().flatten().map(text).sum();
            let average = (bytes / rows.len()).max(1);
            self.batch = u32::try_from(BATCH_BYTES / average)
                .unwrap_or(BATCH_LIMIT)
                .clamp(1, BATCH_LIMIT);
        }
        Ok(rows)
    }
}
