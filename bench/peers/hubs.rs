//! Owns the commands of nchan and Pushpin, which push what is published to them.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::Failure;
use crate::contender::{Environment, Place, adapted, libraries, prefix};

const MODULE: &str = "usr/lib/nginx/modules/ngx_nchan_module.so";
const PUSHPIN: &str = "usr/lib/pushpin";
/// Pushpin asks the origin at another path for what it is to do with a client; it passes everything else.
const ROUTES: &str =
    "*,path_beg=/v1/tasks/push-,replace_beg=/v1/held/push- 127.0.0.1:8788\n* 127.0.0.1:8788\n";

/// The module of nginx, unpacked or installed.
pub fn nchan_module() -> Option<PathBuf> {
    here(MODULE)
}

/// The arguments of nginx.
pub fn nchan(directory: &Path, address: SocketAddr) -> Result<Vec<String>, Failure> {
    let module = nchan_module().ok_or("nchan is not here")?;
    let changes = [
        ("127.0.0.1:8787", address.to_string()),
        ("/usr/lib/nginx/modules/ngx_nchan_module.so", module.display().to_string()),
    ];
    let file = adapted("nchan.conf", directory, &changes)?;
    Ok(["-p", ".", "-e", "stderr", "-c", &file].map(str::to_owned).to_vec())
}

/// Arguments and environment of Pushpin, which starts its other processes.
pub fn pushpin(
    place: &Place<'_>,
    address: SocketAddr,
    publish: SocketAddr,
) -> Result<(Vec<String>, Environment), Failure> {
    let resources = here(PUSHPIN).ok_or("Pushpin is not here")?;
    let changes = [
        ("http_port=8787", format!("http_port={address}")),
        ("push_in_http_port=5561", format!("push_in_http_port={}", publish.port())),
        ("libdir=/usr/lib/pushpin", format!("libdir={}", resources.display())),
    ];
    let file = adapted("pushpin.conf", place.directory, &changes)?;
    let routes = ROUTES.replace("127.0.0.1:8788", &place.origin.to_string());
    std::fs::write(place.directory.join("routes"), routes)?;
    for name in ["r", "logs"] {
        std::fs::create_dir_all(place.directory.join(name))?;
    }
    let unpacked = prefix().join("usr/bin");
    let mut environment = libraries();
    environment.push(("PATH".to_owned(), format!("{}:/usr/bin:/bin", unpacked.display())));
    Ok((vec![format!("--config={file}"), "--merge-output".to_owned()], environment))
}

/// A file of a Debian package, unpacked or installed.
fn here(path: &str) -> Option<PathBuf> {
    [prefix(), PathBuf::from("/")].into_iter().map(|root| root.join(path)).find(|path| path.exists())
}
