//! What sends requests: one TLS, no redirects, and nothing read from the environment but where certificates are.

use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use super::options::S3Options;

/// How long what we sent may stay without acknowledgement.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// Why there can be no connection at all.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unusable {
    #[error("the CA bundle has no certificate that can be read")]
    Bundle,
    #[error("the proxy is not http://host:port")]
    Proxy,
    #[error("cannot set up TLS")]
    Tls(#[from] rustls::Error),
    #[error("cannot set up connections")]
    Client(#[from] reqwest::Error),
}

/// Whom they talk to.
pub(super) struct Clients {
    /// The bucket's service.
    pub(super) service: reqwest::Client,
    /// Those who hand out credentials.
    pub(super) credentials: reqwest::Client,
}

/// Neither follows anybody to another host, where our words would go with it.
pub(super) fn clients(options: &S3Options) -> Result<Clients, Unusable> {
    let tls = tls(options.ca_bundle.as_deref())?;
    let client = || {
        reqwest::Client::builder()
            .user_agent(concat!("convoy/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(options.limits.connect)
            .tcp_user_timeout(UNACKNOWLEDGED)
            .tls_backend_preconfigured(tls.clone())
            .http1_only()
            .no_proxy()
    };
    // Credentials of this machine come over plain HTTP from nearby, the others over TLS from anywhere.
    let (all, tls_only) = match &options.proxy {
        None => (None, None),
        Some(url) => {
            let except = || {
                options
                    .no_proxy
                    .as_deref()
                    .and_then(reqwest::NoProxy::from_string)
            };
            // Its error would tell the address, which may have a password.
            let all = reqwest::Proxy::all(url).map_err(|_| Unusable::Proxy)?;
            let tls_only = reqwest::Proxy::https(url).map_err(|_| Unusable::Proxy)?;
            (
                Some(all.no_proxy(except())),
                Some(tls_only.no_proxy(except())),
            )
        }
    };
    let build = |proxy: Option<reqwest::Proxy>| match proxy {
        Some(proxy) => client().proxy(proxy).build(),
        None => client().build(),
    };
    Ok(Clients {
        service: build(all)?,
        credentials: build(tls_only)?,
    })
}

/// The system's certificates and the given ones.
fn tls(bundle: Option<&[u8]>) -> Result<ClientConfig, Unusable> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "a certificate of the system cannot be read");
    }
    roots.add_parsable_certificates(found.certs);
    if let Some(bundle) = bundle {
        let before = roots.len();
        for certificate in CertificateDer::pem_slice_iter(bundle) {
            let certificate = certificate.map_err(|_| Unusable::Bundle)?;
            roots.add(certificate).map_err(|_| Unusable::Bundle)?;
        }
        if roots.len() == before {
            return Err(Unusable::Bundle);
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
