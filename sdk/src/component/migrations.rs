//! `usher:service/migrations` and `migration-plan`.

use super::bindings::exports::usher::service::{
    migration_plan as planning, migrations as migrating,
};
use super::database::Import;
use super::exported::Component;
use crate::database::Database as _;
use crate::migrations::{self, Finding, FindingKind, Migration, Step};
use crate::service::Service;

impl<S: Service> migrating::Guest for Component<S> {
    fn apply() -> Result<Vec<migrating::Migration>, migrating::Error> {
        let applied = migrations::apply::<S::Adoption>(&Import, steps::<S>())?;
        Ok(applied
            .into_iter()
            .map(migrating::Migration::from)
            .collect())
    }
}

impl<S: Service> planning::Guest for Component<S> {
    fn plan() -> Result<Vec<planning::Finding>, String> {
        let findings = migrations::plan::<S::Adoption>(&Import, steps::<S>())
            .map_err(|error| error.to_string())?;
        Ok(findings.into_iter().map(planning::Finding::from).collect())
    }
}

fn steps<S: Service>() -> &'static [Step] {
    S::MIGRATIONS.steps(Import.dialect())
}

impl From<Finding> for planning::Finding {
    fn from(
        Finding {
            kind,
            subject,
            message,
            remedy,
        }: Finding,
    ) -> Self {
        Self {
            kind: match kind {
                FindingKind::Migration => planning::FindingKind::Migration,
                FindingKind::Change => planning::FindingKind::Change,
                FindingKind::Obstacle => planning::FindingKind::Obstacle,
                FindingKind::Advice => planning::FindingKind::Advice,
            },
            subject,
            message,
            remedy,
        }
    }
}

impl From<Migration> for migrating::Migration {
    fn from(Migration { version, name }: Migration) -> Self {
        Self { version, name }
    }
}

impl From<migrations::Error> for migrating::Error {
    fn from(error: migrations::Error) -> Self {
        match error {
            migrations::Error::Failed(migration, why) => Self::Failed((migration.into(), why)),
            migrations::Error::Changed(migration) => Self::Changed(migration.into()),
            migrations::Error::Unknown(migration) => Self::Unknown(migration.into()),
            migrations::Error::Unavailable(why) => Self::Unavailable(why),
        }
    }
}
