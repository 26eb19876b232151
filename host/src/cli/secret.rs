//! The database's URL, which may hold a password, and the file that holds it.

use std::io::Read as _;
use std::path::Path;

use super::command::DEFAULT_DATABASE;
use super::origin::Origin;
use crate::database::Url;

/// The longest file with a URL, in bytes.
const LONGEST: u64 = 64 << 10;

/// The database that the settings name, and the file that its URL was read from.
pub(super) fn url(
    text: Option<(&str, &Origin)>,
    file: Option<(&Path, &Origin)>,
) -> Result<Url, String> {
    let invalid = |error| format!("cannot use the database URL: {error}");
    match (text, file) {
        (None, None) => DEFAULT_DATABASE.parse().map_err(invalid),
        (Some((_, one)), Some((_, other))) if one.rank() == other.rank() => Err(match one {
            Origin::Environment(_) => {
                "DATABASE_URL and DATABASE_URL_FILE are both set: unset one of them".to_owned()
            }
            Origin::File(path, _) => format!(
                "{} has both database and database-file: remove one of them",
                path.display()
            ),
            _ => "--database and --database-file are both given: leave one out".to_owned(),
        }),
        (Some((text, one)), Some((_, other))) if one.rank() < other.rank() => {
            text.parse().map_err(invalid)
        }
        (Some((text, _)), None) => text.parse().map_err(invalid),
        (_, Some((file, _))) => read(file),
    }
}

/// Whether the URL is read from the file, and not from the setting itself.
pub(super) fn is_from_file(text: Option<&Origin>, file: Option<&Origin>) -> bool {
    file.is_some_and(|file| text.is_none_or(|text| file.rank() < text.rank()))
}

/// Reads a URL from a file. An error names the file and quotes nothing of it.
fn read(file: &Path) -> Result<Url, String> {
    let shown = file.display();
    let mut text = String::new();
    let read =
        std::fs::File::open(file).and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text));
    read.map_err(|error| format!("cannot read the file with the database URL, {shown}: {error}"))?;
    if text.len() as u64 > LONGEST {
        return Err(format!(
            "the file with the database URL, {shown}, is longer than {LONGEST} bytes"
        ));
    }
    if text.trim().is_empty() {
        return Err(format!("the file with the database URL, {shown}, is empty"));
    }
    text.parse()
        .map_err(|error| format!("cannot use the database URL in {shown}: {error}"))
}
