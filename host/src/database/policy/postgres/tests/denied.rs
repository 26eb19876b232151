//! Statements that are denied, and functions that callers may use.

use super::*;

#[test]
fn temporary_objects_and_select_into_are_denied() {
    expect_all(
        Err("denied"),
        &[
            "SELECT 1 INTO notes",
            "SELECT 1 AS x INTO LOCAL TEMP notes",
            "SELECT 1 INTO UNLOGGED notes",
            "SELECT 1 INTO TABLE pg_temp.notes",
            "WITH x AS (SELECT 1) SELECT * INTO TEMPORARY notes FROM x",
            "SELECT * INTO TEMP x FROM t UNION SELECT * FROM t",
            "CREATE TEMP TABLE notes (a int)",
            "CREATE LOCAL TEMPORARY TABLE notes (a int)",
            "CREATE GLOBAL TEMP TABLE notes (a int)",
            "CREATE UNLOGGED TABLE notes (a int)",
            "CREATE TABLE pg_temp.notes (a int)",
            "CREATE TABLE \"pg_temp\".notes (a int)",
            "CREATE TABLE pg_temp_3.notes (a int)",
            "CREATE TEMP VIEW notes AS SELECT 1",
            "CREATE TEMP SEQUENCE notes",
            "CREATE SEQUENCE pg_temp.notes",
            "CREATE TEMP TABLE notes AS SELECT 1",
            "EXPLAIN ANALYZE CREATE TEMP TABLE notes AS SELECT 1",
            "EXPLAIN (\"analyze\") CREATE TEMP TABLE notes AS SELECT 1",
            "EXPLAIN (VERBOSE) CREATE TEMP TABLE notes AS SELECT 1",
            "EXPLAIN ANALYZE SELECT 1 INTO TEMP notes",
            "CREATE TYPE pg_temp.pair AS (a int)",
            "CREATE TYPE pg_temp.mood AS ENUM ('a')",
            "CREATE DOMAIN pg_temp.d AS int",
            "ALTER TABLE t SET SCHEMA pg_temp",
            "SELECT * FROM pg_temp.notes",
            "INSERT INTO pg_temp.notes VALUES (1)",
        ],
    );
}

#[test]
fn catalogue_and_settings_are_denied() {
    expect_all(
        Err("denied"),
        &[
            "UPDATE pg_settings SET setting = 'on' WHERE name = 'default_transaction_read_only'",
            "UPDATE pg_catalog.\"pg_settings\" SET setting = 'on'",
            "UPDATE U&\"pg_s\\0065ttings\" SET setting = 'on'",
            "CREATE VIEW v AS SELECT * FROM pg_settings",
            "CREATE VIEW v AS SELECT * FROM pg_class",
            "CREATE MATERIALIZED VIEW v AS TABLE pg_class",
            "SELECT * FROM pg_settings",
            "SELECT * FROM (TABLE pg_settings) AS s",
            "WITH s AS (SELECT * FROM pg_file_settings) SELECT * FROM s",
            "SELECT client_addr FROM pg_stat_activity",
            "SELECT rolpassword FROM pg_authid",
            "SELECT * FROM pg_shadow, pg_hba_file_rules, pg_user_mapping",
            "SELECT * FROM pg_largeobject",
            "SELECT * FROM pg_stats",
            "SELECT * FROM pg_prepared_statements",
            "SELECT * FROM t JOIN pg_roles ON true",
            "INSERT INTO pg_proc VALUES (1)",
            "UPDATE pg_proc SET prosrc = 'system'",
            "DELETE FROM pg_class",
            "MERGE INTO pg_class USING t ON true WHEN MATCHED THEN DELETE",
            "WITH d AS (DELETE FROM pg_depend RETURNING *) SELECT * FROM d",
            "SELECT * FROM pg_class FOR UPDATE",
            "SELECT * FROM (SELECT * FROM pg_class) AS c FOR UPDATE",
            "TRUNCATE pg_class",
            "CREATE INDEX i ON pg_class (relname)",
            "ALTER TABLE pg_class ADD COLUMN x int",
            "CREATE TRIGGER g BEFORE UPDATE ON pg_class FOR EACH ROW EXECUTE FUNCTION f()",
            "CREATE TABLE t (LIKE pg_authid)",
            "CREATE TABLE t () INHERITS (pg_class)",
            "CREATE TABLE t (a oid REFERENCES pg_class (oid))",
            "DROP VIEW pg_settings",
            "DROP VIEW information_schema.columns",
            "INSERT INTO information_schema.sql_features DEFAULT VALUES",
            "COMMENT ON TABLE pg_class IS 'x'",
            "COMMENT ON COLUMN pg_class.relname IS 'x'",
            "ALTER VIEW information_schema.columns RENAME TO x",
            "ALTER DOMAIN information_schema.cardinal_number DROP NOT NULL",
            "CREATE SCHEMA pg_x",
            "ALTER SCHEMA app RENAME TO pg_x",
            "SELECT * FROM information_schema.user_mapping_options",
            "SELECT * FROM pg_toast.pg_toast_1234",
            "SELECT * FROM other.public.t",
            "ANALYZE pg_statistic",
            "REFRESH MATERIALIZED VIEW pg_catalog.m",
            "REINDEX TABLE pg_class",
        ],
    );
}

#[test]
fn unlisted_function_is_denied_in_every_clause() {
    for call in [
        "set_config('role', 'postgres', false)",
        "pg_catalog.set_config('a.b', 'c', false)",
        "\"set_config\"('a.b', 'c', false)",
        "U&\"set\\005fconfig\"('a.b', 'c', false)",
        "current_setting('port')",
        "pg_try_advisory_lock(4242)",
        "pg_cancel_backend(1)",
        "pg_terminate_backend(1)",
        "pg_read_file('/etc/passwd')",
        "pg_read_binary_file('/etc/passwd')",
        "pg_ls_dir('/')",
        "lo_import('/etc/passwd')",
        "lo_from_bytea(0, 'a')",
        "query_to_xml('select 1', true, true, '')",
        "cursor_to_xml('c', 1, true, true, '')",
        "table_to_xml('pg_authid', true, true, '')",
        "database_to_xml(true, true, '')",
        "crosstab('select 1')",
        "public.crosstab('select 1')",
        "dblink('x')",
        "inet_server_addr()",
        "inet_client_port()",
        "pg_stat_get_activity(NULL)",
        "pg_show_all_settings()",
        "pg_notify('a', 'b')",
        "pg_reload_conf()",
        "pg_create_restore_point('a')",
        "pg_logical_emit_message(true, 'a', 'b')",
        "pg_export_snapshot()",
        "pg_get_userbyid(10)",
        "current_query()",
        "getpgusername()",
        "lastval()",
        "currval('s')",
        "setseed(1)",
        "txid_current()",
        "my_function(1)",
        "app.lower('a')",
    ] {
        for statement in [
            format!("SELECT {call}"),
            format!("SELECT * FROM {call} AS f"),
            format!("SELECT 1 WHERE {call} IS NULL"),
            format!("WITH x AS (SELECT {call}) SELECT 1"),
            format!("SELECT (SELECT {call})"),
            format!("SELECT 1 ORDER BY {call}"),
            format!("SELECT 1 LIMIT ({call})::text::int"),
            format!("SELECT lower(({call})::text)"),
            format!("SELECT count(*) FILTER (WHERE {call} IS NULL)"),
            format!("SELECT ARRAY[{call}], ROW({call}), CASE WHEN true THEN {call} END"),
            format!("INSERT INTO t SELECT {call}"),
            format!("INSERT INTO t VALUES (1) RETURNING {call}"),
            format!("UPDATE t SET a = {call}"),
            format!("DELETE FROM t WHERE a = {call}"),
            format!("EXPLAIN ANALYZE SELECT {call}"),
            format!("EXPLAIN SELECT {call}"),
            format!("CREATE VIEW v AS SELECT {call}"),
            format!("CREATE TABLE t (a text DEFAULT {call})"),
            format!("CREATE TABLE t (a text CHECK ({call} IS NULL))"),
            format!("CREATE TABLE t (a text GENERATED ALWAYS AS ({call}) STORED)"),
            format!("CREATE INDEX i ON t (({call}))"),
            format!("CREATE INDEX i ON t (a) WHERE {call} IS NULL"),
            format!("ALTER TABLE t ALTER COLUMN a TYPE text USING {call}"),
            format!("ALTER TABLE t ALTER COLUMN a SET DEFAULT {call}"),
            format!("CREATE DOMAIN d AS text DEFAULT {call}"),
            format!("CREATE TABLE t PARTITION OF p FOR VALUES IN ({call})"),
            format!("CREATE STATISTICS s ON ({call}), b FROM t"),
            format!(
                "CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW WHEN ({call} IS NULL) EXECUTE \
                 FUNCTION f()"
            ),
            format!(
                "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.a := {call}; \
                 RETURN NEW; END $$"
            ),
            format!("SELECT xmlelement(name a, {call}), json_object('a': {call})"),
            format!("MERGE INTO t USING u ON {call} IS NULL WHEN MATCHED THEN DELETE"),
            format!("SELECT sum(1) OVER (ORDER BY {call}) FROM t"),
            format!("SELECT * FROM t TABLESAMPLE SYSTEM (({call})::text::int)"),
        ] {
            let checked = checked_with(&statement, &[]);
            // Some calls do not parse in each position.
            assert!(
                matches!(
                    checked.as_ref().map_err(String::as_str),
                    Err("denied" | "42601")
                ),
                "{statement}: {checked:?}"
            );
        }
    }
}

#[test]
fn function_allowed_by_the_operator_may_write() {
    assert_eq!(
        checked_with("SELECT my_function(1)", &["my_function"]),
        Ok(Effect::MayWrite)
    );
    assert_eq!(
        checked_with("SELECT app.my_function(1)", &["my_function"]),
        Err("denied".into())
    );
    assert_eq!(
        checked_with("SELECT app.my_function(1)", &["app.my_function"]),
        Ok(Effect::MayWrite)
    );
}

#[test]
fn owner_is_readable_by_migrations_and_denied_to_requests() {
    for text in [
        "SELECT current_user::text, pg_get_userbyid(c.relowner), pg_has_role(c.relowner, 'USAGE') \
         FROM pg_class AS c",
        "SELECT pg_encoding_to_char(encoding) FROM pg_database WHERE datname = current_database()",
        "SELECT has_language_privilege(oid, 'USAGE') FROM pg_language",
        "SELECT pg_describe_object(1, 2, 3)",
    ] {
        let allowed = Allowed::default();
        let migrations = check(text, Caller::Migrations, &allowed);
        assert!(matches!(migrations, Ok(Effect::Reads)), "{text}");
        assert!(
            matches!(
                check(text, Caller::Request, &allowed),
                Err(Error::Denied(_))
            ),
            "{text}"
        );
    }
}

#[test]
fn statement_that_reaches_out_of_the_schema_is_denied() {
    expect_all(
        Err("denied"),
        &[
            "EXPLAIN ANALYZE EXECUTE s0",
            // PostgreSQL creates the table, also in a read-only transaction.
            "EXPLAIN (\"analyze\") CREATE TABLE x AS SELECT 1",
            "EXPLAIN CREATE TABLE x AS SELECT 1",
            "EXPLAIN EXECUTE s0(1)",
            "CREATE TABLE x AS EXECUTE s0",
            "EXPLAIN (SETTINGS) SELECT 1",
            "EXPLAIN DECLARE c CURSOR FOR SELECT 1",
            "EXPLAIN REFRESH MATERIALIZED VIEW m",
            "SELECT current_user",
            "SELECT session_user, user, current_role",
            "SELECT current_catalog",
            "SELECT system_user",
            "SELECT 10::regrole",
            "SELECT 'x'::pg_catalog.regrole",
            "SELECT relacl::aclitem[] FROM pg_class",
            "SELECT 1 OPERATOR(app.+) 2",
            "SELECT * FROM t ORDER BY a USING OPERATOR(app.<)",
            "SELECT * FROM t TABLESAMPLE app.mine (1)",
            "SELECT * FROM XMLTABLE('/a' PASSING '<a/>' COLUMNS b int)",
            "ALTER TABLE t OWNER TO postgres",
            "ALTER TABLE t SET TABLESPACE fast",
            "CREATE TABLE t (a int) TABLESPACE fast",
            "CREATE INDEX i ON t (a) TABLESPACE fast",
            "CREATE TABLE t (a int) USING other",
            "CREATE INDEX i ON t USING other (a)",
            "CREATE TABLE t OF pair",
            "ALTER TABLE ALL IN TABLESPACE x SET TABLESPACE y",
            "CREATE SCHEMA app AUTHORIZATION postgres",
            "CREATE SCHEMA app GRANT SELECT ON t TO PUBLIC",
            "ALTER TABLE t DISABLE RULE r",
            "CREATE RULE r AS ON INSERT TO t DO INSTEAD NOTHING",
            "CREATE POLICY p ON t USING (true)",
            "CREATE TYPE x",
            "CREATE TYPE x (INPUT = a, OUTPUT = b)",
            "CREATE TYPE x AS RANGE (SUBTYPE = float8, SUBTYPE_DIFF = float8mi)",
            "CREATE AGGREGATE a (int) (SFUNC = int4pl, STYPE = int)",
            "CREATE OPERATOR + (FUNCTION = int4pl, LEFTARG = int, RIGHTARG = int)",
            "CREATE CAST (int AS text) WITH INOUT",
            "CREATE EXTENSION dblink",
            "CREATE ROLE x",
            "CREATE DATABASE x",
            "CREATE SERVER s FOREIGN DATA WRAPPER w",
            "CREATE FOREIGN TABLE t (a int) SERVER s",
            "CREATE ACCESS METHOD m TYPE INDEX HANDLER h",
            "CREATE EVENT TRIGGER e ON ddl_command_start EXECUTE FUNCTION f()",
            "CREATE PUBLICATION p FOR ALL TABLES",
            "CREATE TABLESPACE t LOCATION '/tmp'",
            "CREATE TRANSFORM FOR int LANGUAGE sql (FROM SQL WITH FUNCTION f(internal))",
            "CREATE TEXT SEARCH DICTIONARY d (TEMPLATE = simple)",
            "CREATE CONVERSION c FOR 'UTF8' TO 'LATIN1' FROM f",
            "DROP FUNCTION f()",
            "DROP EXTENSION x",
            "DROP ROLE x",
            "DROP OWNED BY CURRENT_USER",
            "ALTER FUNCTION f() SECURITY DEFINER",
            "ALTER ROLE me SET search_path = x",
            "ALTER DATABASE d SET search_path = x",
            "ALTER SYSTEM SET fsync = off",
            "ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC",
            "ALTER EXTENSION e UPDATE",
            "ALTER INDEX i ATTACH PARTITION pg_class_oid_index",
            "ALTER TABLE t RENAME TO pg_x",
            "ALTER FUNCTION f() RENAME TO g",
            "ALTER AGGREGATE a(int) SET SCHEMA app",
            "COMMENT ON ROLE x IS 'y'",
            "COMMENT ON DATABASE x IS 'y'",
            "COMMENT ON FUNCTION f() IS 'y'",
            "SECURITY LABEL ON TABLE t IS 'x'",
            "GRANT ALL ON t TO PUBLIC",
            "COPY t TO PROGRAM 'sh'",
            "VACUUM t",
            "ANALYZE (BUFFER_USAGE_LIMIT '1GB') t",
            "REINDEX DATABASE x",
            "CLUSTER t",
            "LOCK t",
            "DO $$ BEGIN END $$",
            "CALL p()",
            "SET x = 1",
            "SHOW x",
            "BEGIN",
            "PREPARE p AS SELECT 1",
            "DECLARE c CURSOR FOR SELECT 1",
            "UPDATE t SET a = 1 WHERE CURRENT OF c",
            "NOTIFY x",
            "LISTEN x",
            "CHECKPOINT",
            "LOAD 'x'",
            "IMPORT FOREIGN SCHEMA s FROM SERVER t INTO u",
        ],
    );
}
