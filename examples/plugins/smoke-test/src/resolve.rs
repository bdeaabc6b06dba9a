//! Where a host is, said by hand.

use std::net::{IpAddr, SocketAddr};

use reqwest::Url;

/// `HOST:PORT:ADDRESS`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Resolve {
    host: String,
    port: u16,
    address: IpAddr,
}

impl Resolve {
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.splitn(3, ':');
        let host = parts.next().filter(|host| !host.is_empty())?.to_ascii_lowercase();
        let port = parts.next()?.parse().ok()?;
        // The brackets of an IPv6 address are optional: nothing follows it.
        let address = parts.next()?.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
        Some(Self { host, port, address })
    }

    /// Whether a request to `url` goes to this host.
    pub(crate) fn concerns(&self, url: &Url) -> bool {
        url.host_str() == Some(&self.host) && url.port_or_known_default() == Some(self.port)
    }

    /// The host and where it is.
    pub(crate) fn target(&self) -> (&str, SocketAddr) {
        (&self.host, SocketAddr::new(self.address, self.port))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_written_as_for_curl() {
        for (text, address) in [
            ("hello.test:8080:127.0.0.5", "127.0.0.5:8080"),
            ("Hello.test:443:[::1]", "[::1]:443"),
            ("hello.test:443:::1", "[::1]:443"),
        ] {
            let resolve = Resolve::parse(text).expect(text);
            assert_eq!(resolve.target(), ("hello.test", address.parse().expect("an address")));
        }
        for wrong in ["", "hello.test", "hello.test:127.0.0.1", "hello.test:80:localhost", ":80:127.0.0.1"] {
            assert_eq!(Resolve::parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn it_is_about_one_host_and_one_port() {
        let resolve = Resolve::parse("hello.test:443:127.0.0.5").expect("right");
        let concerns = |url: &str| resolve.concerns(&Url::parse(url).expect("a URL"));
        assert!(concerns("https://hello.test/") && concerns("http://HELLO.test:443/"));
        assert!(!concerns("http://hello.test/") && !concerns("https://www.hello.test/"));
    }
}
