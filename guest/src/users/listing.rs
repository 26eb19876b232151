//! Listing users: a page at a time, or all of them in batches.

use super::error::Error;
use super::model::{PAGE_LIMIT, Page, Selection, UserPage, UserRef};
use super::{row, sql};
use crate::compat::email::Email;
use usher_sdk::database::{self, Cursor, Database, Param, Records};
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

/// The rows of a page: at least those of its users, and at most [`PAGE_BYTES`] and one batch more.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    batches: Vec<Records>,
    /// The maximum number of users on the page.
    limit: usize,
    /// Whether a user follows who is not in the batches.
    cut: bool,
}

/// Reads a page of users, which [`Listed::page`] returns.
///
/// # Errors
/// When the database fails.
pub fn list(database: &impl Database, page: &Page<'_>) -> Result<Listed, Error> {
    let limit = page.limit.min(PAGE_LIMIT);
    // One row beyond the limit tells whether there are more.
    let (statement, params) = statement(page.after, i64::from(limit) + 1, page.email.as_ref());
    match retry::query_records(database, statement, &params) {
        Ok(records) => Ok(Listed {
            batches: vec![records],
            limit: limit as usize,
            cut: false,
        }),
        Err(database::Error::TooLarge(_)) => list_in_batches(database, page, limit),
        Err(error) => Err(error.into()),
    }
}

/// As [`list`], for users that together are larger than the host's limit for one result.
fn list_in_batches(database: &impl Database, page: &Page<'_>, limit: u32) -> Result<Listed, Error> {
    let selection = Selection {
        limit: Some(limit + 1),
        after: page.after,
        email: page.email.clone(),
    };
    let mut reader = read(database, &selection)?;
    let mut listed = Listed {
        batches: Vec::new(),
        limit: limit as usize,
        cut: false,
    };
    let (mut users, mut bytes) = (0, 0);
    // Two users that are too large together end the page before the second one.
    while users <= listed.limit && (bytes <= PAGE_BYTES || users < 2) {
        let batch = match reader.fetch() {
            Ok(batch) => batch,
            // A user larger than a result ends this page, and fails only the page it begins.
            Err(database::Error::TooLarge(_)) if users > 0 => {
                listed.cut = true;
                break;
            }
            Err(error) => return Err(error.into()),
        };
        if batch.is_empty() {
            break;
        }
        users += batch.len();
        bytes += batch.text_bytes();
        listed.batches.push(batch);
    }
    Ok(listed)
}

impl Listed {
    /// The page: at most its limit of users and at most [`PAGE_BYTES`], but at least one user if
    /// there is any.
    ///
    /// # Errors
    /// If a row is no user.
    pub fn page(&self) -> Result<UserPage<'_>, Error> {
        let found: usize = self.batches.iter().map(Records::len).sum();
        let mut users = Vec::with_capacity(found.min(self.limit));
        let mut bytes = 0;
        for record in self.batches.iter().flat_map(Records::iter).take(self.limit) {
            let user = row::listed(record)?;
            bytes += size(user);
            if bytes > PAGE_BYTES && !users.is_empty() {
                break;
            }
            users.push(user);
        }
        let more = self.cut || found > users.len();
        let texts = match &self.batches[..] {
            [all] => all.texts(),
            _ => None,
        };
        Ok(UserPage { users, texts, more })
    }
}

/// The bytes of a user that count against [`PAGE_BYTES`].
fn size(user: UserRef<'_>) -> usize {
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
    /// Returns the next batch, which is empty at the end.
    ///
    /// # Errors
    /// When the database fails. No users follow after an error.
    pub fn read(&mut self) -> Result<Batch, Error> {
        Ok(Batch(self.fetch()?))
    }

    /// Fetches rows, and sizes the next batch by their average length.
    fn fetch(&mut self) -> Result<Records, database::Error> {
        let records = self.cursor.next_records(self.batch)?;
        if !records.is_empty() {
            let average = (records.text_bytes() / records.len()).max(1);
            self.batch = u32::try_from(BATCH_BYTES / average)
                .unwrap_or(BATCH_LIMIT)
                .clamp(1, BATCH_LIMIT);
        }
        Ok(records)
    }
}

/// The rows of some users.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Batch(Records);

impl Batch {
    /// The users from this position on, by ascending id.
    ///
    /// # Errors
    /// If a row is no user.
    pub fn users(&self, from: usize) -> Result<Vec<UserRef<'_>>, Error> {
        self.0.iter().skip(from).map(row::listed).collect()
    }

    /// As [`UserPage::texts`].
    #[must_use]
    pub fn texts(&self) -> Option<&str> {
        self.0.texts()
    }
}
