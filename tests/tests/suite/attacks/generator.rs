//! Generates variants of attacks: the call, the statement around it, and its spelling.

use super::KINDS;

/// Calls of functions that would change the session, show it, or reach outside the database.
const CALLS: &[&str] = &[
    "set_config('search_path', 'app', false)",
    "set_config('default_transaction_read_only', 'on', false)",
    "set_config('standard_conforming_strings', 'off', false)",
    "set_config('role', 'postgres', false)",
    "pg_try_advisory_lock(4242)",
    "pg_advisory_lock_shared(4242)",
    "pg_notify('a', 'b')",
    "pg_read_file('PG_VERSION')",
    "lo_from_bytea(0, 'x')",
    "lo_create(0)",
    "query_to_xml('select set_config(''search_path'', ''app'', false)', true, true, '')",
    "pg_create_restore_point('x')",
    "pg_logical_emit_message(false, 'a', 'b')",
    "pg_stat_reset()",
    "setseed(0.5)",
    "current_setting('port')",
    "pg_reload_conf()",
    "pg_export_snapshot()",
    "dblink_connect('x', 'host=127.0.0.1')",
    "pg_file_write('/tmp/usher_attack', 'x', false)",
    "pg_cancel_backend(pg_backend_pid())",
    "lastval()",
    "binary_upgrade_set_next_pg_type_oid(5)",
];

/// Statements around a call, which replaces `@`.
const FRAMES: &[&str] = &[
    "SELECT @",
    "SELECT * FROM @ AS f",
    "SELECT (SELECT @)",
    "SELECT 1 WHERE @ IS NOT NULL",
    "WITH x AS (SELECT @ AS a) SELECT * FROM x",
    "WITH x AS MATERIALIZED (SELECT @ AS a) SELECT count(*) FROM x",
    "SELECT lower((@)::text)",
    "SELECT CASE WHEN true THEN (@)::text ELSE '' END",
    "SELECT ARRAY[(@)::text]",
    "SELECT ROW(@)",
    "SELECT 1 ORDER BY @",
    "SELECT count(*) FILTER (WHERE @ IS NOT NULL) FROM canary",
    "SELECT rank() OVER (ORDER BY @) FROM canary",
    "SELECT * FROM canary AS c, LATERAL (SELECT @ AS x) AS l",
    "SELECT 1 UNION ALL SELECT length((@)::text)",
    "SELECT coalesce(NULL, (@)::text)",
    "SELECT (ARRAY['a'])[length((@)::text)]",
    "VALUES ((@)::text)",
    "INSERT INTO notes SELECT (@)::text",
    "INSERT INTO notes VALUES ((@)::text) RETURNING @",
    "UPDATE notes SET body = (@)::text",
    "DELETE FROM notes WHERE body = (@)::text",
    "EXPLAIN ANALYZE SELECT @",
    "EXPLAIN (ANALYZE, FORMAT json) SELECT @",
    "CREATE VIEW v AS SELECT @ AS a",
    "CREATE TABLE t (a text DEFAULT (@)::text)",
    "CREATE TABLE t AS SELECT @ AS a",
    "CREATE MATERIALIZED VIEW m AS SELECT @ AS a",
    "ALTER TABLE notes ALTER COLUMN body SET DEFAULT (@)::text",
    "ALTER TABLE notes ALTER COLUMN body TYPE text USING (@)::text",
    "CREATE INDEX i ON notes (length((@)::text))",
    "CREATE DOMAIN d AS text CHECK ((@)::text <> value)",
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $q$ BEGIN NEW.body := (@)::text; \
        RETURN NEW; END $q$",
    "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $q$ BEGIN IF @ IS NULL THEN NEW.body \
        := ''; END IF; RETURN NEW; END $q$",
    "MERGE INTO notes USING canary ON (@)::text = body WHEN NOT MATCHED THEN INSERT VALUES ('x')",
    "SELECT xmlelement(name a, @)",
    "SELECT json_build_object('a', @)",
    "SELECT * FROM ROWS FROM (@) AS f",
    "SELECT * FROM json_to_record('{}') AS j(a int) WHERE @ IS NULL",
    "SELECT sum(1) OVER (PARTITION BY (@)::text) FROM canary",
    "SELECT 1 FROM canary GROUP BY (@)::text",
    "SELECT 1 LIMIT length((@)::text)",
    "SELECT 1 FROM canary JOIN notes ON (@)::text = notes.body",
    "SELECT '\\', (@)::text AS x -- '",
    "SELECT @ -- ",
    "SELECT $$ $$ || (@)::text || $a$ $$ $a$",
];

/// An endless sequence of statements, the same for the same seed.
pub(super) struct Generator(u64);

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below a limit (SplitMix64).
    pub(super) fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let number = z ^ (z >> 31);
        usize::try_from(number % limit as u64).expect("it is below a limit")
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.below(of.len())]
    }

    /// The next variant.
    pub(super) fn statement(&mut self) -> String {
        let statement = if self.below(3) == 0 {
            let (_, statements) = KINDS[self.below(KINDS.len())];
            let statement = self.one(statements).to_owned();
            self.wrapped(statement)
        } else {
            let mut call = self.one(CALLS).to_owned();
            for _ in 0..self.below(3) {
                call = self.nested(&call);
            }
            self.one(FRAMES).replace('@', &call)
        };
        let statement = self.spelled(&statement);
        match self.below(12) {
            0 => format!("EXPLAIN {statement}"),
            1 => format!("EXPLAIN ANALYZE {statement}"),
            2 => format!("EXPLAIN (\"analyze\") {statement}"),
            3 => format!("/* SELECT 1 */ {statement} ;"),
            4 => format!("-- \n{statement}"),
            5 => format!("{statement} -- ; COMMIT"),
            6 => format!("({statement})"),
            _ => statement,
        }
    }

    /// A call within an expression.
    fn nested(&mut self, call: &str) -> String {
        let frame = self.one(&[
            "(SELECT @)",
            "coalesce((@)::text, '')",
            "(CASE WHEN true THEN (@)::text END)",
            "(ARRAY[(@)::text])[1]",
            "upper((@)::text)",
            "(SELECT x FROM (SELECT (@)::text AS x) AS s)",
            "((@))",
            "(WITH x AS (SELECT @ AS a) SELECT a FROM x)",
            "(SELECT max((@)::text))",
            "CAST((@) AS text)",
            "(@)::text COLLATE \"C\"",
            "greatest((@)::text, '')",
        ]);
        frame.replace('@', call)
    }

    /// A statement within another one, if it is a query or can be one.
    fn wrapped(&mut self, statement: String) -> String {
        match self.below(8) {
            0 => format!("WITH w AS ({statement}) SELECT 1"),
            1 => format!("SELECT * FROM ({statement}) AS w"),
            2 => format!("CREATE VIEW w AS {statement}"),
            3 => format!("CREATE TABLE w AS {statement}"),
            4 => format!("INSERT INTO notes {statement}"),
            _ => statement,
        }
    }

    /// The same statement in another spelling: case, white space, comments, quotes, Unicode
    /// escapes.
    fn spelled(&mut self, statement: &str) -> String {
        let mut spelled = String::new();
        let mut quote: Option<char> = None;
        let mut characters = statement.chars().peekable();
        let mut word = String::new();
        while let Some(c) = characters.next() {
            if let Some(open) = quote {
                spelled.push(c);
                if c == open {
                    quote = None;
                }
                continue;
            }
            if c.is_ascii_alphanumeric() || c == '_' {
                word.push(c);
                if characters
                    .peek()
                    .is_some_and(|next| next.is_ascii_alphanumeric() || *next == '_')
                {
                    continue;
                }
                let is_call = characters.peek() == Some(&'(');
                let is_name = word.contains('_')
                    && word.starts_with(|first: char| first.is_ascii_lowercase());
                let word = std::mem::take(&mut word);
                spelled.push_str(&match self.below(10) {
                    0 => word.to_ascii_uppercase(),
                    1 => self.mixed(&word),
                    2 if is_name => format!("\"{word}\""),
                    3 if is_name => escaped(&word, false),
                    4 if is_name => escaped(&word, true),
                    5 if is_name && (is_call || word.starts_with("pg_")) => {
                        format!("pg_catalog.{word}")
                    }
                    6 if is_name && (is_call || word.starts_with("pg_")) => {
                        format!("\"pg_catalog\" . \"{word}\"")
                    }
                    _ => word,
                });
                continue;
            }
            match c {
                '\'' | '"' => {
                    quote = Some(c);
                    spelled.push(c);
                }
                ' ' => spelled.push_str(self.one(&[
                    " ",
                    " ",
                    " ",
                    "\t",
                    "\n",
                    "\r\n",
                    "\u{c}",
                    " /* */ ",
                    "/* /* ' */ */",
                    " -- x\n",
                    " --'\n",
                    "  ",
                ])),
                other => spelled.push(other),
            }
        }
        spelled
    }

    fn mixed(&mut self, word: &str) -> String {
        word.chars()
            .map(|c| {
                if self.below(2) == 0 {
                    c.to_ascii_uppercase()
                } else {
                    c
                }
            })
            .collect()
    }
}

/// A name with Unicode escapes, by the default escape character or by one that the statement
/// chooses.
fn escaped(word: &str, chosen: bool) -> String {
    let mark = if chosen { '!' } else { '\\' };
    let letters: String = word
        .chars()
        .enumerate()
        .map(|(index, c)| {
            if index % 3 == 0 {
                format!("{mark}{:04x}", u32::from(c))
            } else {
                c.to_string()
            }
        })
        .collect();
    let end = if chosen { " UESCAPE '!'" } else { "" };
    format!("U&\"{letters}\"{end}")
}
