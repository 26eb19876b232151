//! The migrations of this component: a file per step and dialect in `guest/migrations/`.

use usher_sdk::database::Dialect;
use usher_sdk::migrations::{self, Migrations};

/// The migrations, in order. The earlier texts of the first one altered an existing table. Adoption
/// does so now, after inspecting it.
pub const MIGRATIONS: Migrations = usher_sdk::migrations!(
    "../../migrations":
    "0001_users" (&["2957aa57ca36e788"], &["721e23a125a14965"]),
    "0002_versions",
);

/// The statements that create the trigger that increments the version of a user that another
/// program changes.
pub(super) fn version_trigger(dialect: Dialect) -> impl Iterator<Item = &'static str> {
    MIGRATIONS
        .steps(dialect)
        .get(1)
        .into_iter()
        .flat_map(|step| migrations::statements(step.sql))
}
