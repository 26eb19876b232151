//! `/metrics`: its format, what it counts, and how many series a client can make.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use usher_tests::http::Request;
use usher_tests::janitor::Scratch;
use usher_tests::postgres;
use usher_tests::process::{Running, Usher};

use crate::startup::{send_request, usher};

const HOSTILE: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/hostile.wasm"));

fn program(scratch: &Scratch, database: &str) -> Usher {
    usher(scratch)
        .args(["--admin-listen", "127.0.0.1:0", "--database", database])
        .args(["--workers", "1"])
}

fn hostile(scratch: &Scratch, database: &str) -> Usher {
    std::fs::write(scratch.path().join("hostile.wasm"), HOSTILE).expect("a file");
    program(scratch, database).args(["--component", "hostile.wasm", "--no-migrate"])
}

fn addresses(running: &mut Running) -> (String, String) {
    let operators = running.operators();
    (operators, running.address())
}

/// A page of metrics: values by name and labels.
#[derive(Debug)]
struct Page {
    text: String,
    values: BTreeMap<String, f64>,
}

impl Page {
    async fn read(operators: &str) -> Self {
        let response = send_request(operators, Request::get("/metrics")).await;
        assert_eq!(response.status, 200);
        let text = response.text();
        let values = text
            .lines()
            .filter(|line| !line.starts_with('#'))
            .map(|line| {
                let (name, value) = line.rsplit_once(' ').expect("a name and a value");
                (name.to_owned(), value.parse().expect("a number"))
            });
        let values = values.collect();
        Self { text, values }
    }

    #[track_caller]
    fn value(&self, name: &str) -> f64 {
        match self.values.get(name) {
            Some(value) => *value,
            None => panic!("{name} is not in\n{}", self.text),
        }
    }
}

#[tokio::test]
async fn every_metric_has_help_and_type_and_histograms_are_cumulative() {
    let scratch = Scratch::new();
    let mut running = program(&scratch, "memory:").spawn();
    let (operators, address) = addresses(&mut running);
    for path in ["/users/1", "/users/", "/nothing"] {
        send_request(&address, Request::get(path)).await;
    }
    let page = Page::read(&operators).await;
    let (mut helped, mut typed, mut names) = (BTreeSet::new(), BTreeMap::new(), BTreeSet::new());
    let mut last_bucket: Option<(String, f64)> = None;
    for line in page.text.lines() {
        let mut words = line.split(' ');
        match (words.next(), words.next(), words.next()) {
            (Some("#"), Some("HELP"), Some(name)) => {
                assert!(helped.insert(name), "{name} is described twice");
                assert!(line.ends_with('.'), "{line}");
            }
            (Some("#"), Some("TYPE"), Some(name)) => {
                assert!(helped.contains(name), "{line}");
                let kind = words.next().expect("a type");
                assert!(typed.insert(name, kind).is_none(), "{name} has two types");
            }
            _ => {
                let (series, value) = line.rsplit_once(' ').expect("a value");
                let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
                let name = series.split('{').next().expect("a name");
                let family = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|suffix| {
                        let family = name.strip_suffix(suffix)?;
                        (typed.get(family) == Some(&"histogram")).then_some(family)
                    })
                    .unwrap_or(name);
                let kind = typed
                    .get(family)
                    .unwrap_or_else(|| panic!("{line} has no type"));
                assert_eq!(*kind == "counter", name.ends_with("_total"), "{line}");
                assert!(names.insert(series), "{series} is there twice");
                if let Some((labels, bound)) = series.split_once("le=\"") {
                    let is_same = last_bucket.as_ref().is_some_and(|(last, _)| last == labels);
                    if is_same {
                        let below = last_bucket.as_ref().map(|(_, below)| *below);
                        assert!(Some(value) >= below, "{line}");
                    }
                    last_bucket = Some((labels.to_owned(), value));
                    if bound.starts_with("+Inf") {
                        let labels = labels.trim_end_matches([',', '{']);
                        let count = labels.replace("_bucket", "_count");
                        let count = if count.contains('{') {
                            format!("{count}}}")
                        } else {
                            count
                        };
                        assert_eq!(page.value(&count).to_bits(), value.to_bits(), "{line}");
                    }
                }
            }
        }
    }
    for name in [
        "usher_requests_total",
        "usher_request_duration_seconds",
        "usher_requests_in_flight",
        "usher_requests_waiting",
        "usher_responses_total",
        "usher_connections_open",
        "usher_database_pool_wait_seconds",
        "usher_database_connections",
        "usher_database_connections_max",
        "usher_database_connections_shared",
        "usher_build_info",
        "process_cpu_seconds_total",
        "process_resident_memory_bytes",
        "process_open_fds",
        "process_max_fds",
        "process_start_time_seconds",
    ] {
        assert!(typed.contains_key(name), "{name} is not in\n{}", page.text);
    }
    let version = env!("CARGO_PKG_VERSION");
    let build = page.value(&format!("usher_build_info{{version=\"{version}\"}}"));
    assert_eq!(build.to_bits(), 1_f64.to_bits());
}

#[tokio::test]
async fn requests_are_counted_by_route_method_and_status() {
    let scratch = Scratch::new();
    let mut running = program(&scratch, "memory:").spawn();
    let (operators, address) = addresses(&mut running);
    for path in [
        "/users/1",
        "/users/2",
        "/users/",
        "/nothing",
        "/users/1/more",
    ] {
        send_request(&address, Request::get(path)).await;
    }
    send_request(&address, Request::new("DELETE", "/users/1")).await;
    send_request(&address, Request::new("BREW", "/users/1")).await;
    let page = Page::read(&operators).await;
    for (method, route, status, count) in [
        ("GET", "/users/{user_id}", 404, 2.0),
        ("GET", "/users/", 200, 1.0),
        ("GET", "(none)", 404, 2.0),
        ("DELETE", "/users/{user_id}", 404, 1.0),
        ("other", "/users/{user_id}", 405, 1.0),
    ] {
        let labels = format!("method=\"{method}\",route=\"{route}\"");
        let requests = format!("usher_requests_total{{{labels},status=\"{status}\"}}");
        assert_eq!(
            page.value(&requests).to_bits(),
            f64::to_bits(count),
            "{labels}"
        );
        let timed = format!("usher_request_duration_seconds_count{{{labels}}}");
        assert_eq!(
            page.value(&timed).to_bits(),
            f64::to_bits(count),
            "{labels}"
        );
    }
    let classes = ["2xx", "4xx"].map(|class| {
        let name = format!("usher_responses_total{{class=\"{class}\"}}");
        page.value(&name)
    });
    assert_eq!(classes.map(f64::to_bits), [1.0, 6.0].map(f64::to_bits));
}

/// Sends requests without waiting for each response, on one connection.
async fn pipeline(address: &str, requests: &str, count: usize) {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let (mut read, mut write) = stream.into_split();
    let bytes = requests.to_owned().into_bytes();
    let sent = tokio::spawn(async move { write.write_all(&bytes).await.map(|()| write) });
    let (mut found, mut text) = (0, Vec::new());
    let mut chunk = vec![0; 1 << 16];
    while found < count {
        let length = read.read(&mut chunk).await.expect("an answer");
        assert!(length > 0, "the connection ended after {found} responses");
        text.extend_from_slice(&chunk[..length]);
        let (mut at, pattern) = (0, b"HTTP/1.1 ");
        while let Some(next) = text.get(at..).and_then(|rest| {
            rest.windows(pattern.len())
                .position(|found| found == pattern)
        }) {
            found += 1;
            at += next + pattern.len();
        }
        text = text.split_off(at.max(text.len().saturating_sub(pattern.len() - 1)));
    }
    drop(sent.await);
}

#[tokio::test]
async fn random_paths_and_methods_make_few_series() {
    const REQUESTS: usize = 10_000;
    let scratch = Scratch::new();
    let mut running = program(&scratch, "memory:").spawn();
    let (operators, address) = addresses(&mut running);
    let methods = ["GET", "POST", "PUT", "PATCH", "OPTIONS", "BREW", "X-"];
    let mut number = 1_u64;
    let mut requests = String::new();
    for count in 0..REQUESTS {
        number = number
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let method = methods[count % methods.len()];
        let suffix = if method == "X-" {
            number.to_string()
        } else {
            String::new()
        };
        let path = match count % 3 {
            0 => format!("/{number:x}"),
            1 => format!("/users/{number}"),
            _ => format!("/users/{number}/{number:x}"),
        };
        requests.push_str(&format!(
            "{method}{suffix} {path} HTTP/1.1\r\nhost: a\r\n\r\n"
        ));
    }
    pipeline(&address, &requests, REQUESTS).await;
    let page = Page::read(&operators).await;
    let counted: f64 = page
        .values
        .iter()
        .filter(|(name, _)| name.starts_with("usher_requests_total{"))
        .map(|(_, value)| *value)
        .sum();
    assert_eq!(counted.to_bits(), 10_000_f64.to_bits());
    // Seven methods, of which two have one name, and two routes; with 18 lines for a histogram.
    let series = page.values.keys().filter(|name| name.contains("route="));
    let series = series.count();
    assert!(series <= 6 * 2 * (18 + 4), "{series} series\n{}", page.text);
    for label in ["method=", "route="] {
        let labels: BTreeSet<&str> = page
            .values
            .keys()
            .filter_map(|name| name.split_once(label)?.1.split('"').nth(1))
            .collect();
        assert!(labels.len() <= 6, "{labels:?}");
    }
}

#[tokio::test]
async fn requests_in_flight_and_waiting_are_shown() {
    let scratch = Scratch::new();
    let mut running = hostile(&scratch, "memory:")
        .args([
            "--max-requests",
            "1",
            "--cpu-time",
            "20s",
            "--request-timeout",
            "20s",
        ])
        .spawn();
    let (operators, address) = addresses(&mut running);
    let requests: Vec<_> = (0..3)
        .map(|_| {
            let address = address.clone();
            tokio::spawn(async move { send_request(&address, Request::get("/spin")).await })
        })
        .collect();
    let mut seen = [0.0, 0.0];
    for _ in 0..600 {
        let page = Page::read(&operators).await;
        seen = ["usher_requests_in_flight", "usher_requests_waiting"].map(|name| page.value(name));
        if seen.map(f64::to_bits) == [1.0, 2.0].map(f64::to_bits) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(seen.map(f64::to_bits), [1.0, 2.0].map(f64::to_bits));
    for request in requests {
        request.abort();
    }
}

#[tokio::test]
async fn database_connections_and_waits_for_them_are_shown() {
    let (scratch, database) = (Scratch::new(), postgres::database().await);
    let mut running = hostile(&scratch, database.url())
        .args(["--pool-size", "2", "--pool-wait", "300ms"])
        .spawn();
    let (operators, address) = addresses(&mut running);
    let table = send_request(&address, Request::get("/table")).await;
    assert_eq!(table.status, 200, "{}", table.text());
    let holder = tokio::spawn({
        let address = address.clone();
        async move { send_request(&address, Request::get("/begun-loop")).await }
    });
    // The only dedicated connection is in use, so another transaction waits for it.
    let mut waited = 0.0;
    for _ in 0..100 {
        send_request(&address, Request::get("/commit")).await;
        let page = Page::read(&operators).await;
        let count = page.value("usher_database_pool_wait_seconds_count");
        waited = count - page.value("usher_database_pool_wait_seconds_bucket{le=\"0.1\"}");
        if waited > 0.0 {
            break;
        }
    }
    assert!(waited > 0.0, "no transaction has waited");
    let page = Page::read(&operators).await;
    let at_least = |name: &str, least: f64| {
        assert!(page.value(name) >= least, "{name}\n{}", page.text);
    };
    at_least("usher_database_connections{state=\"in_use\"}", 1.0);
    at_least("usher_database_connections_shared", 1.0);
    at_least("usher_database_connections_max", 2.0);
    at_least("usher_connections_open", 1.0);
    holder.abort();
}
