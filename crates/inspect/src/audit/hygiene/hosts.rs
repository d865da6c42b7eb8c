//! Where files come from.

use std::collections::HashMap;
use std::fmt;

use super::super::graph::{Graph, Source};

/// The host of an address, with its port where that is written.
#[derive(Debug)]
pub(super) struct Host {
    scheme: String,
    name: Option<String>,
}

impl Host {
    pub(super) fn of(address: &str) -> Self {
        if address == CRATES_IO_INDEX {
            return Self { scheme: "https".to_owned(), name: Some(CRATES_IO.to_owned()) };
        }
        let Some((scheme, rest)) = address.split_once("://") else {
            return Self { scheme: String::new(), name: None };
        };
        // Browsers and npm read a backslash as a slash, so that what is before one is the host.
        let authority = rest.split(['/', '\\', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default().to_ascii_lowercase();
        let host = host.strip_suffix(":443").unwrap_or(&host).trim_end_matches('.');
        let name = (!host.is_empty()).then(|| canonical(host).to_owned());
        Self { scheme: scheme.to_ascii_lowercase(), name }
    }

    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Plain HTTP and git's own protocol, but within this machine.
    pub(super) fn is_readable_on_the_way(&self) -> bool {
        let plain = matches!(self.scheme.as_str(), "http" | "git+http" | "git" | "ftp");
        plain && !self.name().is_some_and(is_loopback)
    }
}

/// yarn's name for npm's registry, and those of crates.io.
pub(super) fn canonical(host: &str) -> &str {
    match host {
        "registry.yarnpkg.com" => "registry.npmjs.org",
        "index.crates.io" | "static.crates.io" => CRATES_IO,
        _ => host,
    }
}

/// The name for all of its hosts: its index in git is a repository beside all others.
pub(super) const CRATES_IO: &str = "crates.io";
const CRATES_IO_INDEX: &str = "https://github.com/rust-lang/crates.io-index";

fn is_loopback(host: &str) -> bool {
    let name = if host.starts_with('[') {
        host.split(']').next().unwrap_or(host)
    } else {
        host.split(':').next().unwrap_or(host)
    };
    matches!(name, "localhost" | "127.0.0.1" | "[::1")
}

/// The hosts that packages may come from.
#[derive(Debug)]
pub(super) struct Usual {
    hosts: Vec<String>,
}

impl Usual {
    /// Those that are allowed, or else the one that most packages come from.
    pub(super) fn of(graph: &Graph, allowed: &[String]) -> Self {
        if !allowed.is_empty() {
            return Self { hosts: allowed.to_vec() };
        }
        let mut counts: HashMap<String, usize> = HashMap::new();
        for package in &graph.packages {
            if let Source::Registry(Some(address)) = &package.source
                && let Some(host) = Host::of(address).name
            {
                *counts.entry(host).or_default() += 1;
            }
        }
        // Of two with the same count the first by name, so that the answer is always the same.
        let most = counts
            .into_iter()
            .max_by(|(host, count), (other, others)| count.cmp(others).then_with(|| other.cmp(host)));
        // Without any address the package manager fetches from the registry that it is set to.
        let host = most.map_or_else(|| "registry.npmjs.org".to_owned(), |(host, _)| host);
        Self { hosts: vec![host] }
    }

    pub(super) fn is(&self, host: &str) -> bool {
        self.hosts.iter().any(|usual| usual == host)
    }
}

impl fmt::Display for Usual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let quoted: Vec<_> = self.hosts.iter().map(|host| format!("`{host}`")).collect();
        f.write_str(&quoted.join(" or "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_what_a_client_would_ask() {
        for (address, host, readable) in [
            ("https://registry.npmjs.org/a/-/a-1.0.0.tgz", Some("registry.npmjs.org"), false),
            ("https://registry.yarnpkg.com/a/-/a-1.0.0.tgz", Some("registry.npmjs.org"), false),
            ("https://registry.npmjs.org@evil.example/a/-/a.tgz", Some("evil.example"), false),
            ("https://evil.example\\@registry.npmjs.org/a/-/a.tgz", Some("evil.example"), false),
            ("https://evil.example#@registry.npmjs.org/-/a.tgz", Some("evil.example"), false),
            ("HTTPS://Registry.NPMjs.org:443/a/-/a.tgz", Some("registry.npmjs.org"), false),
            ("https://registry.npmjs.org./a/-/a.tgz", Some("registry.npmjs.org"), false),
            ("http://r.example:8080/a/-/a.tgz", Some("r.example:8080"), true),
            ("http://localhost:4873/a/-/a.tgz", Some("localhost:4873"), false),
            ("http://[::1]:4873/a/-/a.tgz", Some("[::1]:4873"), false),
            ("http://localhost.evil.example/a/-/a.tgz", Some("localhost.evil.example"), true),
            ("git+ssh://git@github.com/o/r.git", Some("github.com"), false),
            ("git://github.com/o/r.git", Some("github.com"), true),
            ("https://github.com/rust-lang/crates.io-index", Some("crates.io"), false),
            ("https://github.com/rust-lang/crates.io-index/evil", Some("github.com"), false),
            ("https://index.crates.io/", Some("crates.io"), false),
            ("file:../a.tgz", None, false),
            ("github:o/r#1", None, false),
        ] {
            let found = Host::of(address);
            assert_eq!((found.name(), found.is_readable_on_the_way()), (host, readable), "{address}");
        }
    }
}
