//! The replaced functions, compared with SQLite's own.

use super::*;

on_both!(replaced_functions_return_what_sqlite_returns);

async fn replaced_functions_return_what_sqlite_returns(database: &Database, _pool: &Pool) {
    let own = database.shared.writer(&budget()).await.unwrap();
    let sqlite = rusqlite::Connection::open_in_memory().unwrap();
    let values = [
        "NULL",
        "''",
        "'a'",
        "'b'",
        "'ab'",
        "'aab'",
        "'aaab'",
        "'ABab'",
        "'%'",
        "'_'",
        "'a%'",
        "'%b'",
        "'%a%b'",
        "'a_b'",
        "'_%_'",
        "'*'",
        "'a*b'",
        "'[a-b]*'",
        "'[^a]b'",
        "'[]]'",
        "'[a'",
        "'[a-'",
        "'?b'",
        "'a?'",
        "'\\%'",
        "'é'",
        "'éa'",
        "'aé'",
        "'日本語'",
        "'%本%'",
        "'ÉA'",
        "x''",
        "x'61'",
        "x'6162'",
        "x'c3'",
        "x'a9'",
        "x'c3a9'",
        "x'00'",
        "x'610062'",
        "1",
        "12",
        "-1",
        "1.5",
        "0.1",
        "1e20",
        "-1.5e-7",
        "123456789012345680.0",
        "1e15",
        "1e16",
        "1e17",
        "3.0",
        "'31'",
        "'6 1'",
        "'6162'",
        "'61-62'",
        "' '",
        "'-'",
        "'  a '",
        "9223372036854775807",
        "1e300",
        "0.0001",
        "0.00001",
        "CAST(x'61ff62' AS TEXT)",
    ];
    let ask = |expression: &str| {
        let text = format!("SELECT typeof(x), hex(x) FROM (SELECT {expression} AS x)");
        let expected: Result<(String, String), _> =
            sqlite.query_row(&text, [], |row| Ok((row.get(0)?, row.get(1)?)));
        let got = own.conn().unwrap().query_as_host(&text);
        match (expected, got) {
            (Ok((kind, hex)), Ok(got)) => {
                assert_eq!(got, [format!("|{kind}|{hex}|")], "{expression}");
            }
            (Err(_), Err(_)) => {}
            (expected, got) => panic!("{expression}: {expected:?} and {got:?}"),
        }
    };
    for one in values {
        ask(&format!("{one} || ''"));
        for other in values {
            for function in ["instr", "trim", "ltrim", "rtrim", "unhex", "like", "glob"] {
                ask(&format!("{function}({one}, {other})"));
            }
            ask(&format!("replace({one}, {other}, 'xy')"));
            ask(&format!("replace('aabab', {one}, {other})"));
            ask(&format!("{one} LIKE {other} ESCAPE '\\'"));
            ask(&format!("{one} LIKE {other} ESCAPE '%'"));
            ask(&format!("{one} LIKE 'a' ESCAPE {other}"));
        }
    }
}
