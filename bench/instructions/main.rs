//! Counts the instructions of a cached hit: a figure that does not depend on the load of the machine.
//!
//! `cargo bench -p taskgate-bench --bench instructions` runs the gateway under valgrind's callgrind (Debian: valgrind) twice,
//! once with few hits and once with many, and divides the difference by that of the hits. It fails if the
//! figure exceeds the stored one by more than [`TOLERANCE`]. If it is lower by as much, store the new one.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use taskgate_bench::{Failure, address_after, program};

/// Instructions of a hit, measured last with Rust 1.95.
const STORED: f64 = 21_500.0;
/// The relative change that another compiler or allocator may cause.
const TOLERANCE: f64 = 0.05;
const FEW: usize = 2_000;
const MANY: usize = 12_000;
/// The body of the finished task, of the same size as in the other benchmarks.
const BODY_BYTES: usize = 461;
const LIMIT: Duration = Duration::from_secs(120);

#[expect(
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "the figure is what it is for; CI asks for it"
)]
fn main() -> Result<ExitCode, Failure> {
    if Command::new("valgrind").arg("--version").stdout(Stdio::null()).status().is_err() {
        println!(
            "!! NOT RUN: instructions per cached hit; valgrind is missing (Debian: apt-get install valgrind)"
        );
        return Ok(if std::env::var_os("CI").is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS });
    }
    let origin = origin()?;
    let dir = std::env::temp_dir().join(format!("taskgate-instructions-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let counted = (|| Ok::<_, Failure>((count(origin, FEW, &dir)?, count(origin, MANY, &dir)?)))();
    std::fs::remove_dir_all(&dir)?;
    let (few, many) = counted?;
    let hit = (many - few) / (MANY - FEW) as f64;
    let change = hit / STORED - 1.0;
    println!("| instructions per cached hit | stored | change |");
    println!("|--:|--:|--:|");
    println!("| {hit:.0} | {STORED:.0} | {:+.1} % |", change * 100.0);
    if change > TOLERANCE {
        println!(
            "The hot path has become longer: find out why, or store the new figure in bench/instructions."
        );
        return Ok(ExitCode::FAILURE);
    }
    if change < -TOLERANCE {
        println!("The hot path has become shorter: store the new figure in bench/instructions.");
    }
    Ok(ExitCode::SUCCESS)
}

/// Answers every request with the finished task.
#[expect(clippy::disallowed_methods, reason = "a bench is its own caller: it binds and spawns")]
fn origin() -> Result<SocketAddr, Failure> {
    let mut body = br#"{"id":"a","status":"completed","pad":""#.to_vec();
    body.resize(BODY_BYTES - 2, b'x');
    body.extend_from_slice(br#""}"#);
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let mut stream = BufReader::new(stream);
            let mut line = String::new();
            while stream.read_line(&mut line).is_ok_and(|length| length > 0) {
                if line == "\r\n" {
                    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length";
                    let answer = [format!("{head}: {BODY_BYTES}\r\n\r\n").as_bytes(), &body].concat();
                    if stream.get_mut().write_all(&answer).is_err() {
                        break;
                    }
                }
                line.clear();
            }
        }
    });
    Ok(address)
}

/// The instructions of a gateway from its start to its end, with this number of hits.
fn count(origin: SocketAddr, hits: usize, dir: &Path) -> Result<f64, Failure> {
    let out = dir.join(format!("callgrind.{hits}"));
    let mut gateway = Gateway::start(origin, &out)?;
    let mut client = TcpStream::connect(gateway.address)?;
    client.set_nodelay(true)?;
    client.set_read_timeout(Some(LIMIT))?;
    for _ in 0..=hits {
        ask(&mut client)?;
    }
    drop(client);
    gateway.end()?;
    let text = std::fs::read_to_string(&out)?;
    let total =
        text.lines().find_map(|line| line.strip_prefix("summary: ").or(line.strip_prefix("totals: ")));
    Ok(total.ok_or("callgrind has written no total")?.trim().parse()?)
}

/// Sends one request like that of a browser's `fetch`, and reads its answer.
fn ask(client: &mut TcpStream) -> Result<(), Failure> {
    client.write_all(
        b"GET /v1/tasks/a HTTP/1.1\r\nHost: 127.0.0.1:8787\r\nAccept: */*\r\nUser-Agent: bench\r\n\r\n",
    )?;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        let length = client.read(&mut chunk)?;
        answer.extend_from_slice(&chunk[..length]);
        let head = answer.windows(4).position(|window| window == b"\r\n\r\n");
        match head {
            Some(end) if answer.len() >= end + 4 + BODY_BYTES => break,
            _ if length == 0 => return Err("the gateway has hung up".into()),
            _ => {}
        }
    }
    if answer.starts_with(b"HTTP/1.1 200 OK\r\n") { Ok(()) } else { Err("the gateway refuses".into()) }
}

struct Gateway {
    process: Child,
    address: SocketAddr,
}

impl Gateway {
    #[expect(clippy::disallowed_methods, reason = "a bench is its own caller: it spawns")]
    fn start(origin: SocketAddr, out: &Path) -> Result<Self, Failure> {
        let mut process = Command::new("valgrind")
            .arg("--tool=callgrind")
            .arg(format!("--callgrind-out-file={}", out.display()))
            .arg(program()?)
            .arg("serve")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            // One worker: the number of wake-ups between threads is random.
            .env("TOKIO_WORKER_THREADS", "1")
            .env("LEMONDATA_API_KEY", "sk-bench-0123456789")
            .env("TASKGATE_ACCESS__MODE", "open")
            .env("TASKGATE_SERVER__LISTEN", "127.0.0.1:0")
            .env("TASKGATE_ADMIN__LISTEN", "off")
            .env("TASKGATE_UPSTREAM__BASE_URL", format!("http://{origin}"))
            .current_dir(out.parent().unwrap_or(Path::new(".")))
            .stderr(Stdio::piped())
            .spawn()?;
        let log = process.stderr.take().ok_or("no log")?;
        let (lines, said) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                let _ = lines.send(line);
            }
        });
        loop {
            let line = said.recv_timeout(LIMIT)?;
            if let Some(address) = address_after("listen=", &line) {
                return Ok(Self { process, address });
            }
        }
    }

    /// Ends the gateway by SIGTERM, so that callgrind writes its total.
    fn end(&mut self) -> Result<(), Failure> {
        Command::new("kill").args(["-s", "TERM", &self.process.id().to_string()]).status()?;
        self.process.wait()?;
        Ok(())
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
