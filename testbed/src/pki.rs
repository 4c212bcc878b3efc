//! Certificates for TLS tests: an authority made on the spot, and server certificates signed by it.

use std::{io, path::Path, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};

/// What went wrong with a certificate.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// The certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// rustls refuses it.
    #[error("rustls refuses the certificate: {0}")]
    Tls(#[from] rustls::Error),
    /// The PEM could not be written.
    #[error("cannot write {path}: {source}")]
    Write {
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
}

/// A certificate authority that lives as long as the test.
pub struct Authority(CertifiedIssuer<'static, KeyPair>);

impl std::fmt::Debug for Authority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Authority")
    }
}

impl Authority {
    /// A fresh authority.
    ///
    /// # Errors
    /// [`PkiError::Make`].
    pub fn new() -> Result<Self, PkiError> {
        let mut params = CertificateParams::new(Vec::new())?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // With rcgen's default name for both, a server's certificate would look self-signed.
        params.distinguished_name.push(DnType::CommonName, "Fingerpost test authority");
        Ok(Self(CertifiedIssuer::self_signed(params, KeyPair::generate()?)?))
    }

    /// Writes the authority's certificate as PEM.
    ///
    /// # Errors
    /// [`PkiError::Write`].
    pub fn write(&self, path: &Path) -> Result<(), PkiError> {
        let written = std::fs::write(path, self.0.pem());
        written.map_err(|source| PkiError::Write { path: path.display().to_string(), source })
    }

    /// A TLS server that proves to be `name`.
    ///
    /// # Errors
    /// [`PkiError::Make`], [`PkiError::Tls`].
    pub fn server(&self, name: &str) -> Result<Arc<ServerConfig>, PkiError> {
        let key = KeyPair::generate()?;
        let certificate = CertificateParams::new(vec![name.to_owned()])?.signed_by(&key, &self.0)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)?;
        Ok(Arc::new(config))
    }
}
