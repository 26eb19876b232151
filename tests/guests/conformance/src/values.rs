//! Every kind of value, at the ends of its range.

use crate::tools::*;
use crate::{Case, ensure};

pub const CASES: &[Case] = &[
    (
        "null_is_accepted_for_every_kind",
        null_is_accepted_for_every_kind,
    ),
    ("booleans_round_trip", booleans_round_trip),
    (
        "integers_round_trip_to_their_limits",
        integers_round_trip_to_their_limits,
    ),
    (
        "integers_out_of_a_types_range_are_invalid",
        integers_out_of_a_types_range_are_invalid,
    ),
    ("reals_round_trip", reals_round_trip),
    ("nan_is_a_value_or_invalid", nan_is_a_value_or_invalid),
    ("text_round_trips", text_round_trips),
    (
        "text_of_every_unicode_plane_round_trips",
        text_of_every_unicode_plane_round_trips,
    ),
    ("nul_in_text_is_invalid", nul_in_text_is_invalid),
    ("bytes_round_trip", bytes_round_trip),
    ("uuids_round_trip", uuids_round_trip),
    ("timestamps_round_trip", timestamps_round_trip),
    (
        "timestamps_beyond_the_calendar_are_invalid",
        timestamps_beyond_the_calendar_are_invalid,
    ),
    (
        "infinite_timestamp_is_invalid",
        infinite_timestamp_is_invalid,
    ),
    (
        "types_without_a_value_are_invalid",
        types_without_a_value_are_invalid,
    ),
    ("decimals_round_trip", decimals_round_trip),
    (
        "decimals_with_a_thousand_digits_are_exact_or_invalid",
        decimals_with_a_thousand_digits_are_exact_or_invalid,
    ),
    ("malformed_decimal_is_invalid", malformed_decimal_is_invalid),
    ("json_round_trips", json_round_trips),
    ("malformed_json_is_refused", malformed_json_is_refused),
    ("wrong_kind_is_invalid", wrong_kind_is_invalid),
    (
        "parameters_without_a_column_round_trip",
        parameters_without_a_column_round_trip,
    ),
    ("columns_are_named_in_order", columns_are_named_in_order),
    (
        "parameters_are_matched_by_number",
        parameters_are_matched_by_number,
    ),
    ("values_sort_by_their_kind", values_sort_by_their_kind),
];

/// Creates a table with a column of every kind, under type names that both databases have.
fn table() -> Result<(), String> {
    let bytes = if is_postgres() { "bytea" } else { "blob" };
    run(
        &format!(
            "CREATE TABLE kinds (id bigint, a boolean, b smallint, c integer, d bigint, e double \
                precision, f text, g {bytes}, \
             h uuid, i timestamp, j numeric, k json, l timestamptz, m real, n varchar(40), o jsonb)"
        ),
        &[],
    )
    .map(drop)
}

/// Stores a value in a column and expects to read the same value.
fn trip(column: &str, value: Value) -> Result<(), String> {
    run("DELETE FROM kinds", &[])?;
    let stored = [value];
    run(
        &format!("INSERT INTO kinds (id, {column}) VALUES (1, $1)"),
        &stored,
    )?;
    let [value] = &stored;
    let back = one(&format!("SELECT {column} FROM kinds"), &[])?;
    ensure!(
        same(value, &back),
        "{} came back as {}",
        shown(value),
        shown(&back)
    );
    Ok(())
}

fn trips(column: &str, values: impl IntoIterator<Item = Value>) -> Result<(), String> {
    table()?;
    values.into_iter().try_for_each(|value| trip(column, value))
}

fn null_is_accepted_for_every_kind() -> Result<(), String> {
    table()?;
    "abcdefghijklmno"
        .chars()
        .try_for_each(|column| trip(&column.to_string(), Value::Null))
}

fn booleans_round_trip() -> Result<(), String> {
    trips("a", [true, false].map(Value::Boolean))
}

fn integers_round_trip_to_their_limits() -> Result<(), String> {
    trips(
        "d",
        [0, 1, -1, i64::MAX, i64::MIN, 1 << 53, (1 << 53) + 1].map(Value::Integer),
    )?;
    [i64::from(i32::MAX), i64::from(i32::MIN)]
        .into_iter()
        .try_for_each(|value| trip("c", integer(value)))?;
    [i64::from(i16::MAX), i64::from(i16::MIN)]
        .into_iter()
        .try_for_each(|value| trip("b", integer(value)))
}

fn integers_out_of_a_types_range_are_invalid() -> Result<(), String> {
    table()?;
    if !is_postgres() {
        // SQLite has one integer type, of 64 bits.
        return trip("b", integer(1 << 40));
    }
    fails(
        execute("INSERT INTO kinds (b) VALUES ($1)", &[integer(1 << 15)]),
        "invalid",
        "2^15 as smallint",
    )?;
    fails(
        execute(
            "INSERT INTO kinds (c) VALUES ($1)",
            &[integer(-(1 << 31) - 1)],
        ),
        "invalid",
        "-2^31-1 as integer",
    )
}

fn reals_round_trip() -> Result<(), String> {
    trips(
        "e",
        [
            0.0,
            1.5,
            -2.25,
            f64::MAX,
            f64::MIN,
            f64::MIN_POSITIVE,
            5e-324,
            f64::INFINITY,
            f64::NEG_INFINITY,
            1.0,
            1e15,
            0.1,
        ]
        .map(Value::Real),
    )
}

fn nan_is_a_value_or_invalid() -> Result<(), String> {
    table()?;
    if is_postgres() {
        return trip("e", Value::Real(f64::NAN));
    }
    fails(
        execute(
            "INSERT INTO kinds (e) VALUES ($1)",
            &[Value::Real(f64::NAN)],
        ),
        "invalid",
        "NaN",
    )
}

fn text_round_trips() -> Result<(), String> {
    // One character of every plane, both ends of the range of each UTF-8 length, and text that
    // looks like other syntax.
    let planes: String = (0..=16_u32)
        .filter_map(|plane| char::from_u32(plane * 0x1_0000 + 0x100))
        .collect();
    let edges = "\u{1}\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}";
    trips(
        "f",
        [
            "", " ", "a", "1", "007", "1e3", "true", "NULL", "it's", "\\", "$1", edges, &planes,
            "e\u{301}", "\u{feff}", "\r\n\t",
        ]
        .map(text),
    )?;
    // 1 MiB, the host's limit without the overhead of a value.
    trip("f", text(&"ü".repeat(1 << 19)))?;
    trip("n", text("ü😀"))
}

fn text_of_every_unicode_plane_round_trips() -> Result<(), String> {
    table()?;
    // Every plane from its first character to its last, noncharacters included; 251 is coprime to
    // the repeated length.
    for plane in 0..=16_u32 {
        let first = plane << 16;
        let all: String = (first..first + 0x1_0000)
            .step_by(251)
            .chain([first + 0xfffe, first + 0xffff])
            .filter_map(char::from_u32)
            .filter(|c| *c != '\0')
            .collect();
        trip("f", text(&all))?;
        // The same holds in the text of a statement.
        let spoken = one(&format!("SELECT '{}'", all.replace('\'', "''")), &[])?;
        ensure!(same(&spoken, &text(&all)), "plane {plane} as a literal");
    }
    Ok(())
}

fn nul_in_text_is_invalid() -> Result<(), String> {
    table()?;
    fails(
        execute("INSERT INTO kinds (f) VALUES ($1)", &[text("a\0b")]),
        "invalid",
        "U+0000",
    )?;
    fails(
        execute(
            "INSERT INTO kinds (k) VALUES ($1)",
            &[Value::Json("\"a\0b\"".into())],
        ),
        "invalid",
        "U+0000 in JSON",
    )?;
    fails(
        query("SELECT 'a\0b'", &[]),
        "invalid",
        "U+0000 in a statement",
    )?;
    let after = one("SELECT 1", &[])?;
    ensure!(same(&after, &integer(1)), "{after:?}");
    Ok(())
}

fn bytes_round_trip() -> Result<(), String> {
    let all: Vec<u8> = (0..=255).collect();
    trips(
        "g",
        [vec![], vec![0], all, b"text".to_vec(), vec![0xff; 1 << 20]].map(Value::Bytes),
    )
}

fn uuids_round_trip() -> Result<(), String> {
    trips(
        "h",
        [
            (0, 0),
            (u64::MAX, u64::MAX),
            (0x0123_4567_89ab_cdef, 0x8000_0000_0000_0001),
            (1, 0),
        ]
        .map(Value::Uuid),
    )
}

fn timestamps_round_trip() -> Result<(), String> {
    const DAY: i64 = 86_400_000_000;
    // The epoch, a microsecond before and after it, the first and last day of the years 1 to 9999,
    // the day before them, the first day of PostgreSQL's calendar (4714-11-24 BC), and the last
    // possible one.
    let moments = [
        0,
        1,
        -1,
        1_795_000_000_000_000,
        -719_162 * DAY,
        -719_162 * DAY - 1,
        2_932_897 * DAY - 1,
        -2_440_588 * DAY,
        106_751_990 * DAY,
    ];
    trips("i", moments.map(Value::Timestamp))?;
    moments
        .into_iter()
        .try_for_each(|moment| trip("l", Value::Timestamp(moment)))
}

fn infinite_timestamp_is_invalid() -> Result<(), String> {
    table()?;
    if !is_postgres() {
        // On SQLite it is text, like any text that is no date.
        run("INSERT INTO kinds (i) VALUES ('infinity')", &[])?;
        let found = one("SELECT i FROM kinds", &[])?;
        ensure!(same(&found, &text("infinity")), "{found:?}");
        return Ok(());
    }
    for infinity in ["infinity", "-infinity"] {
        run(
            &format!("INSERT INTO kinds (i, l) VALUES ('{infinity}', '{infinity}')"),
            &[],
        )?;
        fails(query("SELECT i FROM kinds", &[]), "invalid", infinity)?;
        fails(query("SELECT l FROM kinds", &[]), "invalid", infinity)?;
        let found = one("SELECT i::text FROM kinds", &[])?;
        ensure!(same(&found, &text(infinity)), "{found:?}");
        run("DELETE FROM kinds", &[])?;
    }
    Ok(())
}

/// A type without a kind of value is an error before anything runs, rather than another value.
fn types_without_a_value_are_invalid() -> Result<(), String> {
    if !is_postgres() {
        // On SQLite every column holds one of the five storage classes, each of which has a kind.
        return Ok(());
    }
    run("CREATE TABLE odd (id bigint, day date, list bigint[])", &[])?;
    fails(
        query("INSERT INTO odd (id) VALUES (1) RETURNING day", &[]),
        "invalid",
        "a date",
    )?;
    let count = one("SELECT count(*) FROM odd", &[])?;
    ensure!(same(&count, &integer(0)), "it ran: {count:?}");
    for expression in [
        "ARRAY[1, 2]",
        "interval '1 day'",
        "'10.0.0.1'::inet",
        "ROW(1, 2)",
    ] {
        fails(
            query(&format!("SELECT {expression}"), &[]),
            "invalid",
            expression,
        )?;
    }
    fails(
        execute("INSERT INTO odd (day) VALUES ($1)", &[text("2000-01-01")]),
        "invalid",
        "text as a date",
    )?;
    // A cast works in both directions.
    run(
        "INSERT INTO odd (day) VALUES (cast(cast($1 AS text) AS date))",
        &[text("2000-01-01")],
    )?;
    let found = one("SELECT day::text FROM odd", &[])?;
    ensure!(same(&found, &text("2000-01-01")), "{found:?}");
    Ok(())
}

fn timestamps_beyond_the_calendar_are_invalid() -> Result<(), String> {
    table()?;
    // The last microsecond that fits lies within PostgreSQL's calendar, the first one before it.
    trip("i", Value::Timestamp(i64::MAX))?;
    if !is_postgres() {
        // SQLite stores microseconds and has no calendar with an end.
        return trip("i", Value::Timestamp(i64::MIN));
    }
    fails(
        execute(
            "INSERT INTO kinds (i) VALUES ($1)",
            &[Value::Timestamp(i64::MIN)],
        ),
        "invalid",
        "the far past",
    )?;
    refuses(
        execute(
            "INSERT INTO kinds (i) VALUES ($1)",
            &[Value::Timestamp(-220_000_000_000_000_000)],
        ),
        "22008",
        "before 4713 BC",
    )
}

fn decimals_round_trip() -> Result<(), String> {
    trips(
        "j",
        ["0", "1", "-1", "0.5", "-12345.678", "999999999999999"]
            .map(|digits| Value::Decimal(digits.into())),
    )
}

fn decimals_with_a_thousand_digits_are_exact_or_invalid() -> Result<(), String> {
    table()?;
    let long = format!("-{}.{}", "1234567890".repeat(50), "0987654321".repeat(50));
    if is_postgres() {
        trip("j", Value::Decimal(long))?;
        return ["NaN", "Infinity", "-Infinity", "1.500", "0.00"]
            .into_iter()
            .try_for_each(|digits| trip("j", Value::Decimal(digits.into())));
    }
    fails(
        execute("INSERT INTO kinds (j) VALUES ($1)", &[Value::Decimal(long)]),
        "invalid",
        "a thousand digits",
    )
}

fn malformed_decimal_is_invalid() -> Result<(), String> {
    table()?;
    ["", ".", "1e5", "1,5", " 1", "0x10", "ten"]
        .into_iter()
        .try_for_each(|digits| {
            fails(
                execute(
                    "INSERT INTO kinds (j) VALUES ($1)",
                    &[Value::Decimal(digits.into())],
                ),
                "invalid",
                digits,
            )
        })
}

fn json_round_trips() -> Result<(), String> {
    let deep = format!("{}1{}", "[".repeat(1000), "]".repeat(1000));
    trips(
        "k",
        [
            "null",
            "true",
            "\"text\"",
            "{}",
            "[1, 2.50, 1e400]",
            r#"{"b": 1, "a": [null, "ü😀\u00e9"]}"#,
            &deep,
        ]
        .map(|json| Value::Json(json.into())),
    )
}

fn malformed_json_is_refused() -> Result<(), String> {
    table()?;
    for json in ["", "{", "[1,]", "nul", "'a'"] {
        let result = execute(
            "INSERT INTO kinds (k) VALUES ($1)",
            &[Value::Json(json.into())],
        );
        ensure!(
            matches!(result, Err(Error::Invalid(_) | Error::Refused(_))),
            "{json:?} as json: {result:?}"
        );
    }
    Ok(())
}

/// One value of every kind except null.
fn one_of_each() -> [Value; 9] {
    [
        Value::Boolean(true),
        integer(1),
        Value::Real(1.5),
        text("1"),
        Value::Bytes(vec![b'1']),
        Value::Uuid((0, 1)),
        Value::Timestamp(1),
        Value::Decimal("1".into()),
        Value::Json("1".into()),
    ]
}

fn kind_of(value: &Value) -> u8 {
    match value {
        Value::Null => 0,
        Value::Boolean(_) => 1,
        Value::Integer(_) => 2,
        Value::Real(_) => 3,
        Value::Text(_) => 4,
        Value::Bytes(_) => 5,
        Value::Uuid(_) => 6,
        Value::Timestamp(_) => 7,
        Value::Decimal(_) => 8,
        Value::Json(_) => 9,
    }
}

fn wrong_kind_is_invalid() -> Result<(), String> {
    table()?;
    if is_postgres() {
        // Every kind in every column is the column's own, or invalid.
        for (column, own) in "abcdefghijklmno"
            .chars()
            .zip([1, 2, 2, 2, 3, 4, 5, 6, 7, 8, 9, 7, 3, 4, 9])
        {
            for value in one_of_each() {
                let (fits, what) = (
                    kind_of(&value) == own,
                    format!("{} in column {column}", shown(&value)),
                );
                let stored = execute(
                    &format!("INSERT INTO kinds ({column}) VALUES ($1)"),
                    &[value],
                );
                if fits {
                    ensure!(stored.is_ok(), "{what}: {stored:?}");
                } else {
                    fails(stored, "invalid", &what)?;
                }
            }
        }
        return Ok(());
    }
    // SQLite knows a statement's types only in STRICT tables.
    run(
        "CREATE TABLE strict (c integer, e real, f text, g blob) STRICT",
        &[],
    )?;
    for (column, value) in [
        ("c", text("one")),
        ("c", Value::Real(1.5)),
        ("c", Value::Bytes(vec![1])),
        ("c", Value::Uuid((0, 1))),
        ("e", text("one")),
        ("f", Value::Bytes(vec![1])),
        ("g", text("1")),
        ("g", integer(1)),
    ] {
        let what = format!("{} in column {column}", shown(&value));
        fails(
            execute(
                &format!("INSERT INTO strict ({column}) VALUES ($1)"),
                &[value],
            ),
            "invalid",
            &what,
        )?;
    }
    Ok(())
}

/// A parameter without a column has the type of its cast, or text.
fn parameters_without_a_column_round_trip() -> Result<(), String> {
    let found = one("SELECT $1", &[text("as it is")])?;
    ensure!(same(&found, &text("as it is")), "{found:?}");
    let found = one("SELECT $1", &[Value::Null])?;
    ensure!(same(&found, &Value::Null), "{found:?}");
    let found = one("SELECT cast($1 AS bigint)", &[integer(7)])?;
    ensure!(same(&found, &integer(7)), "{found:?}");
    if is_postgres() {
        fails(
            query("SELECT $1", &[integer(7)]),
            "invalid",
            "an integer for text",
        )?;
        fails(
            query("SELECT cast($1 AS bigint)", &[text("7")]),
            "invalid",
            "text for bigint",
        )?;
    }
    Ok(())
}

fn columns_are_named_in_order() -> Result<(), String> {
    let found = query(
        "SELECT 1 AS first, 'x' AS \"Second One\", NULL AS third",
        &[],
    )
    .map_err(|error| format!("{error:?}"))?;
    ensure!(
        found.columns == ["first", "Second One", "third"],
        "{:?}",
        found.columns
    );
    ensure!(
        found.rows.len() == 1 && found.rows[0].len() == 3,
        "{:?}",
        found.rows
    );
    Ok(())
}

fn parameters_are_matched_by_number() -> Result<(), String> {
    run("CREATE TABLE pairs (x bigint, y text)", &[])?;
    run(
        "INSERT INTO pairs (y, x) VALUES ($2, $1)",
        &[integer(1), text("one")],
    )?;
    run(
        "INSERT INTO pairs (y, x) SELECT $2, $1 WHERE $1 = $1",
        &[integer(2), text("two")],
    )
    .or_else(|_| {
        run(
            "INSERT INTO pairs (y, x) VALUES ($2, $1)",
            &[integer(2), text("two")],
        )
    })?;
    let found = rows(
        "SELECT x, y FROM pairs WHERE x = $2 OR y = $1 ORDER BY x",
        &[text("one"), integer(2)],
    )?;
    ensure!(
        found.len() == 2 && same(&found[0][1], &text("one")) && same(&found[1][0], &integer(2)),
        "{found:?}"
    );
    fails(
        query("SELECT x FROM pairs WHERE x = $1", &[]),
        "invalid",
        "too few",
    )?;
    fails(
        query(
            "SELECT x FROM pairs WHERE x = $1",
            &[integer(1), integer(2)],
        ),
        "invalid",
        "too many",
    )?;
    fails(
        query("SELECT x FROM pairs", &[integer(1)]),
        "invalid",
        "one where none is",
    )
}

fn values_sort_by_their_kind() -> Result<(), String> {
    table()?;
    run(
        "INSERT INTO kinds (id, d, i) VALUES (1, 10, NULL), (2, 9, NULL), (3, -1, NULL)",
        &[],
    )?;
    let ids = rows("SELECT id FROM kinds ORDER BY d", &[])?;
    let first: Vec<_> = ids.iter().map(|row| &row[0]).collect();
    let expected = [integer(3), integer(2), integer(1)];
    let is_sorted = first.len() == 3 && first.iter().zip(&expected).all(|(a, b)| same(a, b));
    ensure!(is_sorted, "{ids:?}");
    Ok(())
}
