//! Trigger functions.

use super::*;

#[test]
fn trigger_function_that_sets_columns_is_allowed() {
    expect_all(
        Ok(Effect::Writes),
        &[
            "CREATE OR REPLACE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
             NEW.version := OLD.version + 1; RETURN NEW; END $$",
            "CREATE FUNCTION f() RETURNS trigger AS $$ BEGIN IF NEW.a IS DISTINCT FROM OLD.a THEN \
             NEW.b := now(); NEW.c = lower(NEW.a); END IF; RETURN NEW; END; $$ LANGUAGE plpgsql",
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS '/* x */ begin new.\"b\" := \
             $1$ ; $1$; return new; end'",
            "CREATE OR REPLACE TRIGGER g BEFORE UPDATE ON users FOR EACH ROW WHEN (NEW.version = \
             OLD.version) EXECUTE FUNCTION f()",
        ]
        .map(|text| text.replace("$1$ ; $1$", "'';''").leak() as &str),
    );
}

#[test]
fn function_of_any_other_shape_is_denied() {
    let statement = |body: &str| {
        format!("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $x$ {body} $x$")
    };
    for body in [
        "",
        "BEGIN RETURN NEW; END",
        "BEGIN NEW.a := 1; RETURN OLD; END",
        "BEGIN NEW.a := 1; RETURN NULL; END",
        "BEGIN NEW.a := 1; END",
        "DECLARE x int; BEGIN NEW.a := 1; RETURN NEW; END",
        "<<l>> BEGIN NEW.a := 1; RETURN NEW; END",
        "#variable_conflict error\nBEGIN NEW.a := 1; RETURN NEW; END",
        "BEGIN EXECUTE 'x'; NEW.a := 1; RETURN NEW; END",
        "BEGIN NEW.a := 1; PERFORM 1; RETURN NEW; END",
        "BEGIN NEW.a := 1; SELECT 1 INTO x; RETURN NEW; END",
        "BEGIN OLD.a := 1; RETURN NEW; END",
        "BEGIN NEW := OLD; RETURN NEW; END",
        "BEGIN NEW.a.b := 1; RETURN NEW; END",
        "BEGIN NEW.a[1] := 1; RETURN NEW; END",
        "BEGIN NEW.a := 1 FROM t; RETURN NEW; END",
        "BEGIN NEW.a := 1, 2; RETURN NEW; END",
        "BEGIN NEW.a := 1 INTO x; RETURN NEW; END",
        "BEGIN NEW.a := (SELECT relname FROM pg_class LIMIT 1); RETURN NEW; END",
        "BEGIN NEW.a := (SELECT setting FROM pg_settings LIMIT 1); RETURN NEW; END",
        "BEGIN NEW.a := ; RETURN NEW; END",
        "BEGIN NEW.a := 1 UNION SELECT 2; RETURN NEW; END",
        "BEGIN NEW.a := 1 FOR UPDATE; RETURN NEW; END",
        "BEGIN IF true THEN NEW.a := 1; ELSE NEW.a := 2; END IF; RETURN NEW; END",
        "BEGIN IF true THEN EXECUTE 'x'; END IF; RETURN NEW; END",
        "BEGIN IF true; EXECUTE 'x'; THEN NEW.a := 1; END IF; RETURN NEW; END",
        "BEGIN NEW.a := 1; RETURN NEW; END; EXECUTE 'x'",
        "BEGIN NEW.a := 1; RETURN NEW; EXCEPTION WHEN others THEN RETURN NEW; END",
        "BEGIN NEW.a := 1; RETURN NEW; END $x$ SECURITY DEFINER AS $x$ x",
    ] {
        let statement = statement(body);
        assert!(
            checked_with(&statement, &[]).is_err(),
            "{statement}: it may be created"
        );
    }
    let good = "AS $$ BEGIN NEW.a := 1; RETURN NEW; END $$";
    expect_all(
        Err("denied"),
        &[
            format!("CREATE FUNCTION f() RETURNS int LANGUAGE plpgsql {good}"),
            format!("CREATE FUNCTION f(a int) RETURNS trigger LANGUAGE plpgsql {good}"),
            format!("CREATE FUNCTION app.f() RETURNS trigger LANGUAGE plpgsql {good}"),
            format!("CREATE FUNCTION pg_f() RETURNS trigger LANGUAGE plpgsql {good}"),
            format!("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpython3u {good}"),
            format!("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER {good}"),
            format!("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql SET role = x {good}"),
            format!("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql COST 1 {good}"),
            format!("CREATE FUNCTION f() RETURNS SETOF trigger LANGUAGE plpgsql {good} WINDOW"),
            format!("CREATE PROCEDURE f() LANGUAGE plpgsql {good}"),
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE c AS 'a', 'b'".to_owned(),
            "CREATE FUNCTION f() RETURNS int RETURN 1".to_owned(),
            "CREATE TRIGGER g AFTER INSERT ON t EXECUTE FUNCTION f()".to_owned(),
            "CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f('x')".to_owned(),
            "CREATE TRIGGER g BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION app.f()".to_owned(),
            "CREATE CONSTRAINT TRIGGER g AFTER UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f()"
                .to_owned(),
        ]
        .map(|text| text.leak() as &str),
    );
}
