use std::fmt::Write;
use std::time::Duration;

use time::OffsetDateTime;

use super::super::stored_cookie::{StoredCookie, date, http_date};
use super::super::{Attributes, CrossSite};
use crate::practices::cookies::SameSite;

/// The lines of `Set-Cookie` for a session that is kept in them.
#[derive(Clone, Copy)]
pub(super) struct Line<'l> {
    pub(super) name: &'l str,
    pub(super) attributes: &'l Attributes,
    pub(super) is_secure: bool,
    pub(super) now: Duration,
}

impl Line<'_> {
    /// In our own form; without a value, its deletion.
    pub(super) fn own(&self, value: Option<&str>) -> String {
        let cookie = StoredCookie::new(self.attributes, self.is_secure, self.now);
        match value {
            Some(value) => cookie.line(self.name, value, self.now),
            None => cookie.deletion(self.name),
        }
    }

    /// As npm's cookies 0.9.1 prints it, in lower case and its own order. Without a value it is a deletion.
    pub(super) fn express(&self, name: &str, value: &str) -> String {
        let max_age = self.attributes.max_age.and_then(|max_age| date(self.now.saturating_add(max_age)));
        self.dated(name, value, if value.is_empty() { Some(OffsetDateTime::UNIX_EPOCH) } else { max_age })
    }

    /// The signature of a value, which is deleted with it.
    pub(super) fn signature_of(&self, value: &str, signature: &str) -> String {
        let name = format!("{}.sig", self.name);
        match value {
            "" => self.dated(&name, signature, Some(OffsetDateTime::UNIX_EPOCH)),
            _ => self.express(&name, signature),
        }
    }

    /// The signature by the first key of a value that an older one had signed.
    ///
    /// cookie-session sends it bare. With other attributes than the value's it would be a second cookie beside the
    /// one that is to be replaced, so here it has them all.
    pub(super) fn signature(&self, signature: &str) -> String {
        self.express(&format!("{}.sig", self.name), signature)
    }

    /// The deletion of a signature that is nobody's.
    pub(super) fn bad_signature(&self) -> String {
        let bare = Attributes::express();
        let line = Line { attributes: &bare, ..*self };
        line.dated(&format!("{}.sig", self.name), "", Some(OffsetDateTime::UNIX_EPOCH))
    }

    fn dated(&self, name: &str, value: &str, expires: Option<OffsetDateTime>) -> String {
        let Attributes { path, domain, http_only, same_site, partitioned, priority, .. } = self.attributes;
        let mut line = format!("{name}={value}; path={path}");
        if let Some(expires) = expires {
            let _ = write!(line, "; expires={}", http_date(expires));
        }
        if let Some(domain) = domain {
            let _ = write!(line, "; domain={domain}");
        }
        if let Some(priority) = priority {
            let _ = write!(line, "; priority={}", priority.as_str().to_ascii_lowercase());
        }
        let same_site = match same_site {
            CrossSite::Is(same_site) => Some(*same_site),
            CrossSite::Auto if self.is_secure => Some(SameSite::None),
            CrossSite::Auto => Some(SameSite::Lax),
            CrossSite::Unsaid => None,
        };
        if let Some(same_site) = same_site {
            let _ = write!(line, "; samesite={}", same_site.as_str().to_ascii_lowercase());
        }
        for (flag, is_set) in
            [("; secure", self.is_secure), ("; httponly", *http_only), ("; partitioned", *partitioned)]
        {
            line.push_str(if is_set { flag } else { "" });
        }
        line
    }
}
