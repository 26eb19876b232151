//! Where the database is: a variable that the application's manifest gives to the component.

use adapter_common::database::failure;
use adapter_common::database::types::Error;

use crate::bindings::fermyon::spin::variables;

/// The name of the variable. Its value is a URL, or keywords and values as in libpq.
const VARIABLE: &str = "database_url";

/// What tells the pool of transactions from the other. Spin keeps a pool for each text.
const APPLICATION: &str = "application_name=usher-transactions";

/// The address for statements outside a transaction.
///
/// # Errors
/// `unavailable` if the manifest has no such variable.
pub(crate) fn for_single_statements() -> Result<String, Error> {
    variables::get(VARIABLE)
        .map_err(|error| failure::unavailable(format!("the variable {VARIABLE}: {error:?}")))
}

/// The address for transactions.
///
/// # Errors
/// As `for_single_statements`.
pub(crate) fn for_transactions() -> Result<String, Error> {
    for_single_statements().map(|address| apart(&address))
}

/// The same database under another text.
fn apart(address: &str) -> String {
    let separator = match address {
        url if !url.contains("://") => ' ',
        url if url.contains('?') => '&',
        _ => '?',
    };
    format!("{address}{separator}{APPLICATION}")
}

#[cfg(test)]
mod tests {
    use super::apart;

    #[test]
    fn address_apart_keeps_its_form() {
        assert_eq!(
            apart("postgres://u@h/d"),
            "postgres://u@h/d?application_name=usher-transactions"
        );
        assert_eq!(
            apart("postgres://u@h/d?sslmode=require"),
            "postgres://u@h/d?sslmode=require&application_name=usher-transactions"
        );
        assert_eq!(
            apart("host=h dbname=d"),
            "host=h dbname=d application_name=usher-transactions"
        );
    }
}
