//! TLS on both sides: certificates for clients, encryption without verification towards targets.

use super::table::Certificate;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, DigitallySignedStruct, ServerConfig, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// The configuration of an HTTPS listener.
///
/// # Errors
/// What is wrong with a certificate or key.
pub(super) fn server_config(certificates: &[Certificate]) -> Result<Arc<ServerConfig>, String> {
    let provider = provider();
    let keys = certificates
        .iter()
        .map(|certificate| certified_key(certificate, &provider).map(Arc::new))
        .collect::<Result<Vec<_>, _>>()?;
    if keys.is_empty() {
        return Err("the listener has no certificate".into());
    }
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ByServerName(keys)));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn certified_key(certificate: &Certificate, provider: &CryptoProvider) -> Result<CertifiedKey, String> {
    let chain = CertificateDer::pem_slice_iter(certificate.chain_pem.as_bytes())
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| format!("the certificate chain is not PEM: {error}"))?;
    let key = PrivateKeyDer::from_pem_slice(certificate.key_pem.as_bytes())
        .map_err(|error| format!("the private key is not PEM: {error}"))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| error.to_string())
}

/// Chooses the first certificate that is valid for the name the client asks for, else the default one.
#[derive(Debug)]
struct ByServerName(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for ByServerName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let named = hello.server_name().and_then(|name| {
            let name = ServerName::try_from(name).ok()?;
            self.0.iter().find(|key| is_valid_for(key, &name))
        });
        named.or_else(|| self.0.first()).cloned()
    }
}

fn is_valid_for(key: &CertifiedKey, name: &ServerName<'_>) -> bool {
    let Ok(leaf) = key.end_entity_cert() else { return false };
    ParsedCertificate::try_from(leaf)
        .is_ok_and(|leaf| rustls::client::verify_server_name(&leaf, name).is_ok())
}

/// Opens TLS to a target.
///
/// # Errors
/// Those of the handshake.
pub(super) async fn connect(address: SocketAddr, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
    static CONFIG: LazyLock<Result<Arc<ClientConfig>, String>> = LazyLock::new(client_config);
    let config = CONFIG.as_ref().map_err(|error| io::Error::other(error.as_str()))?;
    TlsConnector::from(config.clone()).connect(ServerName::IpAddress(address.ip().into()), stream).await
}

fn client_config() -> Result<Arc<ClientConfig>, String> {
    let provider = provider();
    let verifier = Arc::new(AnyCertificate(provider.clone()));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.enable_sni = false;
    Ok(Arc::new(config))
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::ring::default_provider())
}

/// Accepts any certificate, as ELB does with its targets
/// (<https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-target-groups.html>,
/// "Routing configuration": certificates of targets are not validated).
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
