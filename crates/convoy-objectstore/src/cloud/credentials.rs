//! Who we are to a cloud: keys that were given, or those that AWS's own tools would find.
//!
//! Environment, profiles of `~/.aws`, web identity, containers and `IMDSv2` are `aws-config`'s work. What it finds is
//! kept until shortly before it expires.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::provider::ProvideCredentials;
use object_store::CredentialProvider;
use object_store::aws::AwsCredential;
use tokio::sync::Mutex;

use super::messenger::Messenger;

/// Credentials are renewed so long before they expire: longer than a request may take.
const MARGIN: Duration = Duration::from_mins(5);

/// There are no credentials. The text has none either.
#[derive(Debug, thiserror::Error)]
#[error("no credentials for S3: {0}")]
pub(super) struct NoCredentials(String);

/// What AWS's own tools would use.
#[derive(Debug)]
pub(super) struct Chain {
    chain: DefaultCredentialsChain,
    kept: Mutex<Option<Kept>>,
}

#[derive(Debug)]
struct Kept {
    credential: Arc<AwsCredential>,
    expiry: Option<SystemTime>,
}

impl Kept {
    fn is_good(&self, now: SystemTime) -> bool {
        self.expiry.is_none_or(|expiry| now + MARGIN < expiry)
    }
}

impl Chain {
    pub(super) async fn new(profile: Option<&str>, client: reqwest::Client) -> Self {
        let config = ProviderConfig::without_region().with_http_client(Messenger::new(client));
        let mut chain = DefaultCredentialsChain::builder().configure(config);
        if let Some(profile) = profile {
            chain = chain.profile_name(profile);
        }
        Self {
            chain: chain.build().await,
            kept: Mutex::default(),
        }
    }
}

#[async_trait]
impl CredentialProvider for Chain {
    type Credential = AwsCredential;

    async fn get_credential(&self) -> object_store::Result<Arc<AwsCredential>> {
        let mut kept = self.kept.lock().await;
        if let Some(kept) = &*kept
            && kept.is_good(SystemTime::now())
        {
            return Ok(Arc::clone(&kept.credential));
        }
        let found = self.chain.provide_credentials().await.map_err(|error| {
            object_store::Error::Generic {
                store: "S3",
                source: Box::new(NoCredentials(convoy_fault::chain(&error))),
            }
        })?;
        let credential = Arc::new(AwsCredential {
            key_id: found.access_key_id().to_owned(),
            secret_key: found.secret_access_key().to_owned(),
            token: found.session_token().map(str::to_owned),
        });
        *kept = Some(Kept {
            credential: Arc::clone(&credential),
            expiry: found.expiry(),
        });
        Ok(credential)
    }
}

#[cfg(test)]
mod tests {
    //! When credentials are fetched again.

    use super::*;

    #[test]
    fn credentials_are_renewed_before_they_expire() {
        let now = SystemTime::now();
        let until = |expiry| Kept {
            credential: Arc::new(AwsCredential {
                key_id: "id".to_owned(),
                secret_key: "secret".to_owned(),
                token: None,
            }),
            expiry,
        };
        assert!(until(None).is_good(now));
        assert!(until(Some(now + MARGIN * 2)).is_good(now));
        assert!(!until(Some(now + MARGIN / 2)).is_good(now));
        assert!(!until(Some(now - MARGIN)).is_good(now));
    }
}
