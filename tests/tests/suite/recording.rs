//! Recorded requests, and their replay without a database, by the program as users start it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;
use usher_tests::figures;
use usher_tests::http::Request;
use usher_tests::janitor::Scratch;
use usher_tests::process::{Ended, Running, Usher};

use crate::conformance::SUITE;
use crate::contract;
use crate::databases::Kind;
use crate::startup::{fails_with, send_request, usher};

const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));

/// The program, recording every request in the folder `tape`.
fn recording(scratch: &Scratch, url: &str) -> Usher {
    usher(scratch)
        .args(["--database", url, "--workers", "1"])
        .args(["--record", "tape", "--record-one-in", "1"])
}

/// Ends the program, which writes what it has recorded.
fn end(running: Running) -> Ended {
    running.terminate();
    let ended = running.wait();
    assert_eq!(ended.code(), Some(0), "{:?}", ended.stderr);
    ended
}

fn replay(scratch: &Scratch, arguments: &[&str]) -> Ended {
    Usher::new(env!("CARGO_BIN_EXE_usher-under-test"))
        .current_dir(scratch.path())
        .args(["replay"])
        .args(arguments.iter().copied())
        .run()
}

fn printed(ended: &Ended) -> String {
    String::from_utf8_lossy(&ended.stdout).into_owned()
}

/// The program that compiles components, beside this one: TARGET/PROFILE/deps/suite-…
fn compiler() -> String {
    let suite = std::env::current_exe().expect("this program has a path");
    let profile = suite.ancestors().nth(2).expect("a folder for each profile");
    let compiler = profile.join("examples/usher-compiler-under-test");
    compiler.display().to_string()
}

/// The last line of a replay.
fn summary(ended: &Ended) -> String {
    let text = printed(ended);
    text.lines().last().unwrap_or_default().to_owned()
}

/// The recordings in the folder `tape`. Their names say nothing of their order.
fn files(scratch: &Scratch) -> Vec<PathBuf> {
    let folder = fs::read_dir(scratch.path().join("tape")).expect("a folder");
    let mut files: Vec<_> = folder
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    files
}

/// The recording of the request with this method and target that was answered with this status.
fn file_of(files: &[PathBuf], method: &str, target: &str, status: u16) -> PathBuf {
    let is_it = |file: &&PathBuf| {
        let lines = lines(file);
        let has_status = |line: &Value| line["response"]["status"] == status;
        let request = &lines[1]["request"];
        request["method"] == method && request["target"] == target && lines.iter().any(has_status)
    };
    files.iter().find(is_it).expect("it is recorded").clone()
}

/// The lines of a recording.
fn lines(file: &PathBuf) -> Vec<Value> {
    let text = fs::read_to_string(file).expect("a file");
    let lines = text.lines().map(serde_json::from_str);
    lines.collect::<Result<_, _>>().expect("each line is JSON")
}

/// The only recording in the folder `tape`.
fn only(scratch: &Scratch) -> Vec<Value> {
    match &files(scratch)[..] {
        [file] => lines(file),
        files => panic!("{files:?}"),
    }
}

fn ann() -> Request {
    let ann = json!({"name": "Annabel Leighton", "email": "annabel@leighton.example.org"});
    Request::post("/users/", &ann)
}

async fn contract_is_replayed(kind: Kind) {
    let (scratch, fresh) = (Scratch::new(), kind.fresh().await);
    let mut running = recording(&scratch, &fresh.url).spawn();
    let address = running.address();
    let mut sent = 0;
    for request in contract::requests() {
        send_request(&address, request).await;
        sent += 1;
    }
    let ended = end(running);
    let lost = ended
        .stderr
        .iter()
        .filter(|line| line.contains("not recorded"));
    assert_eq!(lost.count(), 0, "{:?}", ended.stderr);
    let files = files(&scratch);
    assert!(files.len() * 10 > sent * 9, "{} of {sent}", files.len());
    let replayed = replay(&scratch, &["tape"]);
    let summary = summary(&replayed);
    figures::print(
        "the recorded contract",
        &format!("{kind:?}: of {sent} requests {summary}"),
    );
    let mut numbers = summary.split(|c: char| !c.is_ascii_digit());
    let mut number = || numbers.find_map(|text| text.parse::<usize>().ok());
    let (same, differ, not) = (number(), number(), number());
    let (same, not) = (same.expect("replayed"), not.expect("not replayed"));
    assert_eq!(differ, Some(0), "{}", printed(&replayed));
    assert_eq!(replayed.code(), Some(0));
    assert_eq!(same + not, files.len());
    // Masked values take another path now and then, and the recording says so.
    assert!(not * 10 < same, "{}", printed(&replayed));
}

#[tokio::test]
async fn contract_recorded_in_memory_is_replayed_without_a_difference() {
    contract_is_replayed(Kind::Memory).await;
}

#[tokio::test]
async fn contract_recorded_on_a_file_is_replayed_without_a_difference() {
    contract_is_replayed(Kind::File).await;
}

#[tokio::test]
async fn recording_has_the_requests_calls_and_no_personal_data() {
    let scratch = Scratch::new();
    let mut running = recording(&scratch, "memory:").spawn();
    let address = running.address();
    let secret = "Bearer c2VjcmV0LW9mLXRoZS1jbGllbnQ";
    let created = ann()
        .header("authorization", secret)
        .header("cookie", "session=c2VjcmV0LW9mLXRoZS1jbGllbnQ")
        .header("x-api-key", "c2VjcmV0LW9mLXRoZS1jbGllbnQ");
    assert_eq!(send_request(&address, created).await.status, 200);
    assert_eq!(send_request(&address, ann()).await.status, 409);
    let found = "/users/?email=annabel%40leighton.example.org";
    for target in [
        found,
        "/users/1",
        "/users.ndjson",
        "/users/annabel",
        "/annabel",
    ] {
        send_request(&address, Request::get(target)).await;
    }
    let changed = Request::new("PATCH", "/users/1")
        .header("content-type", "application/json")
        .header("if-match", "\"1\"")
        .body(r#"{"name": "Annabel \u004ceighton-Smith"}"#);
    assert_eq!(send_request(&address, changed).await.status, 200);
    end(running);
    let folder = scratch.path().join("tape");
    let mode = |path: &PathBuf| {
        let data = fs::metadata(path).expect("it is there");
        data.permissions().mode() & 0o777
    };
    assert_eq!(mode(&folder), 0o700);
    let files = files(&scratch);
    assert_eq!(files.len(), 8);
    for file in &files {
        assert_eq!(mode(file), 0o600);
        let text = fs::read_to_string(file).expect("a file");
        for personal in ["nnabel", "eighton", "c2Vjc", "example"] {
            let has_it = text.contains(personal);
            assert!(!has_it, "{personal} is in {text}");
        }
    }
    let first = lines(&file_of(&files, "POST", "/users/", 200));
    assert_eq!(first[0]["usher-recording"], 1);
    assert_eq!(first[0]["masked"], true);
    let (call, response) = (&first[2], &first[3]["response"]);
    assert!(
        call["query"]
            .as_str()
            .is_some_and(|text| text.starts_with("INSERT"))
    );
    assert_eq!(response["status"], 200);
    // The same values everywhere: those of the request, the parameters, the row and the response.
    let body: Value = serde_json::from_str(first[1]["request"]["body"].as_str().unwrap_or(""))
        .expect("it is JSON");
    let answer: Value =
        serde_json::from_str(response["body"].as_str().unwrap_or("")).expect("it is JSON");
    let row = &call["result"]["rows"][0];
    for (field, index) in [("name", 0), ("email", 1)] {
        let value = &body[field];
        assert_eq!((value, value), (&call["params"][index], &answer[field]));
        assert_eq!(*value, row[index + 1]);
    }
    assert!(
        body["email"]
            .as_str()
            .is_some_and(|email| email.rsplit('.').next() == Some("org"))
    );
    let second = lines(&file_of(&files, "POST", "/users/", 409));
    assert_eq!(second[2]["error"]["refused"]["kind"], "unique-violation");
    assert_eq!(second[2]["params"], call["params"]);
    let replayed = replay(&scratch, &["tape"]);
    assert_eq!(replayed.code(), Some(0), "{}", printed(&replayed));
}

#[tokio::test]
async fn other_component_is_shown_as_a_difference_with_both_statements() {
    let scratch = Scratch::new();
    let mut running = recording(&scratch, "memory:").spawn();
    let address = running.address();
    send_request(&address, ann()).await;
    send_request(&address, Request::get("/users/1")).await;
    end(running);
    // One recording says of another statement that it was asked, one of another body.
    let files = files(&scratch);
    let edit = |file: &PathBuf, from: &str, to: &str| {
        let text = fs::read_to_string(file).expect("a file");
        assert!(text.contains(from), "{text}");
        fs::write(file, text.replace(from, to)).expect("it is written");
    };
    let created = file_of(&files, "POST", "/users/", 200);
    edit(&created, "INSERT INTO users", "INSERT INTO people");
    let read = file_of(&files, "GET", "/users/1", 200);
    edit(&read, r#"{\"id\":1,"#, r#"{\"id\":2,"#);
    let replayed = replay(&scratch, &["tape"]);
    let text = printed(&replayed);
    assert_eq!(replayed.code(), Some(1), "{text}");
    for part in [
        "-call 1: query INSERT INTO people",
        "+call 1: query INSERT INTO users",
        "-  \"id\":2,\n+  \"id\":1,\n",
        "--- recorded\n+++ replayed\n",
        "2 replayed, 2 differ, 0 could not be replayed",
    ] {
        assert!(text.contains(part), "{part:?} is not in {text}");
    }
    // The same with a component that answers everything otherwise.
    fs::write(scratch.path().join("suite.wasm"), SUITE).expect("a file");
    let compiler = compiler();
    let arguments = ["tape", "--component", "suite.wasm", "--compiler", &compiler];
    let replayed = replay(&scratch, &arguments);
    let text = printed(&replayed);
    assert_eq!(replayed.code(), Some(1), "{text} {:?}", replayed.stderr);
    assert!(text.contains("-response 200"), "{text}");
    assert!(text.contains("2 replayed, 2 differ"), "{text}");
}

#[tokio::test]
async fn list_that_is_streamed_is_replayed_with_its_batches() {
    let scratch = Scratch::new();
    let mut running = recording(&scratch, "memory:").spawn();
    let address = running.address();
    for number in 0..60 {
        let user = json!({"name": "x".repeat(3000), "email": format!("a{number}@example.org")});
        send_request(&address, Request::post("/users/", &user)).await;
    }
    let listed = send_request(&address, Request::get("/users.ndjson")).await;
    assert_eq!(listed.text().lines().count(), 60);
    end(running);
    let streamed = lines(&file_of(&files(&scratch), "GET", "/users.ndjson", 200));
    let batches = streamed.iter().filter(|line| line.get("next").is_some());
    assert!(batches.count() > 2, "{streamed:?}");
    let replayed = replay(&scratch, &["tape"]);
    assert_eq!(replayed.code(), Some(0), "{}", printed(&replayed));
    assert_eq!(
        summary(&replayed),
        "61 replayed, 0 differ, 0 could not be replayed"
    );
}

/// The program with a component that misbehaves as its requests ask.
fn hostile(scratch: &Scratch) -> Usher {
    fs::write(scratch.path().join("hostile.wasm"), HOSTILE).expect("a file");
    recording(scratch, "memory:")
        .args(["--component", "hostile.wasm", "--no-migrate"])
        // Its paths are not declared, so that they would be masked.
        .args(["--record-personal-data"])
        .args(["--compiler", &compiler()])
}

/// Replays what that component did.
fn replay_hostile(scratch: &Scratch) -> Ended {
    let compiler = compiler();
    let component = ["--component", "hostile.wasm", "--compiler", &compiler];
    replay(scratch, &[&["tape"][..], &component].concat())
}

#[tokio::test]
async fn trap_is_recorded_and_happens_again_in_the_replay() {
    let scratch = Scratch::new();
    let mut running = hostile(&scratch).spawn();
    let address = running.address();
    for (path, status) in [("/table", 200), ("/trap", 500), ("/no-answer", 500)] {
        let answer = send_request(&address, Request::get(path)).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    let ended = end(running);
    // The second run, by the recorder, adds no line.
    let traps = ended
        .stderr
        .iter()
        .filter(|line| line.contains("unreachable"));
    assert_eq!(traps.count(), 1, "{:?}", ended.stderr);
    let (mut failed, files) = (0, files(&scratch));
    for file in &files {
        let recorded = lines(file);
        failed += recorded
            .iter()
            .filter(|line| line["failed"].is_string())
            .count();
        let last = recorded.last().expect("a line");
        assert_eq!(last["end"], "replayable", "{last}");
    }
    assert_eq!((failed, files.len()), (2, 3));
    let replayed = replay_hostile(&scratch);
    assert_eq!(replayed.code(), Some(0), "{}", printed(&replayed));
    assert_eq!(
        summary(&replayed),
        "3 replayed, 0 differ, 0 could not be replayed"
    );
}

#[tokio::test]
async fn timeout_of_a_statement_is_replayed_and_the_deadline_of_a_request_is_not() {
    let scratch = Scratch::new();
    let mut running = hostile(&scratch)
        .args(["--request-timeout", "700ms", "--statement-timeout", "200ms"])
        .spawn();
    let address = running.address();
    for (path, status) in [("/table", 200), ("/slow-statement", 504), ("/loop", 504)] {
        let answer = send_request(&address, Request::get(path)).await;
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
    }
    end(running);
    let recorded: Vec<_> = files(&scratch).iter().map(lines).collect();
    let has_timeout = |lines: &Vec<Value>| lines.iter().any(|line| line["error"] == "timeout");
    assert!(recorded.iter().any(has_timeout), "{recorded:?}");
    let marked = recorded.iter().filter_map(|lines| {
        let last = lines.last().expect("a line");
        (last["end"] == "not replayable").then(|| last["why"].as_str().unwrap_or_default())
    });
    let reasons: Vec<_> = marked.collect();
    assert!(
        matches!(reasons[..], [why] if why.contains("deadline")),
        "{recorded:?}"
    );
    let replayed = replay_hostile(&scratch);
    assert_eq!(
        summary(&replayed),
        "2 replayed, 0 differ, 1 could not be replayed"
    );
}

#[tokio::test]
async fn request_whose_client_leaves_is_marked_as_not_replayable() {
    let scratch = Scratch::new();
    let mut running = usher(&scratch)
        .args(["--database", "sqlite:users.db"])
        .spawn();
    let address = running.address();
    for number in 0..80 {
        let user = json!({"name": "x".repeat(100_000), "email": format!("a{number}@example.org")});
        send_request(&address, Request::post("/users/", &user)).await;
    }
    end(running);
    let large = ["--record-max-file", "100MiB"];
    let mut running = recording(&scratch, "sqlite:users.db").args(large).spawn();
    let address = running.address();
    // Little fits between the two, so that the response is not complete when the client leaves.
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let server = address.parse().expect("an address");
    let mut stream = socket.connect(server).await.expect("a connection");
    let head = "GET /users.ndjson HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(head.as_bytes()).await.expect("it is sent");
    stream.read_exact(&mut [0; 100]).await.expect("it begins");
    drop(stream);
    end(running);
    let recorded = only(&scratch);
    let last = recorded.last().expect("a line");
    assert_eq!(last["end"], "not replayable", "{last}");
    let why = last["why"].as_str().unwrap_or_default();
    assert!(why.contains("the client left"), "{last}");
    let replayed = replay(&scratch, &["tape"]);
    // Nothing was replayed.
    assert_eq!(replayed.code(), Some(1));
    assert!(printed(&replayed).contains(why), "{}", printed(&replayed));
}

#[tokio::test]
async fn personal_data_is_recorded_only_with_the_option_for_it() {
    let scratch = Scratch::new();
    let mut running = recording(&scratch, "memory:")
        .args(["--record-personal-data"])
        .spawn();
    running.line("those that identify people included");
    let address = running.address();
    send_request(&address, ann()).await;
    end(running);
    let recorded = only(&scratch);
    assert_eq!(recorded[0]["masked"], false);
    assert_eq!(recorded[2]["params"][0], "Annabel Leighton");
    assert_eq!(replay(&scratch, &["tape"]).code(), Some(0));
}

#[tokio::test]
async fn full_directory_stops_the_recording_and_no_request() {
    let scratch = Scratch::new();
    let mut running = recording(&scratch, "memory:")
        .args(["--record-max-total", "4KiB"])
        .spawn();
    let address = running.address();
    for _ in 0..20 {
        let status = send_request(&address, ann()).await.status;
        assert!(matches!(status, 200 | 409), "{status}");
    }
    running.line("recording has stopped, and requests go on");
    assert_eq!(send_request(&address, ann()).await.status, 409);
    let ended = end(running);
    let stops = ended
        .stderr
        .iter()
        .filter(|line| line.contains("has stopped"));
    assert_eq!(stops.count(), 1, "{:?}", ended.stderr);
    let bytes: u64 = files(&scratch)
        .iter()
        .map(|file| fs::metadata(file).expect("a file").len())
        .sum();
    assert!(bytes <= 4096, "{bytes}");
}

#[tokio::test]
async fn request_larger_than_a_recording_may_be_is_marked() {
    let scratch = Scratch::new();
    let mut running = recording(&scratch, "memory:")
        .args(["--record-max-file", "4KiB"])
        .spawn();
    let address = running.address();
    let user = json!({"name": "x".repeat(10_000), "email": "a@example.org"});
    send_request(&address, Request::post("/users/", &user)).await;
    end(running);
    let recorded = only(&scratch);
    let last = recorded.last().expect("a line");
    assert!(
        last["why"].as_str().unwrap_or_default().contains("4KiB"),
        "{last}"
    );
}

#[test]
fn directory_that_others_may_enter_is_refused() {
    let scratch = Scratch::new();
    let tape = scratch.path().join("tape");
    fs::create_dir(&tape).expect("a folder");
    fs::set_permissions(&tape, fs::Permissions::from_mode(0o755)).expect("a mode");
    let ended = recording(&scratch, "memory:").run();
    fails_with(&ended, 2, &["tape", "755", "chmod 700"]);
}

#[test]
fn replay_of_what_is_no_recording_is_an_error_that_says_so() {
    let scratch = Scratch::new();
    fails_with(&replay(&scratch, &["missing"]), 2, &["missing"]);
    fs::create_dir(scratch.path().join("empty")).expect("a folder");
    fails_with(&replay(&scratch, &["empty"]), 2, &["no recording", "empty"]);
    let head = |version: u32| {
        json!({"usher-recording": version, "id": "1", "time": "", "usher": "0.1.0",
            "component": "", "dialect": "sqlite", "masked": true})
    };
    for (name, text, part) in [
        ("other.jsonl", "{}\n".to_owned(), "line 1"),
        ("later.jsonl", format!("{}\n", head(2)), "version 2"),
        (
            "cut.jsonl",
            format!("{}\n", head(1)),
            "it ends before the request",
        ),
    ] {
        fs::write(scratch.path().join(name), text).expect("a file");
        let replayed = replay(&scratch, &[name]);
        assert_eq!(replayed.code(), Some(1));
        let text = printed(&replayed);
        assert!(text.contains(name) && text.contains(part), "{text}");
        assert!(text.contains("1 could not be replayed"), "{text}");
    }
}

/// Records the conformance suite, whose cases have every kind of call, value and error, and replays
/// it.
async fn conformance_is_replayed(kind: Kind) {
    let (scratch, fresh) = (Scratch::new(), kind.fresh().await);
    fs::write(scratch.path().join("suite.wasm"), SUITE).expect("a file");
    let compiler = compiler();
    let component = ["--component", "suite.wasm", "--compiler", &compiler];
    let mut running = recording(&scratch, &fresh.url)
        .args(component)
        .args(["--record-personal-data", "--record-max-file", "64MiB"])
        .spawn();
    let address = running.address();
    let names = send_request(&address, Request::get("/")).await.text();
    let mut cases = 0;
    // Those that need other limits make the longest results.
    for name in names
        .lines()
        .filter(|name| !name.contains("over_the_limit"))
    {
        cases += 1;
        send_request(&address, Request::new("POST", &format!("/{name}"))).await;
    }
    end(running);
    let arguments = [&["tape"][..], &component].concat();
    let replayed = replay(&scratch, &arguments);
    let summary = summary(&replayed);
    figures::print(
        "the recorded conformance suite",
        &format!("{kind:?}: {summary}"),
    );
    assert_eq!(replayed.code(), Some(0), "{}", printed(&replayed));
    let expected = format!("{} replayed, 0 differ, 0 could", cases + 1);
    assert!(summary.starts_with(&expected), "{}", printed(&replayed));
    fresh.end().await;
}

#[tokio::test]
async fn conformance_cases_recorded_in_memory_are_replayed_without_a_difference() {
    conformance_is_replayed(Kind::Memory).await;
}

#[tokio::test]
async fn conformance_cases_recorded_on_postgresql_are_replayed_without_a_difference() {
    conformance_is_replayed(Kind::Postgres).await;
}
