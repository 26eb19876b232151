//! A component that uses the parts of Rust's standard library for which it has to ask a host, as
//! its request's path says. It is built for `wasm32-wasip2`, as such components usually are.

mod bindings {
    wit_bindgen::generate!({
        path: "../../../wit",
        inline: "
            package usher:standard;
            world standard {
                import wasi:http/outgoing-handler@0.2.12;
                export wasi:http/incoming-handler@0.2.12;
            }
        ",
        world: "usher:standard/standard",
        generate_all,
    });
    use super::Standard;
    export!(Standard);
}

#[path = "../../respond.rs"]
mod respond;

use std::collections::HashMap;
use std::fs::{self, File};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use bindings::exports::wasi::http::incoming_handler::Guest;
use bindings::wasi::http::outgoing_handler;
use bindings::wasi::http::types::{
    Fields, IncomingRequest, OutgoingRequest, RequestOptions, ResponseOutparam,
};
use respond::respond;

struct Standard;

impl Guest for Standard {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let path = request.path_with_query().unwrap_or_default();
        drop(request);
        let text = run(&path).unwrap_or_else(|error| format!("{error:?}"));
        respond(out, 200, &text);
    }
}

/// How a call ended.
fn outcome<T>(result: io::Result<T>) -> String {
    match result {
        Ok(_) => "it succeeded".to_owned(),
        Err(error) => format!("{:?}", error.kind()),
    }
}

fn run(path: &str) -> io::Result<String> {
    Ok(match path {
        // How many requests this instance has served.
        "/count" => {
            static COUNT: AtomicU32 = AtomicU32::new(1);
            println!("counting");
            COUNT.fetch_add(1, Relaxed).to_string()
        }
        "/print" => {
            println!("a line on standard output");
            eprint!("a line in ");
            eprintln!("two pieces");
            print!("no end of line");
            io::stdout().flush()?;
            String::new()
        }
        "/flood" => {
            for number in 0..10_000 {
                println!("line {number}");
            }
            String::new()
        }
        "/environment" => {
            let mut input = String::new();
            io::stdin().read_to_string(&mut input)?;
            let (variables, arguments) = (std::env::vars(), std::env::args());
            format!("{} {} {input:?}", variables.count(), arguments.count())
        }
        "/files" => [
            outcome(File::open("/etc/passwd")),
            outcome(File::create("/tmp/file")),
            outcome(fs::read_dir(".")),
            outcome(fs::create_dir("directory")),
        ]
        .join(" "),
        "/sockets" => [
            outcome(TcpStream::connect("127.0.0.1:80")),
            outcome(TcpListener::bind("127.0.0.1:0")),
            outcome(UdpSocket::bind("127.0.0.1:0")),
            outcome(("localhost", 80).to_socket_addrs()),
        ]
        .join(" "),
        "/request" => {
            let request = OutgoingRequest::new(Fields::new());
            match outgoing_handler::handle(request, Some(RequestOptions::new())) {
                Ok(_) => "it was sent".to_owned(),
                Err(error) => format!("{error:?}"),
            }
        }
        "/clocks" => {
            let began = Instant::now();
            std::thread::sleep(Duration::from_millis(1));
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            let map: HashMap<_, _> = (0..3).map(|number| (number, number)).collect();
            let has_passed = began.elapsed() >= Duration::from_millis(1);
            format!("{has_passed} {} {}", since.is_ok(), map.len())
        }
        "/now" => {
            let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
            format!("{:?}", since.expect("a time after 1970"))
        }
        "/random" => RandomState::new().build_hasher().finish().to_string(),
        "/exit" => {
            eprintln!("before the end");
            std::process::exit(3)
        }
        "/panic" => panic!("of its own accord"),
        path => format!("{path} is unknown"),
    })
}
