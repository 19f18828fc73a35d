//! TLS for every listener that wants it: rustls with ring, TLS 1.2 and 1.3, certificates from PEM files.

mod name;

pub(crate) use name::common_name;

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

use crate::config::Tls;

/// An acceptor by the settings; none if there is no certificate.
///
/// # Errors
/// A text that names the setting, the file and what is wrong with it.
pub(crate) fn acceptor(tls: &Tls) -> Result<Option<TlsAcceptor>, String> {
    let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) else {
        return Ok(None);
    };
    let chain = certificates("tls.certificate", certificate)?;
    let private = PrivateKeyDer::from_pem_slice(&bytes("tls.key", key)?)
        .map_err(|_| format!("tls.key: {} holds no private key in PEM", key.display()))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let failed = |error: rustls::Error| {
        format!(
            "tls.certificate {} and tls.key {} cannot be used: {error}",
            certificate.display(),
            key.display()
        )
    };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(failed)?;
    let builder = match &tls.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for root in certificates("tls.client-ca", path)? {
                roots
                    .add(root)
                    .map_err(|error| format!("tls.client-ca: {}: {error}", path.display()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            let verifier = if tls.require_client_certificate {
                verifier
            } else {
                verifier.allow_unauthenticated()
            };
            let verifier = verifier
                .build()
                .map_err(|error| format!("tls.client-ca: {}: {error}", path.display()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let config = builder.with_single_cert(chain, private).map_err(failed)?;
    Ok(Some(TlsAcceptor::from(Arc::new(config))))
}

fn bytes(setting: &str, path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path)
        .map_err(|error| format!("{setting}: {} cannot be read: {error}", path.display()))
}

fn certificates(setting: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = bytes(setting, path)?;
    let found: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("{setting}: {} is no PEM: {error}", path.display()))?;
    if found.is_empty() {
        return Err(format!(
            "{setting}: {} holds no certificate in PEM",
            path.display()
        ));
    }
    Ok(found)
}

#[cfg(test)]
pub(crate) mod tests;
