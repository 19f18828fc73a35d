//! Handshakes between the acceptor and a rustls client, with certificates made on the spot.

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use super::*;
use crate::scratch::Scratch;

/// A folder with `ca.pem`, `server.pem`, `server.key`, `client.pem`, `client.key`.
pub(crate) fn make_certificates() -> Scratch {
    let scratch = Scratch::new();
    let write = |name: &str, text: String| std::fs::write(scratch.path().join(name), text).unwrap();
    let ca_key = KeyPair::generate().unwrap();
    let mut ca = CertificateParams::new(vec![]).unwrap();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    write("ca.pem", ca.self_signed(&ca_key).unwrap().pem());
    let issuer = Issuer::new(ca, ca_key);
    for (file, common_name) in [("server", "localhost"), ("client", "billing")] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".into()]).unwrap();
        params
            .distinguished_name
            .push(DnType::OrganizationName, "Shop");
        params
            .distinguished_name
            .push(DnType::CommonName, common_name);
        write(
            &format!("{file}.pem"),
            params.signed_by(&key, &issuer).unwrap().pem(),
        );
        write(&format!("{file}.key"), key.serialize_pem());
    }
    scratch
}

fn settings(scratch: &Scratch, require: bool) -> Tls {
    let file = |name: &str| Some(scratch.path().join(name));
    Tls {
        certificate: file("server.pem"),
        key: file("server.key"),
        client_ca: file("ca.pem"),
        require_client_certificate: require,
    }
}

fn client(scratch: &Scratch, with_certificate: bool) -> TlsConnector {
    let mut roots = RootCertStore::empty();
    for root in certificates("ca", &scratch.path().join("ca.pem")).unwrap() {
        roots.add(root).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let config = if with_certificate {
        let chain = certificates("client", &scratch.path().join("client.pem")).unwrap();
        let key = PrivateKeyDer::from_pem_file(scratch.path().join("client.key")).unwrap();
        builder.with_client_auth_cert(chain, key).unwrap()
    } else {
        builder.with_no_client_auth()
    };
    TlsConnector::from(Arc::new(config))
}

/// What the server learns of the client, if they come to terms and a byte goes both ways.
async fn shake(tls: &Tls, connector: TlsConnector) -> Option<Option<String>> {
    let (near, far) = tokio::io::duplex(1 << 14);
    let acceptor = acceptor(tls).unwrap().unwrap();
    let server = tokio::spawn(async move {
        let mut stream = acceptor.accept(near).await.ok()?;
        stream.write_all(b"x").await.ok()?;
        stream.flush().await.ok()?;
        let certificates = stream.get_ref().1.peer_certificates();
        Some(certificates.and_then(|chain| common_name(chain.first()?)))
    });
    let name = ServerName::try_from("localhost").unwrap();
    if let Ok(mut stream) = connector.connect(name, far).await {
        drop(stream.read_u8().await);
    }
    server.await.unwrap()
}

#[tokio::test]
async fn a_clients_certificate_names_it() {
    let scratch = make_certificates();
    let optional = settings(&scratch, false);
    assert_eq!(
        shake(&optional, client(&scratch, true)).await,
        Some(Some("billing".into()))
    );
    assert_eq!(shake(&optional, client(&scratch, false)).await, Some(None));
}

#[tokio::test]
async fn a_client_without_a_certificate_is_turned_away_where_one_is_required() {
    let scratch = make_certificates();
    let required = settings(&scratch, true);
    assert_eq!(shake(&required, client(&scratch, false)).await, None);
    assert!(shake(&required, client(&scratch, true)).await.is_some());
}

#[tokio::test]
async fn a_client_certificate_of_another_authority_is_turned_away() {
    let scratch = make_certificates();
    let other = make_certificates();
    let mut required = settings(&scratch, false);
    required.client_ca = Some(other.path().join("ca.pem"));
    assert_eq!(shake(&required, client(&scratch, true)).await, None);
}

#[test]
fn unusable_files_are_named() {
    let scratch = make_certificates();
    let folder = scratch.path().display();
    let error = |change: &dyn Fn(&mut Tls)| {
        let mut tls = settings(&scratch, false);
        change(&mut tls);
        acceptor(&tls).map(|_| ()).unwrap_err()
    };
    assert_eq!(
        error(&|tls| tls.certificate = Some("/nowhere.pem".into())),
        "tls.certificate: /nowhere.pem cannot be read: No such file or directory (os error 2)"
    );
    assert_eq!(
        error(&|tls| tls.certificate = tls.key.clone()),
        format!("tls.certificate: {folder}/server.key holds no certificate in PEM")
    );
    assert_eq!(
        error(&|tls| tls.key = tls.certificate.clone()),
        format!("tls.key: {folder}/server.pem holds no private key in PEM")
    );
    let mismatch = error(&|tls| tls.key = Some(scratch.path().join("client.key")));
    assert!(mismatch.contains("cannot be used"), "{mismatch}");
}
