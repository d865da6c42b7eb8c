use std::fmt;

/// What is counted: a name under a prefix. Those that write it down write the prefix, a colon and the name; with an
/// empty prefix the name alone.
///
/// ```
/// use panoply::counters::Key;
///
/// assert_eq!(Key { prefix: "login_fail", name: "ann" }.to_string(), "login_fail:ann");
/// assert_eq!(Key { prefix: "", name: "ann" }.to_string(), "ann");
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Key<'k> {
    /// Whose: a limiter's.
    pub prefix: &'k str,
    /// Any text.
    pub name: &'k str,
}

impl fmt::Display for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.prefix.is_empty() {
            write!(f, "{}:", self.prefix)?;
        }
        f.write_str(self.name)
    }
}
