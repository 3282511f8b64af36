//! Owns a proxy at work, started by the file in `deploy/`, and the client's way to it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::clients::parts::{Part, client_command, program_path};
use crate::support::{Program, run};

/// A proxy that people put in front of things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Nginx,
    /// Without TLS, for a browser that would not trust the test's certificate.
    PlainNginx,
    Caddy,
}

/// The value of the proxies' read timeout, where they have one.
pub const SILENCE: Duration = Duration::from_secs(2);

/// The programs these tests need, all there.
pub struct Tools {
    kind: Kind,
    proxy: PathBuf,
    openssl: PathBuf,
}

/// A proxy at work, and the client's way to it. Dropped, it is gone.
pub struct Proxy {
    pub address: SocketAddr,
    pub certificate: PathBuf,
    _program: Program,
    _dir: tempfile::TempDir,
}

/// A client at work.
pub struct Asking {
    program: Program,
}

impl Tools {
    pub fn find(kind: Kind) -> Option<Self> {
        let proxy = program_path(match kind {
            Kind::Nginx | Kind::PlainNginx => "nginx",
            Kind::Caddy => "caddy",
        })?;
        let openssl = program_path("openssl")?;
        client_command("http2_client.py", Part::Python)?;
        Some(Self { kind, proxy, openssl })
    }

    pub async fn start(&self, gateway: SocketAddr) -> Proxy {
        let mut said = String::new();
        for _ in 0..5 {
            match self.try_to_start(gateway).await {
                Ok(proxy) => return proxy,
                Err(log) => said = log,
            }
        }
        panic!("{:?} does not start:\n{said}", self.kind)
    }

    /// The proxy, or what it said when it ended.
    async fn try_to_start(&self, gateway: SocketAddr) -> Result<Proxy, String> {
        let dir = tempfile::tempdir().unwrap();
        let (certificate, key) = self.certificate(dir.path());
        // Neither can tell which free port it took. Another program may take this one meanwhile: hence the attempts.
        let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let files = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy");
        let (certificate_path, key_path) = (certificate.to_str().unwrap(), key.to_str().unwrap());
        let mut command = Command::new(&self.proxy);
        command.env("HOME", dir.path()).stdin(Stdio::null());
        match self.kind {
            Kind::Nginx | Kind::PlainNginx => {
                let mut site = adapted(
                    &files.join("nginx.conf"),
                    &[
                        ("listen 443 ", &format!("listen {address} ")),
                        ("listen [::]:443 ssl http2;", ""),
                        ("127.0.0.1:8787", &gateway.to_string()),
                        ("/etc/ssl/taskgate/fullchain.pem", certificate_path),
                        ("/etc/ssl/taskgate/privkey.pem", key_path),
                        ("/var/log/nginx/taskgate.log", dir.path().join("access.log").to_str().unwrap()),
                        ("proxy_read_timeout 75s", &format!("proxy_read_timeout {}s", SILENCE.as_secs())),
                    ],
                );
                if self.kind == Kind::PlainNginx {
                    site = site.replace(" ssl http2;", ";");
                }
                std::fs::write(dir.path().join("site.conf"), site).unwrap();
                std::fs::write(dir.path().join("nginx.conf"), NGINX_AROUND).unwrap();
                command.arg("-p").arg(dir.path()).args(["-c", "nginx.conf", "-e", "stderr"]);
            }
            Kind::Caddy => {
                let site =
                    format!("https://localhost:{} {{\n\ttls {certificate_path} {key_path}", address.port());
                let text = adapted(
                    &files.join("Caddyfile"),
                    &[("tasks.example.com {", &site), ("127.0.0.1:8787", &gateway.to_string())],
                );
                // Its own listeners, for its administration and for http, would need ports that may be taken.
                let text = format!("{{\n\tadmin off\n\tauto_https disable_redirects\n}}\n{text}");
                std::fs::write(dir.path().join("Caddyfile"), text).unwrap();
                command.args(["run", "--config"]).arg(dir.path().join("Caddyfile"));
                command.env("XDG_DATA_HOME", dir.path()).env("XDG_CONFIG_HOME", dir.path());
            }
        }
        let program = listening(run(command), address).await?;
        Ok(Proxy { address, certificate, _program: program, _dir: dir })
    }

    /// A certificate for localhost that vouches for itself, and its key.
    fn certificate(&self, dir: &Path) -> (PathBuf, PathBuf) {
        let (certificate, key) = (dir.join("cert.pem"), dir.join("key.pem"));
        let mut command = Command::new(&self.openssl);
        command
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate);
        let (code, _, errors) = run(command).end();
        assert_eq!(code, Some(0), "{errors}");
        (certificate, key)
    }
}

/// The program, once it listens there, or what it said when it ended.
pub(super) async fn listening(mut program: Program, address: SocketAddr) -> Result<Program, String> {
    let limit = Instant::now() + Duration::from_secs(20);
    while tokio::net::TcpStream::connect(address).await.is_err() {
        if Instant::now() > limit || program.has_ended() {
            return Err(program.killed());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // Somebody listens. If that is not the proxy, it is about to end.
    tokio::time::sleep(Duration::from_millis(100)).await;
    if program.has_ended() { Err(program.killed()) } else { Ok(program) }
}

/// The configuration around a site's file, with nothing outside the test's directory.
const NGINX_AROUND: &str = "
daemon off;
master_process off;
pid nginx.pid;
events {}
http {
    client_body_temp_path temp;
    proxy_temp_path temp;
    fastcgi_temp_path temp;
    uwsgi_temp_path temp;
    scgi_temp_path temp;
    include site.conf;
}
";

/// The committed file, with these things replaced; each has to be there.
pub(super) fn adapted(file: &Path, changes: &[(&str, &str)]) -> String {
    let mut text = std::fs::read_to_string(file).unwrap();
    for (from, to) in changes {
        assert!(text.contains(from), "{} has no {from:?}", file.display());
        text = text.replace(from, to);
    }
    text
}

impl Proxy {
    /// Asks for these paths with these headers, all at once on one connection.
    pub fn ask(&self, requests: &[(&str, &Value)]) -> Asking {
        let requests: Vec<Value> = requests
            .iter()
            .map(|(path, headers)| {
                json!({"url": format!("https://localhost:{}{path}", self.address.port()), "headers": headers})
            })
            .collect();
        let mut command = client_command("http2_client.py", Part::Python).expect("found before");
        command.arg(json!({"ca": self.certificate, "requests": requests}).to_string());
        Asking { program: run(command) }
    }

    /// One answer: what is known of its head, and its body.
    pub fn get(&self, path: &str, headers: &Value) -> (Value, String) {
        let mut asking = self.ask(&[(path, headers)]);
        let head = asking.next();
        (head, asking.next()["data"].as_str().unwrap().to_owned())
    }
}

impl Asking {
    #[track_caller]
    pub fn next(&mut self) -> Value {
        let line = self.program.next_line();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("no JSON: {line}"))
    }

    /// It has seen all that it asked for.
    #[track_caller]
    pub fn end(self) {
        assert_eq!(self.program.end().0, Some(0));
    }
}
