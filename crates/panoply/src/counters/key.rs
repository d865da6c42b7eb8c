use std::fmt;

/// What is counted: a name under a prefix. Those that write it down write the prefix, a colon and the name; with an
/// empty prefix the name alone. The network is no part of it.
///
/// ```
/// use panoply::counters::Key;
///
/// let ann = Key { prefix: "login_fail", name: "ann", network: None };
/// assert_eq!(ann.to_string(), "login_fail:ann");
/// assert_eq!(Key { prefix: "", ..ann }.to_string(), "ann");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    /// Whose: a limiter's.
    pub prefix: &'k str,
    /// Any text.
    pub name: &'k str,
    /// With whom it is counted where it finds no room of its own: [`Who::within`].
    pub network: Option<&'k str>,
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.prefix.is_empty() {
            write!(f, "{}:", self.prefix)?;
        }
        f.write_str(self.name)
    }
}

/// Whom a limiter counts: a name, and with whom it is counted where there is no room for one more. A text alone is a
/// name without the latter.
///
/// ```
/// use panoply::counters::{Limiter, Who};
/// use std::time::Duration;
///
/// let limiter = Limiter::new("login", 10, Duration::from_secs(60));
/// assert_eq!(limiter.key("192.0.2.7").network, None);
/// let who = Who::named("192.0.2.7").within("192.0.2.0/24");
/// assert_eq!(limiter.key(who).network, Some("192.0.2.0/24"));
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Who<'k> {
    name: &'k str,
    network: Option<&'k str>,
}

impl<'k> Who<'k> {
    /// Any text.
    #[must_use]
    pub const fn named(name: &'k str) -> Self {
        Self { name, network: None }
    }

    /// Where all the places that a memory has for the name are taken by others who are kept out, it shares one count
    /// with all newcomers of `network`. Without a network it is refused there.
    #[must_use]
    pub const fn within(self, network: &'k str) -> Self {
        Self { network: Some(network), ..self }
    }

    pub(super) const fn under(self, prefix: &'k str) -> Key<'k> {
        Key { prefix, name: self.name, network: self.network }
    }
}

impl<'k> From<&'k str> for Who<'k> {
    fn from(name: &'k str) -> Self {
        Self::named(name)
    }
}

impl<'k> From<&'k String> for Who<'k> {
    fn from(name: &'k String) -> Self {
        Self::named(name)
    }
}
