//! TLS for every target: rustls with ring, and the roots that are trusted.

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};
use std::path::Path;
use std::sync::Arc;
use tokio_rustls::TlsConnector;

/// Where Debian, and whoever follows it, keeps the roots.
const ROOTS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// A connector that trusts whom these roots, as PEM, vouch for; the system's unless told otherwise.
///
/// # Errors
/// In words, when there are none.
pub(crate) fn connector(roots: Option<&Path>) -> Result<TlsConnector, String> {
    let path = roots.unwrap_or(Path::new(ROOTS));
    let failed = |why: String| format!("the roots of {}: {why}", path.display());
    let mut roots = RootCertStore::empty();
    let read = CertificateDer::pem_file_iter(path).map_err(|why| failed(why.to_string()))?;
    for root in read {
        let root = root.map_err(|why| failed(why.to_string()))?;
        roots.add(root).map_err(|why| failed(why.to_string()))?;
    }
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .map_err(|why| failed(why.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}
