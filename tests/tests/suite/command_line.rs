//! Options, environment, configuration file, and help, in the program as users start it.

use std::net::TcpStream;

use usher_tests::http::Request;
use usher_tests::janitor::Scratch;
use usher_tests::process::{Ended, Usher};

use crate::conformance::SUITE;
use crate::databases::Kind;
use crate::startup::{fails_with, send_request, usher};

/// A row of the generated table of options.
struct Row {
    option: String,
    variable: String,
    range: String,
    takes_value: bool,
}

fn rows() -> Vec<Row> {
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/options.md");
    let table = std::fs::read_to_string(table).expect("the table of options");
    let lines = table.lines().filter(|line| line.starts_with("| `--"));
    let rows = lines.map(|line| {
        let cells: Vec<&str> = line.split(" | ").map(str::trim).collect();
        let option = cells[0].trim_matches(['|', ' ', '`']);
        let name = option.split(' ').next().unwrap_or_default();
        Row {
            option: name.to_owned(),
            variable: cells[1].trim_matches('`').to_owned(),
            range: cells[3].to_owned(),
            takes_value: name != option,
        }
    });
    rows.collect()
}

/// `usher config`, without any variable.
fn config(scratch: &Scratch) -> Usher {
    usher(scratch).env("USHER_LISTEN", "").args(["config"])
}

/// What `usher config` prints of one setting, with its origin.
#[track_caller]
fn printed(ended: &Ended, name: &str) -> String {
    assert_eq!(ended.code(), Some(0), "{:?}", ended.stderr);
    let text = String::from_utf8_lossy(&ended.stdout);
    let is_of = |line: &&str| {
        let line = line.trim_start_matches("# ");
        line.strip_prefix(name)
            .is_some_and(|rest| rest.starts_with(' '))
    };
    let line = text.lines().find(is_of).unwrap_or_default();
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Expects an error with all of these texts, and exit code 2.
#[track_caller]
fn refused_with(ended: &Ended, parts: &[&str]) {
    let text = ended.stderr.join("\n");
    assert_eq!(ended.code(), Some(2), "{text}");
    for part in parts {
        assert!(text.contains(part), "{part:?} is not in {text:?}");
    }
}

#[test]
fn flag_in_the_environment_understands_each_word_in_any_case() {
    let scratch = Scratch::new();
    for (word, is_on) in [
        ("1", true),
        ("true", true),
        ("YES", true),
        ("On", true),
        ("0", false),
        ("False", false),
        ("no", false),
        ("OFF", false),
    ] {
        for (variable, name) in [
            ("USHER_NO_MIGRATE", "no-migrate"),
            ("USHER_DATABASE_READ_ONLY", "database-read-only"),
        ] {
            let ended = config(&scratch).env(variable, word).run();
            assert_eq!(
                printed(&ended, name),
                format!("{name} = {is_on} # environment {variable}"),
                "{word}"
            );
        }
    }
    let ended = config(&scratch).env("USHER_NO_MIGRATE", "maybe").run();
    refused_with(&ended, &["USHER_NO_MIGRATE", "maybe", "yes or no"]);
    let ended = config(&scratch)
        .env("USHER_NO_MIGRATE", "1")
        .args(["--no-migrate=false"])
        .run();
    assert_eq!(printed(&ended, "no-migrate"), "no-migrate = false # option");
}

#[test]
fn empty_variable_of_any_option_is_unset() {
    let scratch = Scratch::new();
    let mut rows = rows();
    assert!(rows.len() > 40, "only {} options were found", rows.len());
    // Every program of a test has these set.
    let set = [
        "USHER_LOG_FORMAT",
        "USHER_DRAIN_DELAY",
        "USHER_COMPILE_CACHE",
    ];
    rows.retain(|row| !set.contains(&row.variable.as_str()));
    let empty = rows.iter().fold(config(&scratch), |program, row| {
        program.env(&row.variable, "")
    });
    let (empty, unset) = (empty.run(), config(&scratch).run());
    assert_eq!(empty.code(), Some(0), "{:?}", empty.stderr);
    assert_eq!(
        String::from_utf8_lossy(&empty.stdout),
        String::from_utf8_lossy(&unset.stdout)
    );
    let printed = String::from_utf8_lossy(&empty.stdout).into_owned();
    assert_eq!(printed.matches("environment").count(), 3, "{printed}");
}

#[test]
fn value_outside_its_range_is_refused_with_option_and_range() {
    let scratch = Scratch::new();
    let rows: Vec<_> = rows()
        .into_iter()
        .filter(|row| !row.range.is_empty())
        .collect();
    assert!(rows.len() > 25, "only {} ranges were found", rows.len());
    for row in rows {
        assert!(row.takes_value, "{}", row.option);
        for value in [
            "-1",
            "nonsense",
            "99999999999999999999",
            "9999999TiB",
            "9999years",
        ] {
            let argument = format!("{}={value}", row.option);
            let ended = config(&scratch).args([argument.as_str()]).run();
            refused_with(
                &ended,
                &[&row.option, value, &format!("from {}", row.range)],
            );
        }
        let ended = config(&scratch).env(&row.variable, "nonsense").run();
        refused_with(&ended, &[&row.variable, &format!("from {}", row.range)]);
    }
    for (option, value) in [
        ("--instance-memory", "1KiB"),
        ("--workers", "1000"),
        ("--workers", "0"),
        ("--statement-timeout", "0"),
        ("--max-head", "1KiB"),
    ] {
        let ended = config(&scratch).args([option, value]).run();
        refused_with(&ended, &[option, value, "from "]);
    }
}

#[test]
fn end_of_each_range_is_accepted() {
    let scratch = Scratch::new();
    for row in rows().into_iter().filter(|row| !row.range.is_empty()) {
        let (least, most) = row.range.split_once(" to ").expect("two ends");
        for end in [least, most] {
            let ended = config(&scratch)
                .args([row.option.as_str(), end])
                // Room for the largest body, and a body for the smallest room.
                .env("USHER_MAX_BODY", "1KiB")
                .env("USHER_INSTANCE_MEMORY", "4GiB")
                .env("USHER_DRAIN_TIMEOUT", "2h")
                .run();
            assert_eq!(
                ended.code(),
                Some(0),
                "{} {end}: {:?}",
                row.option,
                ended.stderr
            );
        }
    }
}

#[test]
fn max_body_that_no_instance_can_hold_is_refused_at_start() {
    let scratch = Scratch::new();
    let ended = usher(&scratch)
        .args(["--database", "memory:", "--max-body", "17MiB"])
        .run();
    fails_with(&ended, 2, &["--max-body 17MiB", "--instance-memory 64MiB"]);
}

#[tokio::test]
async fn mistyped_variable_is_warned_of_and_others_are_not() {
    let scratch = Scratch::new();
    let mut running = usher(&scratch)
        .args(["--database", "memory:"])
        .env("USHER_MAX_BDY", "1KiB")
        .env("USHER_QUICK_COMPONENT", "1")
        .env("USHER_SERVICE_HOST", "10.0.0.1")
        .spawn();
    let line = running.line("is no setting");
    assert!(
        line.contains("USHER_MAX_BDY") && line.contains("USHER_MAX_BODY?"),
        "{line}"
    );
    running.address();
    running.terminate();
    let ended = running.wait();
    let warned = ended
        .stderr
        .iter()
        .filter(|line| line.contains("is no setting"));
    assert_eq!(warned.count(), 1, "{:?}", ended.stderr);
}

#[tokio::test]
async fn name_and_port_alone_are_listened_on() {
    let scratch = Scratch::new();
    for address in ["localhost:0", ":0", "[::]:0"] {
        let mut running = usher(&scratch)
            .args(["--database", "memory:"])
            .args(["--listen", address, "--admin-listen", address])
            .spawn();
        let operators = running.operators();
        let clients = running.address();
        for bound in [operators, clients] {
            let port = bound.rsplit(':').next().unwrap_or_default();
            let loopback = match address {
                "localhost:0" => bound.clone(),
                _ => format!("127.0.0.1:{port}"),
            };
            assert!(TcpStream::connect(&loopback).is_ok(), "{address}: {bound}");
        }
    }
    for (address, why) in [
        ("8000", "localhost:"),
        ("http://localhost:8000", "HOST:PORT"),
        ("nowhere.invalid:8000", "--listen"),
    ] {
        let ended = usher(&scratch)
            .args(["--database", "memory:", "--listen", address])
            .run();
        refused_with(&ended, &[address, why]);
    }
}

#[test]
fn component_to_standard_output_is_the_embedded_one() {
    let scratch = Scratch::new();
    for arguments in [["component", "-o", "-"], ["component", "--output", "-"]] {
        let ended = usher(&scratch).args(arguments).run();
        assert_eq!(ended.code(), Some(0), "{:?}", ended.stderr);
        assert!(ended.stdout == usher::sandbox::USERS_WASM);
    }
    assert!(!scratch.path().join("-").exists());
}

#[test]
fn migrate_of_a_component_without_migrations_says_so() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("suite.wasm"), SUITE).expect("a file");
    let ended = usher(&scratch)
        .args([
            "migrate",
            "--database",
            "sqlite:users.db",
            "--component",
            "suite.wasm",
        ])
        .run();
    fails_with(&ended, 0, &["no migrations", "nothing to do"]);
}

#[test]
fn short_help_fits_one_screen_and_long_help_is_grouped() {
    let scratch = Scratch::new();
    let help = |option: &str| {
        let ended = usher(&scratch).args([option]).run();
        assert_eq!(ended.code(), Some(0));
        String::from_utf8(ended.stdout).expect("text")
    };
    let (short, long) = (help("-h"), help("--help"));
    assert!(short.lines().count() <= 50, "{short}");
    assert!(short.contains("--listen") && !short.contains("--write-timeout"));
    for heading in [
        "Options:",
        "Database:",
        "Migrations:",
        "Component:",
        "Clients:",
        "Server:",
    ] {
        assert!(long.contains(&format!("\n{heading}\n")), "{heading}");
    }
    for row in rows() {
        assert!(long.contains(&row.option), "{}", row.option);
        assert!(
            long.contains(&format!("[env: {}]", row.variable)),
            "{}",
            row.variable
        );
        let range = format!("[range: {}]", row.range);
        assert!(row.range.is_empty() || long.contains(&range), "{range}");
    }
    assert!(long.contains("Exit codes:"));
}

#[test]
fn completions_are_valid_shell_and_name_the_options() {
    let scratch = Scratch::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = usher(&scratch).args(["completions", shell]).run();
        assert_eq!(ended.code(), Some(0), "{:?}", ended.stderr);
        let text = String::from_utf8(ended.stdout).expect("text");
        assert!(text.contains("statement-timeout"), "{shell}");
        if shell == "bash" {
            std::fs::write(scratch.path().join("usher.bash"), text).expect("a file");
            let checked = std::process::Command::new("bash")
                .arg("-n")
                .arg(scratch.path().join("usher.bash"))
                .status();
            assert!(checked.expect("bash runs").success());
        }
    }
}

#[test]
fn manual_page_has_options_ranges_and_exit_codes() {
    let ended = usher(&Scratch::new()).args(["man"]).run();
    assert_eq!(ended.code(), Some(0), "{:?}", ended.stderr);
    let page = String::from_utf8(ended.stdout)
        .expect("text")
        .replace('\\', "");
    assert!(page.contains(".TH usher 1"), "{page}");
    for part in ["--max-body", "0 to 1GiB", "USHER_MAX_BODY", "Exit codes"] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn option_precedes_environment_and_environment_precedes_file() {
    let scratch = Scratch::new();
    let file = "# sizes\nmax-body = \"2MiB\"\nmax-head = \"32KiB\"\npool-size = 4\n\
                no-migrate = true\ntrusted-proxy = [\"10.0.0.1\", \"::1\"]\n";
    std::fs::write(scratch.path().join("usher.toml"), file).expect("a file");
    let ended = config(&scratch)
        .args(["--config", "usher.toml", "--max-body", "4MiB"])
        .env("USHER_MAX_BODY", "3MiB")
        .env("USHER_MAX_HEAD", "16KiB")
        .run();
    for expected in [
        "max-body = \"4MiB\" # option",
        "max-head = \"16KiB\" # environment USHER_MAX_HEAD",
        "pool-size = 4 # file usher.toml:4",
        "no-migrate = true # file usher.toml:5",
        "trusted-proxy = [\"10.0.0.1\", \"::1\"] # file usher.toml:6",
        "head-timeout = \"10s\" # default",
        "# workers # not set",
    ] {
        let name = expected.trim_start_matches("# ").split(' ').next();
        assert_eq!(printed(&ended, name.unwrap_or_default()), expected);
    }
    // What is printed is a configuration file with the same settings.
    std::fs::write(scratch.path().join("printed.toml"), &ended.stdout).expect("a file");
    let again = config(&scratch).env("USHER_CONFIG", "printed.toml").run();
    let values = |ended: &Ended| -> Vec<String> {
        let text = String::from_utf8_lossy(&ended.stdout);
        let values = text.lines().filter(|line| !line.starts_with('#'));
        let value = |line: &str| {
            line.split("  #")
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned()
        };
        values.map(value).collect()
    };
    assert_eq!(values(&again), values(&ended));
}

#[test]
fn fault_in_the_configuration_file_is_reported_with_its_line() {
    let scratch = Scratch::new();
    for (file, parts) in [
        (
            "\nmax-bdy = 1",
            &["usher.toml:2", "max-bdy", "did you mean max-body"][..],
        ),
        (
            "max-body = \"huge\"",
            &["max-body in usher.toml:1", "huge", "0 to 1GiB"],
        ),
        (
            "no-migrate = \"maybe\"",
            &["no-migrate in usher.toml:1", "yes or no"],
        ),
        (
            "pool-size = [1, 2]",
            &["usher.toml:1", "pool-size", "one value"],
        ),
        ("config = \"other.toml\"", &["usher.toml:1", "config"]),
        ("database = \"postgres://me:secret", &["usher.toml:1"]),
        ("database = \"mysql://me:secret@db/x\"", &["mysql"]),
        (
            "database = \"memory:\"\ndatabase-file = \"url\"",
            &["usher.toml", "both"],
        ),
    ] {
        std::fs::write(scratch.path().join("usher.toml"), file).expect("a file");
        let ended = usher(&scratch).args(["--config", "usher.toml"]).run();
        refused_with(&ended, parts);
        assert!(
            !ended.stderr.concat().contains("secret"),
            "{:?}",
            ended.stderr
        );
    }
    let ended = usher(&scratch).args(["--config", "nowhere.toml"]).run();
    refused_with(&ended, &["nowhere.toml"]);
}

#[test]
fn printed_settings_mask_the_password() {
    let scratch = Scratch::new();
    let url = "postgres://me:secret@db.example.com/users";
    std::fs::write(scratch.path().join("url"), format!("{url}\n")).expect("a file");
    let masked = "\"postgres://me:***@db.example.com/users\"";
    let ended = config(&scratch).env("DATABASE_URL", url).run();
    let expected = format!("database = {masked} # environment DATABASE_URL");
    assert_eq!(printed(&ended, "database"), expected);
    let ended = config(&scratch).env("DATABASE_URL_FILE", "url").run();
    let expected = format!("# database = {masked} # read from database-file");
    assert_eq!(printed(&ended, "database"), expected);
    assert_eq!(
        printed(&ended, "database-file"),
        "database-file = \"url\" # environment DATABASE_URL_FILE"
    );
    assert!(!String::from_utf8_lossy(&ended.stdout).contains("secret"));
}

#[tokio::test]
async fn database_file_names_the_database() {
    let scratch = Scratch::new();
    std::fs::write(scratch.path().join("url"), "sqlite:users.db\n").expect("a file");
    for by_option in [true, false] {
        let program = usher(&scratch);
        let program = if by_option {
            // An option goes before the environment, also of the other name.
            program
                .args(["--database-file", "url"])
                .env("DATABASE_URL", "sqlite:other.db")
        } else {
            program.env("DATABASE_URL_FILE", "url")
        };
        let mut running = program.spawn();
        let address = running.address();
        assert_eq!(
            send_request(&address, Request::get("/users/")).await.status,
            200
        );
    }
    assert!(scratch.path().join("users.db").exists());
    assert!(!scratch.path().join("other.db").exists());
}

#[test]
fn unusable_database_file_is_reported_without_its_content() {
    let scratch = Scratch::new();
    let write = |text: &str| std::fs::write(scratch.path().join("url"), text).expect("a file");
    let run = |name: &str| usher(&scratch).args(["--database-file", name]).run();
    fails_with(&run("nowhere"), 2, &["nowhere"]);
    for text in [
        "",
        "secret",
        "mysql://me:secret@db/x",
        "postgres://me:sec\nret@db/x",
    ] {
        write(text);
        let ended = run("url");
        fails_with(&ended, 2, &["url"]);
        assert!(!ended.only_line().contains("sec"), "{:?}", ended.stderr);
    }
    write("memory:");
    let both = usher(&scratch)
        .args(["--database-file", "url", "--database", "memory:"])
        .run();
    fails_with(&both, 2, &["--database", "--database-file", "both"]);
    let both = usher(&scratch)
        .env("DATABASE_URL", "memory:")
        .env("DATABASE_URL_FILE", "url")
        .run();
    fails_with(&both, 2, &["DATABASE_URL", "DATABASE_URL_FILE", "both"]);
}

#[test]
fn instance_memory_below_what_the_component_needs_is_refused_at_start() {
    let scratch = Scratch::new();
    let ended = usher(&scratch)
        .args(["--database", "memory:", "--max-body", "1KiB"])
        .args(["--instance-memory", "1MiB"])
        .run();
    fails_with(
        &ended,
        2,
        &["the embedded component", "raise --instance-memory"],
    );
}

#[tokio::test]
async fn longest_timeouts_are_accepted_by_postgresql() {
    let (scratch, fresh) = (Scratch::new(), Kind::Postgres.fresh().await);
    let timeouts = rows()
        .into_iter()
        .filter(|row| row.range.starts_with("1ms"));
    let timeouts: Vec<String> = timeouts
        .map(|row| {
            let (_, most) = row.range.split_once(" to ").expect("two ends");
            format!("{}={most}", row.option)
        })
        .collect();
    let mut running = usher(&scratch)
        .args(["--database", &fresh.url])
        .args(timeouts.iter().map(String::as_str))
        .spawn();
    let address = running.address();
    let ann = serde_json::json!({"name": "Ann", "email": "ann@example.org"});
    let created = send_request(&address, Request::post("/users/", &ann)).await;
    assert_eq!(created.status, 200);
}
