//! Opening a bucket of S3, or of a server that speaks like it.

use std::sync::Arc;

use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::imds::region::ImdsRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::region::ProfileFileRegionProvider;
use aws_config::provider_config::ProviderConfig;
use object_store::RetryConfig;
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut};

use super::CloudStore;
use super::connection;
use super::credentials::Chain;
use super::exchange::Exchange;
use super::messenger::Messenger;
use super::options::{Addressing, Encryption, S3Options};
use crate::{Error, ErrorKind, Location, Verb};

/// The region where none is told and an endpoint is: servers other than Amazon's take any.
const ANY_REGION: &str = "us-east-1";

impl CloudStore {
    /// Opens a bucket. Asks nobody but, perhaps, where the bucket is.
    ///
    /// # Errors
    /// `Invalid` for options that contradict each other or cannot be read.
    pub fn s3(
        bucket: &str,
        region: Option<&str>,
        prefix: &str,
        options: &S3Options,
    ) -> Result<Self, Error> {
        let location = Location::S3 {
            bucket: bucket.to_owned(),
            region: region.map(str::to_owned),
            prefix: prefix.to_owned(),
        }
        .normalised();
        let shown = location.to_string();
        let invalid =
            |why: String| Error::new(ErrorKind::Invalid, Verb::Open, "", &shown).because(why);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("convoy-s3")
            .enable_all()
            .build()
            .map_err(|error| {
                Error::new(ErrorKind::Transient, Verb::Open, "", &shown).because(error)
            })?;
        let clients =
            connection::clients(options).map_err(|error| invalid(convoy_fault::chain(&error)))?;
        let region = match region {
            Some(region) => region.to_owned(),
            None => runtime.block_on(find_region(options, clients.credentials.clone())),
        };
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(region)
            .with_http_connector(Exchange(clients.service))
            .with_conditional_put(S3ConditionalPut::ETagMatch)
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig {
                max_retries: 0,
                ..RetryConfig::default()
            });
        builder = address(builder, bucket, options).map_err(invalid)?;
        builder = match &options.encryption {
            None => builder,
            Some(Encryption::Service) => {
                let key: AmazonS3ConfigKey = "aws_server_side_encryption"
                    .parse()
                    .map_err(|error: object_store::Error| invalid(error.to_string()))?;
                builder.with_config(key, "AES256")
            }
            Some(Encryption::Kms(key)) => builder.with_sse_kms_encryption(key),
        };
        builder = if let Some(keys) = &options.keys {
            let builder = builder
                .with_access_key_id(&keys.id)
                .with_secret_access_key(&keys.secret);
            match &keys.token {
                Some(token) => builder.with_token(token),
                None => builder,
            }
        } else {
            let chain = Chain::new(options.profile.as_deref(), clients.credentials);
            builder.with_credentials(Arc::new(runtime.block_on(chain)))
        };
        let service = builder
            .build()
            .map_err(|error| invalid(convoy_fault::chain(&error)))?;
        let Location::S3 { prefix, .. } = &location else {
            unreachable!("normalised, it is still S3")
        };
        Ok(Self::new(
            Box::new(service),
            runtime,
            shown,
            prefix,
            options,
        ))
    }
}

/// An endpoint in its one spelling: `http` or `https`, a host, perhaps a port, and nothing else.
///
/// # Errors
/// `Invalid`. The text is not shown: it may have a password before its host.
pub fn endpoint(text: &str) -> Result<String, Error> {
    let invalid = |why: &str| Error::with_text(ErrorKind::Invalid, why.to_owned());
    checked(text).map_err(invalid)
}

fn checked(text: &str) -> Result<String, &'static str> {
    let text = text.trim_end_matches('/');
    let good = |host: &str| {
        let word = |b: u8| b.is_ascii_alphanumeric() || b"-._:[]".contains(&b);
        !host.is_empty() && host.bytes().all(word)
    };
    match text.split_once("://") {
        Some(("http" | "https", host)) if good(host) => Ok(text.to_owned()),
        _ => Err("the endpoint is not https://host[:port], nor http://host[:port]"),
    }
}

/// Where requests for the bucket go.
fn address(
    builder: AmazonS3Builder,
    bucket: &str,
    options: &S3Options,
) -> Result<AmazonS3Builder, String> {
    let Some(endpoint) = &options.endpoint else {
        // A dot in the bucket's name is one too many for the certificate of Amazon's host.
        let virtual_host = options.addressing != Addressing::Path && !bucket.contains('.');
        return Ok(builder.with_virtual_hosted_style_request(virtual_host));
    };
    let endpoint = checked(endpoint)?;
    let (scheme, host) = endpoint.split_once("://").expect("a checked one has both");
    let virtual_host = options.addressing == Addressing::VirtualHost;
    let address = if virtual_host {
        format!("{scheme}://{bucket}.{host}")
    } else {
        endpoint.clone()
    };
    Ok(builder
        .with_endpoint(address)
        .with_virtual_hosted_style_request(virtual_host)
        .with_allow_http(scheme == "http"))
}

/// The region of the environment or the profile, and at Amazon's also of this machine, where the destination
/// names none.
async fn find_region(options: &S3Options, client: reqwest::Client) -> String {
    let config = ProviderConfig::without_region().with_http_client(Messenger::new(client));
    let mut profile = ProfileFileRegionProvider::builder().configure(&config);
    if let Some(name) = &options.profile {
        profile = profile.profile_name(name);
    }
    let found = RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(profile.build());
    let found = match options.endpoint {
        Some(_) => found,
        None => found.or_else(ImdsRegionProvider::builder().configure(&config).build()),
    };
    found
        .region()
        .await
        .map_or_else(|| ANY_REGION.to_owned(), |region| region.to_string())
}

#[cfg(test)]
mod tests {
    //! What is an endpoint.

    use super::*;

    #[test]
    fn endpoints_have_one_spelling_and_are_not_shown_where_they_are_none() {
        for (typed, meant) in [
            ("https://s3.example.org/", "https://s3.example.org"),
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000"),
            ("http://[::1]:9000", "http://[::1]:9000"),
        ] {
            assert_eq!(endpoint(typed).unwrap(), meant);
        }
        for typed in [
            "s3.example.org",
            "https://",
            "ftp://a-secret",
            "https://id:a-secret@host",
            "https://host/a-secret",
            "https://host?a-secret",
        ] {
            let error = endpoint(typed).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Invalid);
            assert!(!format!("{error:?}").contains("a-secret"), "{error:?}");
        }
    }
}
