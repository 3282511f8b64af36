//! An upstream with TLS: private CAs, the certificates that people make at first, and ends without a farewell.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::support::{EAGER, gateway_at, get};

const WHOLE: &str = "HTTP/1.1 200 OK\r\nContent-Length: 22\r\n\r\n{\"status\":\"completed\"}";

/// A file of `tests/it/tls`, which `make` there has made.
fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/tls").join(name)
}

/// Shows this certificate, answers every request with these bytes, and closes TCP without the farewell of TLS.
/// Returns the base URL.
async fn tls_upstream(certificate: &str, answer: &'static str) -> String {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let key = PrivateKeyDer::from_pem_file(file(&format!("{certificate}.key"))).unwrap();
    let certificate = CertificateDer::from_pem_file(file(&format!("{certificate}.pem"))).unwrap();
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(answer.as_bytes()).await;
            let _ = stream.flush().await;
        }
    });
    format!("https://localhost:{}", address.port())
}

/// The answer of a gateway with this CA file, and what `/readyz` says then.
async fn ask(base_url: &str, ca_file: Option<&Path>) -> (u16, String) {
    let file = ca_file.map_or("", |file| file.to_str().unwrap());
    let gateway = gateway_at(base_url, &[EAGER, &[("upstream.ca_file", file)]].concat()).await;
    let status = get(gateway.address, "/v1/tasks/a").await.status;
    (status, get(gateway.admin, "/readyz").await.text())
}

#[tokio::test]
async fn a_private_ca_is_named_in_a_file_and_without_it_that_is_the_advice() {
    let ca = file("ca.pem");
    let upstream = tls_upstream("localhost", WHOLE).await;
    assert_eq!(ask(&upstream, Some(&ca)).await, (200, "ready\n".to_owned()));
    let (status, told) = ask(&upstream, None).await;
    assert!(status == 502 && told.contains("name the CA's certificate in upstream.ca_file"), "{told}");

    let upstream = tls_upstream("other.example", WHOLE).await;
    let (status, told) = ask(&upstream, Some(&ca)).await;
    assert!(status == 502 && told.contains("write that name in upstream.base_url"), "{told}");
}

#[tokio::test]
async fn one_certificate_as_ca_and_server_is_answered_with_what_to_issue() {
    let upstream = tls_upstream("ca", WHOLE).await;
    let (status, told) = ask(&upstream, Some(&file("ca.pem"))).await;
    assert!(status == 502 && told.contains("issue a leaf certificate"), "{told}");
}

#[tokio::test]
async fn https_to_a_port_without_tls_is_told() {
    let bad_request = "HTTP/1.1 400 Bad Request\r\n\r\n";
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    // What web servers say to the first bytes of TLS.
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(bad_request.as_bytes()).await;
        }
    });
    let (status, told) = ask(&format!("https://{address}"), None).await;
    assert!(status == 502 && told.contains("write http:// in upstream.base_url"), "{told}");
}

#[tokio::test]
async fn a_whole_object_counts_though_the_connection_ends_without_a_farewell() {
    for (answer, expected) in [
        ("HTTP/1.1 200 OK\r\n\r\n{\"status\":\"completed\"}", 200),
        // Cut: what is there is no object, or shorter than it was said to be.
        ("HTTP/1.1 200 OK\r\n\r\n{\"status\":\"completed\"", 502),
        ("HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\n{\"status\":\"completed\"}", 502),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n16\r\n{\"status\":\"completed\"}\r\n", 502),
    ] {
        let upstream = tls_upstream("localhost", answer).await;
        assert_eq!(ask(&upstream, Some(&file("ca.pem"))).await.0, expected, "{answer}");
    }
}
