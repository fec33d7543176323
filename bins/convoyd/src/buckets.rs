//! How buckets are reached, from the environment: what Amazon's own tools take, and the original's two names.

use crate::error::Error;
use crate::settings::setting;
use convoy_engine::{Addressing, Keys, S3Options};

/// What the environment says. Keys stand in it only under the original's names: Amazon's own are found by Amazon's
/// library, with profiles and roles, at the first request.
///
/// # Errors
/// `Invalid` for a word that is none of its kind, and for certificates that cannot be read.
pub(crate) fn options(variable: impl Fn(&str) -> Option<String>) -> Result<S3Options, Error> {
    let first = |names: &[&str]| {
        let set = names.iter().filter_map(|name| variable(name));
        set.into_iter().find(|value| !value.is_empty())
    };
    Ok(S3Options {
        addressing: addressing(first(&["CONVOY_S3_ADDRESSING"]).as_deref())?,
        ca_bundle: first(&["AWS_CA_BUNDLE"])
            .map(|path| bundle(&path))
            .transpose()?,
        proxy: first(&["HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"]),
        no_proxy: first(&["NO_PROXY", "no_proxy"]),
        keys: originals_keys(first),
        ..S3Options::default()
    })
}

/// `AWS_ACCESS_KEY` and `AWS_SECRET_KEY`, unless Amazon's own names are set.
fn originals_keys(first: impl Fn(&[&str]) -> Option<String>) -> Option<Keys> {
    if first(&["AWS_ACCESS_KEY_ID", "AWS_PROFILE"]).is_some() {
        return None;
    }
    Some(Keys {
        id: first(&["AWS_ACCESS_KEY"])?,
        secret: first(&["AWS_SECRET_KEY", "AWS_SECRET_ACCESS_KEY"])?,
        token: first(&["AWS_SESSION_TOKEN"]),
    })
}

fn addressing(word: Option<&str>) -> Result<Addressing, Error> {
    match word {
        None | Some("auto") => Ok(Addressing::Auto),
        Some("path") => Ok(Addressing::Path),
        Some("virtual") => Ok(Addressing::VirtualHost),
        Some(_) => Err(setting(
            "CONVOY_S3_ADDRESSING is neither auto, path nor virtual",
            "leave it out: in the path at other servers than Amazon's is what most take",
        )),
    }
}

fn bundle(path: &str) -> Result<Vec<u8>, Error> {
    std::fs::read(path).map_err(|error| {
        setting(
            &format!("cannot read AWS_CA_BUNDLE {path}: {error}"),
            "name a file of certificates (PEM), or unset it",
        )
    })
}

#[cfg(test)]
mod tests {
    //! Which variable wins.

    use super::*;

    fn of(variables: &[(&str, &str)]) -> Result<S3Options, Error> {
        let value = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        };
        options(value)
    }

    #[test]
    fn the_originals_keys_are_taken_where_amazons_are_not_set() {
        let ours = [("AWS_ACCESS_KEY", "id"), ("AWS_SECRET_KEY", "canary")];
        let keys = of(&ours).unwrap().keys.unwrap();
        assert_eq!((keys.id.as_str(), keys.secret.as_str()), ("id", "canary"));
        let both = [&ours[..], &[("AWS_ACCESS_KEY_ID", "other")]].concat();
        assert_eq!(of(&both).unwrap().keys, None, "their library finds its own");
        assert_eq!(of(&[]).unwrap(), S3Options::default());
        assert!(!format!("{:?}", of(&ours)).contains("canary"));
    }

    #[test]
    fn what_cannot_be_used_is_said() {
        let set = [("CONVOY_S3_ADDRESSING", "virtual")];
        assert_eq!(of(&set).unwrap().addressing, Addressing::VirtualHost);
        assert!(of(&[("CONVOY_S3_ADDRESSING", "up")]).is_err());
        assert!(of(&[("AWS_CA_BUNDLE", "/nowhere")]).is_err());
        let proxy = [("https_proxy", "http://p:canary@h:1"), ("NO_PROXY", "lan")];
        let options = of(&proxy).unwrap();
        assert!(options.proxy.is_some() && options.no_proxy.is_some());
        assert!(!format!("{options:?}").contains("canary"));
    }
}
