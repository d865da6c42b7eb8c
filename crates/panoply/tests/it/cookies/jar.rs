//! A browser's cookie jar, after RFC 6265bis §5.6–5.8: as much of it as one host and its parent need.

use panoply::Scheme;
use panoply::practices::cookies::SetCookie;

/// What a browser keeps for `www.us.example`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Jar(Vec<Kept>);

#[derive(Clone, Debug)]
struct Kept {
    name: Vec<u8>,
    value: Vec<u8>,
    /// Empty: for this host alone.
    domain: Vec<u8>,
    path: Vec<u8>,
    is_secure: bool,
}

impl Jar {
    /// Takes a line of an answer to a request for `path`.
    pub(crate) fn take(&mut self, scheme: Scheme, path: &str, line: &[u8]) {
        let Some(cookie) = SetCookie::parse(line) else { return };
        let domain = cookie.attribute("Domain").unwrap_or_default().to_ascii_lowercase();
        if !domain.is_empty() && !HOST.as_bytes().ends_with(&domain) {
            return;
        }
        let said = cookie.attribute("Path").filter(|path| path.starts_with(b"/"));
        let kept = Kept {
            name: cookie.name().to_vec(),
            value: cookie.value().to_vec(),
            path: said.map_or_else(|| default_path(path), <[u8]>::to_vec),
            is_secure: cookie.is_secure(),
            domain,
        };
        let is_https = scheme == Scheme::Https;
        let prefixed = |prefix: &[u8]| {
            kept.name.len() >= prefix.len() && kept.name[..prefix.len()].eq_ignore_ascii_case(prefix)
        };
        let is_refused = (kept.is_secure && !is_https)
            || (prefixed(b"__Secure-") && !kept.is_secure)
            || (prefixed(b"__Host-") && !(kept.is_secure && said == Some(b"/") && kept.domain.is_empty()))
            || (!is_https && self.0.iter().any(|old| old.is_secure && old.name == kept.name));
        if is_refused {
            return;
        }
        let is_it =
            |old: &Kept| (&old.name, &old.domain, &old.path) == (&kept.name, &kept.domain, &kept.path);
        let is_over = cookie.attribute("Max-Age") == Some(b"0");
        match self.0.iter_mut().find(|old| is_it(old)) {
            Some(_) if is_over => self.0.retain(|old| !is_it(old)),
            Some(old) => *old = kept, // in its old place
            None if is_over => {}
            None => self.0.push(kept),
        }
    }

    /// The `Cookie` header for a request: longer paths first, then what is older.
    pub(crate) fn header(&self, scheme: Scheme, path: &str) -> Option<Vec<u8>> {
        let mut sent: Vec<_> = self.0.iter().filter(|kept| kept.is_for(scheme, path.as_bytes())).collect();
        sent.sort_by_key(|kept| std::cmp::Reverse(kept.path.len()));
        let pairs: Vec<_> = sent.iter().map(|kept| [&kept.name[..], b"=", &kept.value].concat()).collect();
        (!pairs.is_empty()).then(|| pairs.join(&b"; "[..]))
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.0.iter().map(|kept| &kept.name[..])
    }
}

impl Kept {
    fn is_for(&self, scheme: Scheme, path: &[u8]) -> bool {
        let is_below = path
            .strip_prefix(&self.path[..])
            .is_some_and(|rest| rest.is_empty() || self.path.ends_with(b"/") || rest.starts_with(b"/"));
        is_below && (!self.is_secure || scheme == Scheme::Https)
    }
}

fn default_path(path: &str) -> Vec<u8> {
    match path.rfind('/') {
        None | Some(0) => b"/".to_vec(),
        Some(end) => path.as_bytes()[..end].to_vec(),
    }
}

pub(crate) const HOST: &str = "www.us.example";
