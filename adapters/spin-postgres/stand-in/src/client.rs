//! Pools of connections by their address, statements, and errors as Spin returns them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, bail};
use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, RecyclingMethod};
use futures_util::{StreamExt as _, pin_mut};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Config, NoTls, Row};

use crate::bindings::spin::postgres::postgres::{
    Column, DbError, DbValue, Error, ParameterValue, QueryError, RowSet,
};
use crate::values;

/// Connections of one pool.
const POOL_SIZE: usize = 64;

/// The limit of a result in bytes.
const MAX_RESULT_BYTES: usize = 128 << 20;

/// A pool for each text of an address.
#[derive(Default)]
pub struct Pools(Mutex<HashMap<String, Pool>>);

impl Pools {
    /// A connection, once there is one.
    pub async fn client(&self, address: &str) -> anyhow::Result<Client> {
        let pool = self.pool(address)?;
        Ok(Client(Arc::new(pool.get().await?)))
    }

    fn pool(&self, address: &str) -> anyhow::Result<Pool> {
        let mut pools = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(address) {
            return Ok(pool.clone());
        }
        let config: Config = address.parse().context("parsing the connection string")?;
        // It resets the session's settings, but does not end a transaction.
        let recycling_method = RecyclingMethod::Clean;
        let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method });
        let pool = Pool::builder(manager).max_size(POOL_SIZE).build()?;
        pools.insert(address.to_owned(), pool.clone());
        Ok(pool)
    }
}

/// A connection, which returns to its pool when the last of its clones is dropped.
#[derive(Clone)]
pub struct Client(Arc<Object>);

type Parameters = Vec<Box<dyn ToSql + Send + Sync>>;

fn parameters(params: &[ParameterValue]) -> anyhow::Result<Parameters> {
    params.iter().map(values::parameter).collect()
}

impl Client {
    /// Runs a statement and returns the number of affected rows.
    pub async fn execute(&self, statement: &str, params: &[ParameterValue]) -> Result<u64, Error> {
        let params = parameters(params)
            .map_err(|error| Error::ValueConversionFailed(format!("{error:?}")))?;
        self.0
            .execute_raw(statement, params)
            .await
            .map_err(query_failed)
    }

    /// Runs a statement and returns its rows. Errors of the rows become text.
    pub async fn query(&self, statement: &str, params: &[ParameterValue]) -> Result<RowSet, Error> {
        let params =
            parameters(params).map_err(|error| Error::BadParameter(format!("{error:?}")))?;
        let found = self
            .0
            .query_raw(statement, params)
            .await
            .map_err(query_failed)?;
        pin_mut!(found);
        let mut result = RowSet {
            columns: Vec::new(),
            rows: Vec::new(),
        };
        let mut bytes = size_of::<RowSet>();
        let read: anyhow::Result<()> = async {
            while let Some(row) = found.next().await {
                let row = row.map_err(query_failed)?;
                if result.columns.is_empty() {
                    result.columns = columns(&row);
                }
                let row = cells(&row).map_err(as_text)?;
                bytes += row.iter().map(values::memory_size).sum::<usize>();
                if bytes > MAX_RESULT_BYTES {
                    bail!("query result exceeds limit of {MAX_RESULT_BYTES} bytes");
                }
                result.rows.push(row);
            }
            Ok(())
        }
        .await;
        read.map_err(as_text)?;
        Ok(result)
    }
}

fn columns(row: &Row) -> Vec<Column> {
    let columns = row.columns().iter();
    columns
        .map(|column| Column {
            name: column.name().to_owned(),
            data_type: values::data_type(column.type_()),
        })
        .collect()
}

fn cells(row: &Row) -> anyhow::Result<Vec<DbValue>> {
    (0..row.len())
        .map(|index| values::cell(row, index))
        .collect()
}

#[allow(clippy::needless_pass_by_value, reason = "it is passed to map_err")]
fn as_text(error: anyhow::Error) -> Error {
    Error::QueryFailed(QueryError::Text(format!("{error:?}")))
}

#[allow(clippy::needless_pass_by_value, reason = "it is passed to map_err")]
fn query_failed(error: tokio_postgres::Error) -> Error {
    let as_text = format!("{error:?}");
    let Some(found) = error.as_db_error() else {
        return Error::QueryFailed(QueryError::Text(as_text));
    };
    let extras = [
        ("column", found.column()),
        ("constraint", found.constraint()),
        ("routine", found.routine()),
        ("hint", found.hint()),
        ("table", found.table()),
        ("datatype", found.datatype()),
        ("schema", found.schema()),
    ];
    Error::QueryFailed(QueryError::DbError(DbError {
        as_text,
        severity: found.severity().to_owned(),
        code: found.code().code().to_owned(),
        message: found.message().to_owned(),
        detail: found.detail().map(str::to_owned),
        extras: extras
            .into_iter()
            .filter_map(|(name, value)| Some((name.to_owned(), value?.to_owned())))
            .collect(),
    }))
}
