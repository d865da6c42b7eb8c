use percent_encoding::percent_decode_str;
use url::{Position, Url, form_urlencoded};

use super::OffSite;

/// Whether a value in `query` says where `off` leads: the whole target or its beginning, at least through the
/// host; the host alone; or what is glued to the own name (`.evil.example`).
///
/// Values are read as an app reads them (decoded once, or twice where a link was encoded inside of another)
/// and then as a browser does, so that no spelling hides a host. Each is looked at once: the time is
/// proportional to the length of the query.
pub(super) fn is_named_in(query: &str, off: &OffSite) -> bool {
    names(query, off) // `?https://evil.example/?a=b` as a whole
        || form_urlencoded::parse(query.as_bytes()).any(|(name, value)| {
            let said = if value.is_empty() { name } else { value };
            names(&said, off)
        })
}

fn names(said: &str, off: &OffSite) -> bool {
    if said.is_empty() {
        return false;
    }
    let is_named = |said: &str| {
        let host_alone = || off.here.join(&format!("//{said}")).ok();
        begins(off.here.join(said).ok(), off) || begins(host_alone(), off) || is_glued(said, off)
    };
    if is_named(said) {
        return true;
    }
    let twice = percent_decode_str(said).decode_utf8_lossy();
    *twice != *said && is_named(&twice)
}

/// Whether the target begins with `named`, whatever the scheme; a URL without a host is all scheme and path.
fn begins(named: Option<Url>, off: &OffSite) -> bool {
    let Some(named) = named else { return false };
    if named.host() != off.location.host() {
        return false;
    }
    if named.host().is_none() {
        return off.location.as_str().starts_with(named.as_str());
    }
    // A bare host is printed with a slash, which the target need not have there.
    let from_host = named[Position::BeforeHost..].trim_end_matches('/');
    off.location[Position::BeforeHost..].starts_with(from_host)
}

/// Whether an app that put `said` after its own name has led to another host by that.
fn is_glued(said: &str, off: &OffSite) -> bool {
    let own = &off.here[Position::BeforeHost..Position::BeforePath];
    let joins_the_host = !said.starts_with(['/', '\\', '?', '#']);
    let glued = || Url::parse(&format!("{}://{own}{said}", off.location.scheme())).ok();
    joins_the_host && begins(glued(), off)
}
