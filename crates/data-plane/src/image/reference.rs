//! Image references as they stand in task definitions, and which of them mean our own registry.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::Digest;
use crate::registry::Scope;

/// `[host/]repository[:tag][@digest]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRef {
    /// Registry host with its port, when the reference names one.
    pub host: Option<String>,
    /// Repository name, may contain slashes.
    pub repository: String,
    /// Tag; `latest` is implied where neither a tag nor a digest is given.
    pub tag: Option<String>,
    /// Digest, wins over the tag.
    pub digest: Option<Digest>,
}

/// Where the image of a reference lives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// In the store of this cloud; the scope is known when the host is one of ECR's.
    Store(Option<Scope>),
    /// In some other registry.
    Elsewhere,
}

/// A text that is not an image reference.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is not an image reference: expected [host/]repository[:tag][@sha256:digest]")]
pub struct InvalidReference(pub String);

impl ImageRef {
    /// Where the image lives: `ACCOUNT.dkr.ecr.REGION.amazonaws.com` and every loopback host mean
    /// this cloud, since that is how its registry is reached.
    pub fn location(&self) -> Location {
        let Some(host) = &self.host else { return Location::Elsewhere };
        if let Some(scope) = ecr_scope(host) {
            return Location::Store(Some(scope));
        }
        let name = host.rsplit_once(':').map_or(host.as_str(), |(name, _)| name);
        let bare = name.trim_start_matches('[').trim_end_matches(']');
        let loopback = bare == "localhost"
            || bare.ends_with(".localhost")
            || bare.parse::<IpAddr>().is_ok_and(|address| address.is_loopback());
        if loopback { Location::Store(None) } else { Location::Elsewhere }
    }
}

/// Account and region of an ECR host name.
/// <https://docs.aws.amazon.com/AmazonECR/latest/userguide/Registries.html>
fn ecr_scope(host: &str) -> Option<Scope> {
    let host = host.split_once(':').map_or(host, |(name, _)| name);
    let domain = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
    let (account, region) = domain.split_once(".dkr.ecr.")?;
    let valid =
        account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()) && !region.is_empty();
    valid.then(|| Scope::new(account, region))
}

impl FromStr for ImageRef {
    type Err = InvalidReference;

    fn from_str(text: &str) -> Result<Self, InvalidReference> {
        let invalid = || InvalidReference(text.to_owned());
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(|_| invalid())?)),
            None => (text, None),
        };
        // The part before the first slash is a host only if it looks like one (Docker's rule).
        let (host, path) = match rest.split_once('/') {
            Some((host, path)) if valid_host(host) => (Some(host), path),
            _ => (None, rest),
        };
        let (repository, tag) = match path.rsplit_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (path, None),
        };
        if !valid_repository(repository) || tag.is_some_and(|tag| !valid_tag(tag)) {
            return Err(invalid());
        }
        Ok(Self {
            host: host.map(str::to_owned),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }
}

fn valid_host(host: &str) -> bool {
    let looks_like_one = host.contains(['.', ':']) || host == "localhost";
    looks_like_one && host.starts_with(|first: char| first.is_ascii_alphanumeric() || first == '[')
}

/// Whether `name` is a repository name of the OCI distribution specification: lower-case path
/// components joined by slashes.
pub fn valid_repository(name: &str) -> bool {
    !name.is_empty() && name.len() <= 256 && name.split('/').all(valid_component)
}

fn valid_component(component: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    plain(*first) && plain(*last) && bytes.iter().all(|&byte| plain(byte) || b"._-".contains(&byte))
}

/// Whether `tag` is a tag of the OCI distribution specification.
pub fn valid_tag(tag: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= 128
        && tag.bytes().next().is_some_and(word)
        && tag.bytes().all(|byte| word(byte) || byte == b'.' || byte == b'-')
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(host) = &self.host {
            write!(f, "{host}/")?;
        }
        f.write_str(&self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> ImageRef {
        text.parse().unwrap()
    }

    #[test]
    fn reads_every_shape_and_writes_it_back() {
        let digest = Digest::of(b"x");
        for text in [
            "nginx".to_owned(),
            "library/nginx:1.27".to_owned(),
            "localhost/app".to_owned(),
            "127.0.0.1:4580/team/hello:v1".to_owned(),
            format!("127.0.0.1:4580/hello@{digest}"),
            format!("123456789012.dkr.ecr.eu-west-1.amazonaws.com/hello:v1@{digest}"),
        ] {
            assert_eq!(parsed(&text).to_string(), text);
        }
        assert_eq!(parsed("127.0.0.1:4580/hello").tag, None);
        assert_eq!(parsed("nginx:1").host, None);
    }

    #[test]
    fn knows_its_own_registry() {
        let ecr = parsed("123456789012.dkr.ecr.eu-west-1.amazonaws.com/hello:v1");
        assert_eq!(ecr.location(), Location::Store(Some(Scope::new("123456789012", "eu-west-1"))));
        for own in ["127.0.0.1:4580/a", "localhost:1/a", "[::1]:5/a", "123456789012.localhost:4580/a"] {
            assert_eq!(parsed(own).location(), Location::Store(None), "{own}");
        }
        for other in ["nginx", "public.ecr.aws/nginx/nginx:1", "12.dkr.ecr.eu-west-1.amazonaws.com/a"] {
            assert_eq!(parsed(other).location(), Location::Elsewhere, "{other}");
        }
    }

    #[test]
    fn refuses_what_is_no_reference() {
        for wrong in ["", "UPPER", "a:", "a@sha256:12", "a//b", "../etc", "a:b c", "host.example/"] {
            assert!(wrong.parse::<ImageRef>().is_err(), "{wrong}");
        }
    }
}
