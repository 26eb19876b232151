//! The statements that inspect and change a table on PostgreSQL.

use usher_sdk::statements;

statements! {
    /// The database's encoding, the schema in which tables are created, the role, and whether it
    /// may create tables there and functions in PL/pgSQL.
    DATABASE = "SELECT pg_encoding_to_char(d.encoding)::text, current_schema()::text, \
        current_user::text, \
        COALESCE(has_schema_privilege(current_schema(), 'CREATE'), false), \
        EXISTS (SELECT 1 FROM pg_language AS l \
            WHERE l.lanname = 'plpgsql' AND has_language_privilege(l.oid, 'USAGE')) \
        FROM pg_database AS d WHERE d.datname = current_database()";

    /// The relation `users`: its schema, quoted name, kind and persistence; whether row-level
    /// security applies to this role, whether this role owns it, its owner; whether it has parents
    /// or children; whether this role may create triggers on it; its estimated number of rows; and
    /// whether this role may read and write it.
    RELATION = "SELECT n.nspname::text, quote_ident(n.nspname) || '.' || quote_ident(c.relname), \
        c.relkind::text, c.relpersistence::text, row_security_active(c.oid), \
        pg_has_role(c.relowner, 'USAGE'), pg_get_userbyid(c.relowner)::text, \
        EXISTS (SELECT 1 FROM pg_inherits AS i WHERE c.oid IN (i.inhparent, i.inhrelid)), \
        has_table_privilege(c.oid, 'TRIGGER'), c.reltuples::bigint, \
        has_any_column_privilege(c.oid, 'SELECT') AND has_any_column_privilege(c.oid, 'INSERT') \
            AND has_any_column_privilege(c.oid, 'UPDATE') AND has_table_privilege(c.oid, 'DELETE') \
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
        WHERE c.oid = to_regclass('users')";

    /// Relations named `users` that the search path does not find.
    ELSEWHERE = "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname) \
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace \
        WHERE c.relname = 'users' AND c.relkind IN ('r', 'p', 'v', 'm', 'f') \
        AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' \
        AND c.oid IS DISTINCT FROM to_regclass('users')::oid ORDER BY 1";

    /// The columns: name, type without and with its modifier, whether the modifier limits it,
    /// whether it has a validated NOT NULL, whether its domain has one, default, identity,
    /// generation expression, collation, whether that is deterministic, and whether it is the
    /// type's default.
    COLUMNS = "SELECT a.attname::text, format_type(a.atttypid, NULL), format_type(a.atttypid, \
        a.atttypmod), \
        a.atttypmod >= 0, \
        a.attnotnull AND NOT EXISTS (SELECT 1 FROM pg_constraint AS n WHERE n.conrelid = \
        a.attrelid \
            AND n.contype = 'n' AND NOT n.convalidated AND a.attnum = ANY (n.conkey)), \
        t.typnotnull, COALESCE(pg_get_expr(d.adbin, d.adrelid), t.typdefault), \
        a.attidentity::text, a.attgenerated::text, l.collname::text, \
        COALESCE(l.collisdeterministic, true), a.attcollation = t.typcollation \
        FROM pg_attribute AS a JOIN pg_type AS t ON t.oid = a.atttypid \
        LEFT JOIN pg_attrdef AS d ON d.adrelid = a.attrelid AND d.adnum = a.attnum \
        LEFT JOIN pg_collation AS l ON l.oid = a.attcollation \
        WHERE a.attrelid = to_regclass('users') AND a.attnum > 0 AND NOT a.attisdropped ORDER BY \
        a.attnum";

    /// Objects that prevent a change of a column's type: views, rules, policies, triggers,
    /// functions, generated columns, publications.
    DEPENDANTS = "SELECT a.attname::text, pg_describe_object(d.classid, d.objid, d.objsubid) \
        FROM pg_depend AS d JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = \
        d.refobjsubid \
        WHERE d.refclassid = to_regclass('pg_catalog.pg_class')::oid AND d.refobjid = \
        to_regclass('users')::oid \
        AND a.attname IN ('id', 'name', 'email', 'version') \
        AND (d.classid IN (to_regclass('pg_catalog.pg_rewrite')::oid, \
        to_regclass('pg_catalog.pg_policy')::oid, \
            to_regclass('pg_catalog.pg_trigger')::oid, to_regclass('pg_catalog.pg_proc')::oid, \
            to_regclass('pg_catalog.pg_publication_rel')::oid) \
        OR d.classid = to_regclass('pg_catalog.pg_attrdef')::oid AND NOT EXISTS (SELECT 1 FROM \
        pg_attrdef AS f \
            WHERE f.oid = d.objid AND f.adnum = d.refobjsubid)) \
        GROUP BY 1, 2 ORDER BY 1, 2";

    /// Unique indexes: name, the column if it has exactly one, whether it is the primary key,
    /// whether it covers every row by equality of bytes, and whether it is valid.
    KEYS = "SELECT c.relname::text, a.attname::text, i.indisprimary, \
        i.indisvalid AND i.indisready AND i.indislive AND i.indpred IS NULL AND i.indexprs IS NULL \
            AND i.indnkeyatts = 1 AND NOT EXISTS (SELECT 1 FROM pg_collation AS l \
            WHERE l.oid = i.indcollation[0] AND NOT l.collisdeterministic), i.indisvalid \
        FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid \
        LEFT JOIN pg_attribute AS a ON a.attrelid = i.indrelid AND a.attnum = i.indkey[0] AND \
        i.indnkeyatts = 1 \
        WHERE i.indrelid = to_regclass('users') AND i.indisunique ORDER BY 1";

    /// Whether the name of the new key is free.
    KEY_NAMES = "SELECT to_regclass('users_email_key') IS NULL";

    /// The sequence that generates ids: quoted name, type, last value, increment and maximum,
    /// whether it cycles, whether it is `users_id_seq`, whether this role owns it, may set it and
    /// may use it, and whether it belongs to an identity column.
    SEQUENCE = "SELECT quote_ident(n.nspname) || '.' || quote_ident(c.relname), \
        format_type(s.seqtypid, NULL), \
        v.last_value, s.seqincrement, s.seqmax, s.seqcycle, \
        c.oid IS NOT DISTINCT FROM to_regclass('users_id_seq')::oid, \
        pg_has_role(c.relowner, 'USAGE'), has_sequence_privilege(c.oid, 'UPDATE'), \
        has_sequence_privilege(c.oid, 'USAGE') OR has_sequence_privilege(c.oid, 'UPDATE'), \
        a.attidentity <> '' \
        FROM pg_attribute AS a \
        JOIN pg_depend AS d ON d.classid = to_regclass('pg_catalog.pg_class')::oid AND d.refobjid \
        = a.attrelid \
            AND d.refobjsubid = a.attnum AND d.deptype = 'i' \
            OR d.classid = to_regclass('pg_catalog.pg_attrdef')::oid \
            AND d.objid = (SELECT f.oid FROM pg_attrdef AS f WHERE f.adrelid = a.attrelid AND \
            f.adnum = a.attnum) \
        JOIN pg_sequence AS s ON s.seqrelid = CASE WHEN d.deptype = 'i' THEN d.objid ELSE \
        d.refobjid END \
        JOIN pg_class AS c ON c.oid = s.seqrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace \
        LEFT JOIN pg_sequences AS v ON v.schemaname = n.nspname AND v.sequencename = c.relname \
        WHERE a.attrelid = to_regclass('users') AND a.attname = 'id' LIMIT 1";

    /// CHECK and exclusion constraints of the table, and foreign keys that reference it: kind,
    /// table, name, definition.
    CONSTRAINTS = "SELECT k.contype::text, quote_ident(n.nspname) || '.' || \
        quote_ident(c.relname), \
        quote_ident(k.conname), pg_get_constraintdef(k.oid) \
        FROM pg_constraint AS k JOIN pg_class AS c ON c.oid = k.conrelid JOIN pg_namespace AS n \
        ON n.oid = c.relnamespace \
        WHERE k.conrelid = to_regclass('users') AND k.contype IN ('c', 'x') \
        OR k.confrelid = to_regclass('users') AND k.contype = 'f' AND k.conparentid = 0 ORDER BY \
        1, 2, 3";

    /// Triggers: name, whether it is the service's own, whether it is enabled, and whether it runs
    /// before each row.
    TRIGGERS = "SELECT quote_ident(t.tgname), t.tgname = 'usher_next_version', t.tgenabled <> 'D', \
        t.tgtype & 2 <> 0 AND t.tgtype & 1 <> 0 \
        FROM pg_trigger AS t WHERE t.tgrelid = to_regclass('users') AND NOT t.tgisinternal ORDER \
        BY 1";

    /// Rules: name, and whether it is an INSTEAD rule.
    RULES = "SELECT quote_ident(r.rulename), r.is_instead FROM pg_rewrite AS r \
        WHERE r.ev_class = to_regclass('users') AND r.ev_type <> '1' ORDER BY 1";

    /// The least and the greatest id.
    IDS = "SELECT min(id)::bigint, max(id)::bigint FROM users";

    /// The number of ids below 1, which no list would contain.
    IDS_BELOW_ONE = "SELECT count(*) FROM users WHERE id < 1";

    /// The number of users without an id.
    NO_ID = "SELECT count(*) FROM users WHERE id IS NULL";

    /// The number of users without a name.
    NO_NAME = "SELECT count(*) FROM users WHERE name IS NULL";

    /// The number of users without an address.
    NO_EMAIL = "SELECT count(*) FROM users WHERE email IS NULL";

    /// The number of users without a version.
    NO_VERSION = "SELECT count(*) FROM users WHERE version IS NULL";

    /// The number of ids that several users share.
    SHARED_IDS = "SELECT count(*) FROM (SELECT 1 FROM users GROUP BY id HAVING count(*) > 1) AS \
        shared";

    /// The number of addresses that several users share.
    SHARED_EMAILS = "SELECT count(*) FROM (SELECT 1 FROM users GROUP BY email HAVING count(*) > \
        1) AS shared";

    /// The number of addresses that are not normalised, as far as a pattern can tell.
    UNUSUAL_EMAILS = "SELECT count(*) FROM users WHERE email !~ '^[^@[:space:]]+@[^@[:space:]]+$' \
        OR split_part(email, '@', 2) <> lower(split_part(email, '@', 2))";

    /// Widens ids. Rewrites the table and its indexes.
    WIDEN_ID = "ALTER TABLE users ALTER COLUMN id TYPE bigint";

    /// Removes the limit on names. Rewrites no row.
    WIDEN_NAME = "ALTER TABLE users ALTER COLUMN name TYPE text";

    /// Removes the limit on addresses. Rewrites no row.
    WIDEN_EMAIL = "ALTER TABLE users ALTER COLUMN email TYPE text";

    /// Widens versions. Rewrites the table.
    WIDEN_VERSION = "ALTER TABLE users ALTER COLUMN version TYPE bigint";

    /// Adds the column of versions. Rewrites no row.
    ADD_VERSION = "ALTER TABLE users ADD COLUMN version bigint NOT NULL DEFAULT 1";

    /// Sets the version of new users.
    DEFAULT_VERSION = "ALTER TABLE users ALTER COLUMN version SET DEFAULT 1";

    /// Makes ids NOT NULL. Reads all rows.
    KEEP_ID = "ALTER TABLE users ALTER COLUMN id SET NOT NULL";

    /// Makes names NOT NULL. Reads all rows.
    KEEP_NAME = "ALTER TABLE users ALTER COLUMN name SET NOT NULL";

    /// Makes addresses NOT NULL. Reads all rows.
    KEEP_EMAIL = "ALTER TABLE users ALTER COLUMN email SET NOT NULL";

    /// Makes versions NOT NULL. Reads all rows.
    KEEP_VERSION = "ALTER TABLE users ALTER COLUMN version SET NOT NULL";

    /// Makes ids unique, if the table has no primary key.
    ADD_PRIMARY_KEY = "ALTER TABLE users ADD PRIMARY KEY (id)";

    /// Makes ids unique, if the primary key is on other columns.
    ADD_ID_KEY = "CREATE UNIQUE INDEX ON users (id)";

    /// Makes addresses unique.
    ADD_EMAIL_KEY = "CREATE UNIQUE INDEX users_email_key ON users (email)";

    /// Makes addresses unique, if the name above is taken.
    ADD_OTHER_EMAIL_KEY = "CREATE UNIQUE INDEX ON users (email)";

    /// Widens the sequence.
    WIDEN_SEQUENCE = "ALTER SEQUENCE users_id_seq AS bigint";

    /// Advances the sequence to the greatest id, never back.
    ADVANCE_SEQUENCE = "SELECT setval(s.seqrelid, m.id) \
        FROM pg_attribute AS a \
        JOIN pg_depend AS d ON d.classid = to_regclass('pg_catalog.pg_class')::oid AND d.refobjid \
        = a.attrelid \
            AND d.refobjsubid = a.attnum AND d.deptype = 'i' \
            OR d.classid = to_regclass('pg_catalog.pg_attrdef')::oid \
            AND d.objid = (SELECT f.oid FROM pg_attrdef AS f WHERE f.adrelid = a.attrelid AND \
            f.adnum = a.attnum) \
        JOIN pg_sequence AS s ON s.seqrelid = CASE WHEN d.deptype = 'i' THEN d.objid ELSE \
        d.refobjid END \
        JOIN pg_class AS c ON c.oid = s.seqrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace \
        JOIN pg_sequences AS v ON v.schemaname = n.nspname AND v.sequencename = c.relname \
        CROSS JOIN (SELECT max(id)::bigint AS id FROM users) AS m \
        WHERE a.attrelid = to_regclass('users') AND a.attname = 'id' AND m.id > \
        COALESCE(v.last_value, 0)";
}
