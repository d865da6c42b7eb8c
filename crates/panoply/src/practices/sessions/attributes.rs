use std::time::Duration;

use crate::SettingError;
use crate::practices::cookies::SameSite;

/// The attributes of a session's cookie, as Express's `cookie: { … }` has them.
///
/// ```
/// use std::time::Duration;
/// use panoply::practices::sessions::Attributes;
///
/// let shared = Attributes::default().domain("shop.example")?.max_age(Duration::from_secs(3600));
/// assert!(Attributes::default().domain("shop.example; Path=/").is_err());
/// # Ok::<(), panoply::SettingError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attributes {
    pub(super) path: String,
    pub(super) domain: Option<String>,
    pub(super) secure: Secure,
    pub(super) http_only: bool,
    pub(super) same_site: CrossSite,
    pub(super) partitioned: bool,
    pub(super) priority: Option<Priority>,
    pub(super) max_age: Option<Duration>,
}

/// Whether a session's cookie is `Secure`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Secure {
    /// Where the visitor came over https. Express's `'auto'`.
    OnHttps,
    /// Always: a visitor who came in the clear gets no session. Express's `true`.
    Always,
    /// Never said by the session; the practice `cookies` still adds it on https. Express's default.
    Unsaid,
}

/// What a session's cookie says of requests that other sites start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CrossSite {
    /// This.
    Is(SameSite),
    /// `None` where the cookie is `Secure`, else `Lax`. Express's `'auto'`.
    Auto,
    /// Nothing; the practice `cookies` still adds `Lax`. Express's default.
    Unsaid,
}

/// What browsers throw away first when a site has too many cookies (Chromium alone).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Before others.
    Low,
    /// As others.
    Medium,
    /// After others.
    High,
}

impl Attributes {
    /// What express-session has where nothing is said: `Path=/; HttpOnly`.
    #[must_use]
    pub fn express() -> Self {
        Self { secure: Secure::Unsaid, same_site: CrossSite::Unsaid, ..Self::default() }
    }

    /// The path that the cookie is sent to, and below. On other paths there is no session.
    ///
    /// # Errors
    /// When `path` does not begin with `/`, or has a character that ends the attribute.
    pub fn path(mut self, path: &str) -> Result<Self, SettingError> {
        let is_plain = path.bytes().all(|byte| matches!(byte, b' '..=b':' | b'<'..=b'~'));
        if !path.starts_with('/') || !is_plain {
            return Err(SettingError::new(
                format!("`{}` is no path for a cookie", path.escape_debug()),
                "begin with `/`, and write neither `;` nor control characters",
            ));
        }
        path.clone_into(&mut self.path);
        Ok(self)
    }

    /// A name above this one whose other names get the cookie too. Without it the cookie is this name's alone,
    /// which is safer.
    ///
    /// # Errors
    /// When `domain` is no host name.
    pub fn domain(mut self, domain: &str) -> Result<Self, SettingError> {
        // As npm's `cookie` has it: labels of letters, digits and `-`, with a dot before them or not.
        let is_label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if !domain.strip_prefix('.').unwrap_or(domain).split('.').all(is_label) {
            return Err(SettingError::new(
                format!("`{}` is no domain for a cookie", domain.escape_debug()),
                "write a host name such as `shop.example`",
            ));
        }
        self.domain = Some(domain.to_owned());
        Ok(self)
    }

    /// Whether it travels over TLS alone.
    #[must_use]
    pub const fn secure(mut self, secure: Secure) -> Self {
        self.secure = secure;
        self
    }

    /// Lets scripts of the page read the cookie, and whoever injects one.
    #[must_use]
    pub const fn danger_readable_by_scripts(mut self) -> Self {
        self.http_only = false;
        self
    }

    /// Whether it is sent with requests that other sites start.
    #[must_use]
    pub const fn same_site(mut self, same_site: CrossSite) -> Self {
        self.same_site = same_site;
        self
    }

    /// In a frame of another site, a cookie of its own for each such site.
    #[must_use]
    pub const fn partitioned(mut self) -> Self {
        self.partitioned = true;
        self
    }

    /// What browsers throw away first.
    #[must_use]
    pub const fn priority(mut self, priority: Priority) -> Self {
        self.priority = Some(priority);
        self
    }

    /// Keeps the cookie for this long, also after the browser was closed. Without it the cookie goes with the
    /// browser.
    #[must_use]
    pub const fn max_age(mut self, max_age: Duration) -> Self {
        self.max_age = Some(max_age);
        self
    }
}

/// `Path=/; HttpOnly; SameSite=Lax`, and `Secure` on https: sent to this name alone, read by no script, and not
/// along with another site's form.
impl Default for Attributes {
    fn default() -> Self {
        Self {
            path: "/".to_owned(),
            domain: None,
            secure: Secure::OnHttps,
            http_only: true,
            same_site: CrossSite::Is(SameSite::Lax),
            partitioned: false,
            priority: None,
            max_age: None,
        }
    }
}

impl Priority {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Low => "Low",
            Self::Medium => "Medium",
            Self::High => "High",
        }
    }
}
