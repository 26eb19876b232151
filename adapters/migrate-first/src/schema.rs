//! The service's migrations, once in an instance. The door for WASI 0.3 compiles this file, too.

use std::cell::Cell;

use crate::bindings::usher::service::migrations::{self, Error, Migration};

thread_local! {
    static IS_MIGRATED: Cell<bool> = const { Cell::new(false) };
}

/// Applies the migrations unless this instance has done so.
///
/// # Errors
/// With the reason, in words. The next call tries again.
pub(crate) fn migrate_once() -> Result<(), String> {
    if !IS_MIGRATED.get() {
        migrations::apply().map_err(reason)?;
        IS_MIGRATED.set(true);
    }
    Ok(())
}

fn reason(error: Error) -> String {
    let named =
        |migration: Migration| format!("migration {} {}", migration.version, migration.name);
    match error {
        Error::Failed((migration, why)) => format!("{} failed: {why}", named(migration)),
        Error::Changed(migration) => format!(
            "{} was applied with another text than this component has",
            named(migration)
        ),
        Error::Unknown(migration) => format!(
            "the database has {}, which this component does not know: use a newer component",
            named(migration)
        ),
        Error::Unavailable(why) => format!("the schema cannot be migrated: {why}"),
    }
}
