//! HTTPS: who is trusted is who the configuration names.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivatePkcs8KeyDer;
use testudo::export::config::ExporterKind;

use super::kit::{section, swarm, until};

/// A web server behind TLS with a certificate for `name`, of an authority whose PEM is returned with its address.
fn serve(name: &str, taken: Arc<AtomicUsize>) -> (String, String) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new([name.to_owned()]).unwrap().signed_by(&key, &authority).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.unwrap().with_no_client_auth();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    let config = Arc::new(config.with_single_cert(vec![leaf.der().clone()], key.into()).unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let tls = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = BufReader::new(rustls::StreamOwned::new(tls, stream.unwrap()));
            let (mut line, mut len) = (String::new(), 0);
            // One request a connection; one that fails before it is none.
            while stream.read_line(&mut line).is_ok_and(|n| n > 2) {
                if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
                    len = value.trim().parse().unwrap();
                }
                line.clear();
            }
            let mut body = vec![0; len];
            if len > 0 && stream.read_exact(&mut body).is_ok() {
                taken.fetch_add(1, Ordering::Relaxed);
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                let _ = stream.get_mut().write_all(answer);
                stream.get_mut().conn.send_close_notify();
                let _ = stream.get_mut().flush();
            }
        }
    });
    (format!("https://localhost:{port}/in"), authority.pem())
}

#[tokio::test]
async fn a_receiver_behind_tls_is_who_the_configured_authority_says() {
    // Right name and authority; another authority; another name.
    for (name, trusted, good) in [("localhost", 0, true), ("localhost", 1, false), ("elsewhere", 0, false)] {
        let dir = tempfile::tempdir().unwrap();
        let taken = Arc::new(AtomicUsize::new(0));
        let (url, own) = serve(name, taken.clone());
        let (_, other) = serve("localhost", Arc::default());
        let ca = dir.path().join("ca.pem");
        std::fs::write(&ca, [own, other][trusted].as_bytes()).unwrap();
        let mut to = section(ExporterKind::Webhook, &url);
        to.ca = Some(ca);
        let swarm = swarm(&dir.path().join("s"), to).await;
        if good {
            until(&swarm, |state| state.behind == 0 && state.counts.delivered > 0).await;
        } else {
            let state = until(&swarm, |state| state.trouble.is_some()).await;
            let trouble = state.trouble.unwrap();
            assert!(trouble.contains("certificate"), "{name} {trusted}: {trouble}");
        }
        swarm.shut_down().await.unwrap();
        assert_eq!(taken.load(Ordering::Relaxed) > 0, good);
    }
}
