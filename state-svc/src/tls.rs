//! TLS of the service's own port, with client certificates where their authority is named.

use std::{path::Path, sync::Arc};

use rustls::{
    RootCertStore, ServerConfig,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
    server::WebPkiClientVerifier,
};

use crate::config::TlsFiles;

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file that is no PEM, or cannot be read.
    #[error("{file}: {message}")]
    File {
        /// Which one.
        file: String,
        /// Why.
        message: String,
    },
    /// Certificate and key do not do.
    #[error("the certificate and its key: {0}")]
    Identity(#[from] rustls::Error),
    /// The authority does not do.
    #[error("the clients' authority: {0}")]
    Authority(String),
}

fn file(path: &Path, error: &impl ToString) -> TlsError {
    TlsError::File { file: path.display().to_string(), message: error.to_string() }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let all = CertificateDer::pem_file_iter(path).map_err(|e| file(path, &e))?;
    let all = all.collect::<Result<Vec<_>, _>>().map_err(|e| file(path, &e))?;
    if all.is_empty() { Err(file(path, &"holds no certificate")) } else { Ok(all) }
}

/// Reads the files.
///
/// # Errors
/// [`TlsError`].
pub fn server(files: &TlsFiles) -> Result<Arc<ServerConfig>, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
    let builder = match &files.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates(path)? {
                roots.add(certificate)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|e| TlsError::Authority(e.to_string()))?)
        }
    };
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| file(&files.key, &e))?;
    let mut config = builder.with_single_cert(certificates(&files.cert)?, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
