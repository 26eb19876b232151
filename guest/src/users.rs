//! What can be done with users, over any [`Database`]. Both doors, HTTP and the typed interface, lead here.

mod key;
mod refusal;

use crate::database::{self, Cursor, Database, Param, Rows, Value};
use crate::retry;
use crate::sql;
use crate::validation::{Email, Name};
use key::Key;

/// The most users one page may hold.
pub const PAGE_LIMIT: u32 = 1000;

/// The most bytes of names and addresses one page may hold; a single user may be larger than that.
///
/// A page is held whole, as rows and as JSON, in the memory of one instance.
pub const PAGE_BYTES: usize = 1 << 20;

/// The most users that a [`Reader`] fetches at once, beside which the cost of a fetch does not show.
pub const BATCH_LIMIT: u32 = 256;

/// Bytes of names and addresses that a [`Reader`] aims at with one fetch.
const BATCH_BYTES: usize = 64 << 10;

/// The users of a reader's first fetch, when nothing is known of their size yet.
const FIRST_BATCH: u32 = 16;

/// A stored user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The id, from 1.
    pub id: i64,
    /// The name.
    pub name: String,
    /// The normalised address.
    pub email: String,
    /// Goes up by one with every change.
    pub version: i64,
}

/// What a user is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUser<'a> {
    /// The name.
    pub name: Name<'a>,
    /// The address.
    pub email: Email<'a>,
}

/// What to change of a user; [`Changes::default`] changes nothing but the version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes<'a> {
    /// The new name, or `None` to leave it.
    pub name: Option<Name<'a>>,
    /// The new address, or `None` to leave it.
    pub email: Option<Email<'a>>,
}

/// Which users to list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<'a> {
    /// At most this many, from 1 to [`PAGE_LIMIT`].
    pub limit: u32,
    /// Only users with a greater id.
    pub after: i64,
    /// Only the user with this address.
    pub email: Option<Email<'a>>,
}

/// Which users to read, one after the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Selection<'a> {
    /// At most this many, or all there are.
    pub limit: Option<u32>,
    /// Only users with a greater id.
    pub after: i64,
    /// Only the user with this address.
    pub email: Option<Email<'a>>,
}

/// A page of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserPage {
    /// The users, by ascending id.
    pub users: Vec<User>,
    /// Whether there is a user after the last one given.
    pub more: bool,
}

/// The versions a user may have for a write to go ahead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Whatever it has.
    Any,
    /// This one.
    Version(i64),
    /// One of these; never, where there are none.
    OneOf(Vec<i64>),
}

impl From<Option<i64>> for Expected {
    fn from(version: Option<i64>) -> Self {
        version.map_or(Self::Any, Self::Version)
    }
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// No user has this id.
    NotFound,
    /// Another user has this address.
    EmailTaken,
    /// The user has another version than the expected one.
    Stale,
    /// The database could not be used; nothing happened, and a later try may pass.
    Unavailable,
    /// The database took too long; nothing happened.
    Timeout,
    /// Whether the change took effect is unknown.
    InDoubt,
    /// Other data refers to this user.
    Referenced,
    /// The change conflicts with other data, by a constraint or a trigger that this service does not know.
    Conflict,
    /// The database accepts no such user, by a type, a constraint or a limit that this service does not know.
    Unacceptable,
    /// The service is at fault. The text is for its operator.
    Internal(String),
}

impl From<database::Error> for Error {
    fn from(error: database::Error) -> Self {
        use database::Error as E;
        match error {
            E::Unavailable(_) | E::Overloaded => Self::Unavailable,
            E::Timeout => Self::Timeout,
            E::InDoubt => Self::InDoubt,
            E::Refused(refusal) => refusal::told(&refusal),
            // These statements are denied only where the host has the database open for reading alone.
            E::Denied(_) => Self::Unavailable,
            E::Invalid(_) | E::TooLarge(_) => Self::Internal(error.to_string()),
        }
    }
}

/// Stores a new user.
///
/// # Errors
/// [`Error::EmailTaken`], or as the database fails.
pub fn create(database: &impl Database, user: &NewUser<'_>) -> Result<User, Error> {
    let params = [
        Param::Text(user.name.as_str()),
        Param::Text(user.email.as_str()),
    ];
    let mut attempts = retry::ATTEMPTS;
    loop {
        match retry::query(database, sql::CREATE, &params) {
            Ok(rows) => {
                return first(rows)?
                    .ok_or_else(|| Error::Internal("INSERT … RETURNING gave no row".into()));
            }
            Err(error) => match key::violated(database, &error) {
                Some(Key::Email) => return Err(Error::EmailTaken),
                // The sequence is behind the ids that were stored without it. Each attempt takes one further, so a later request gets
                // through where this one does not.
                Some(Key::Id) if attempts == 0 => return Err(Error::Unavailable),
                Some(Key::Id) => attempts -= 1,
                Some(Key::Other) => return Err(Error::Conflict),
                None => return Err(error.into()),
            },
        }
    }
}

/// Gives one user.
///
/// # Errors
/// [`Error::NotFound`], or as the database fails.
pub fn get(database: &impl Database, id: i64) -> Result<User, Error> {
    let rows = retry::query(database, sql::GET, &[Param::Integer(id)])?;
    let row = rows.into_iter().next().ok_or(Error::NotFound)?;
    known(id, row.into_iter())
}

/// Gives a page of users, of at most the limit and at most [`PAGE_BYTES`], and of one user at least where there is one.
///
/// # Errors
/// As the database fails.
pub fn list(database: &impl Database, page: &Page<'_>) -> Result<UserPage, Error> {
    let limit = page.limit.min(PAGE_LIMIT);
    // One more than asked for tells whether there is more.
    let (statement, params) = listing(page.after, i64::from(limit) + 1, page.email.as_ref());
    let rows = match retry::query(database, statement, &params) {
        Ok(rows) => rows,
        Err(database::Error::TooLarge(_)) => return list_in_batches(database, page, limit),
        Err(error) => return Err(error.into()),
    };
    let found = rows.len();
    let mut users = Vec::with_capacity(found.min(limit as usize));
    let mut bytes = 0;
    for row in rows.into_iter().take(limit as usize) {
        let user = user(row)?;
        bytes += size(&user);
        if bytes > PAGE_BYTES && !users.is_empty() {
            break;
        }
        users.push(user);
    }
    let more = found > users.len();
    Ok(UserPage { users, more })
}

/// The same for users who are too large to be given in one result.
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
            // One that has no room in a result ends this page and fails the next, which nobody else's page is part of.
            Err(database::Error::TooLarge(_)) if !users.is_empty() => {
                return Ok(UserPage { users, more: true });
            }
            Err(error) => return Err(error.into()),
        };
        if batch.is_empty() {
            return Ok(UserPage { users, more: false });
        }
        for row in batch {
            let user = user(row)?;
            bytes += size(&user);
            if users.len() >= limit as usize || (bytes > PAGE_BYTES && !users.is_empty()) {
                return Ok(UserPage { users, more: true });
            }
            users.push(user);
        }
    }
}

/// What a user takes of [`PAGE_BYTES`].
fn size(user: &User) -> usize {
    user.name.len() + user.email.len()
}

fn listing<'a>(
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

/// Users that are read batch by batch. Dropping it ends the query.
#[derive(Debug)]
pub struct Reader<C> {
    cursor: C,
    /// How many to fetch next.
    at_most: u32,
}

/// Begins to read users by ascending id, as they are at this moment, however long that takes.
///
/// # Errors
/// As the database fails.
pub fn read<D: Database>(
    database: &D,
    selection: &Selection<'_>,
) -> Result<Reader<D::Cursor>, Error> {
    let limit = selection.limit.map_or(sql::ALL, i64::from);
    let (statement, params) = listing(selection.after, limit, selection.email.as_ref());
    Ok(Reader {
        cursor: database.open(statement, &params)?,
        at_most: FIRST_BATCH,
    })
}

impl<C: Cursor> Reader<C> {
    /// The next users, as many as make a batch of some kilobytes; none at the end.
    ///
    /// # Errors
    /// As the database fails. There are no users after that.
    pub fn read(&mut self) -> Result<Vec<User>, Error> {
        self.fetch()?.into_iter().map(user).collect()
    }

    /// Fetches rows, and learns from their size how many to fetch next.
    fn fetch(&mut self) -> Result<Rows, database::Error> {
        let rows = self.cursor.next(self.at_most)?;
        if !rows.is_empty() {
            let text = |value: &Value| match value {
                Value::Text(text) => text.len(),
                _ => 0,
            };
            let bytes: usize = rows.iter().flatten().map(text).sum();
            let average = (bytes / rows.len()).max(1);
            self.at_most = u32::try_from(BATCH_BYTES / average)
                .unwrap_or(BATCH_LIMIT)
                .clamp(1, BATCH_LIMIT);
        }
        Ok(rows)
    }
}

/// Replaces name and address.
///
/// # Errors
/// [`Error::NotFound`], [`Error::EmailTaken`], [`Error::Stale`], or as the database fails.
pub fn replace(
    database: &impl Database,
    id: i64,
    user: &NewUser<'_>,
    expected: &Expected,
) -> Result<User, Error> {
    update(
        database,
        id,
        Some(user.name.as_str()),
        Some(user.email.as_str()),
        expected,
    )
}

/// Changes what is given.
///
/// # Errors
/// As [`replace`].
pub fn change(
    database: &impl Database,
    id: i64,
    changes: &Changes<'_>,
    expected: &Expected,
) -> Result<User, Error> {
    let name = changes.name.as_ref().map(Name::as_str);
    let email = changes.email.as_ref().map(Email::as_str);
    update(database, id, name, email, expected)
}

/// Deletes a user.
///
/// # Errors
/// [`Error::NotFound`], [`Error::Stale`], [`Error::Referenced`], or as the database fails.
pub fn delete(database: &impl Database, id: i64, expected: &Expected) -> Result<(), Error> {
    conditionally(database, id, expected, |version| {
        let params = [Param::Integer(id), version.into()];
        let deleted = retry::query(database, sql::DELETE, &params).map_err(|error| {
            match Error::from(error) {
                // Nothing was given that could be unacceptable: it is what is there that forbids it.
                Error::Unacceptable => Error::Conflict,
                error => error,
            }
        })?;
        Ok((!deleted.is_empty()).then_some(()))
    })
}

fn update(
    database: &impl Database,
    id: i64,
    name: Option<&str>,
    email: Option<&str>,
    expected: &Expected,
) -> Result<User, Error> {
    conditionally(database, id, expected, |version| {
        let params = [
            Param::Integer(id),
            name.into(),
            email.into(),
            version.into(),
        ];
        first(
            retry::query(database, sql::UPDATE, &params).map_err(|error| {
                match key::violated(database, &error) {
                    Some(Key::Email) => Error::EmailTaken,
                    Some(Key::Id | Key::Other) => Error::Conflict,
                    None => error.into(),
                }
            })?,
        )
    })
}

/// Runs a write that gives `None` where no user has the id and the version it is handed.
fn conditionally<T>(
    database: &impl Database,
    id: i64,
    expected: &Expected,
    write: impl Fn(Option<i64>) -> Result<Option<T>, Error>,
) -> Result<T, Error> {
    match expected {
        Expected::Any => write(None)?.ok_or(Error::NotFound),
        Expected::Version(wanted) => match write(Some(*wanted))? {
            Some(written) => Ok(written),
            None => Err(version(database, id)?.map_or(Error::NotFound, |_| Error::Stale)),
        },
        // The write is made under the version just read. Where it misses, someone else changed the user in between, and
        // what they left may be acceptable too.
        Expected::OneOf(wanted) => loop {
            let current = version(database, id)?.ok_or(Error::NotFound)?;
            if !wanted.contains(&current) {
                return Err(Error::Stale);
            }
            if let Some(written) = write(Some(current))? {
                return Ok(written);
            }
        },
    }
}

fn version(database: &impl Database, id: i64) -> Result<Option<i64>, Error> {
    match retry::query(database, sql::VERSION, &[Param::Integer(id)])?
        .first()
        .map(Vec::as_slice)
    {
        None => Ok(None),
        Some([Value::Integer(version)]) => Ok(Some(*version)),
        Some(_) => Err(shape()),
    }
}

fn first(rows: Rows) -> Result<Option<User>, Error> {
    rows.into_iter().next().map(user).transpose()
}

fn user(row: Vec<Value>) -> Result<User, Error> {
    let mut values = row.into_iter();
    match values.next() {
        Some(Value::Integer(id)) => known(id, values),
        _ => Err(shape()),
    }
}

/// A user whose id is known, by the other columns.
fn known(id: i64, mut rest: impl Iterator<Item = Value>) -> Result<User, Error> {
    match (rest.next(), rest.next(), rest.next(), rest.next()) {
        (
            Some(name @ (Value::Text(_) | Value::Null)),
            Some(email @ (Value::Text(_) | Value::Null)),
            Some(Value::Integer(version)),
            None,
        ) => Ok(User {
            id,
            name: text(name),
            email: text(email),
            version,
        }),
        _ => Err(shape()),
    }
}

/// A text. Where another program has left none, the user is there all the same, with an empty one, and so is every list he is in.
fn text(value: Value) -> String {
    match value {
        Value::Text(text) => text,
        _ => String::new(),
    }
}

fn shape() -> Error {
    Error::Internal("a row of users has other columns than were asked for".into())
}
