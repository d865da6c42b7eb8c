//! The names of a body's fields, as a way that leads down to a value: `user[name]`, `{"user": {"name": …}}`.

/// What is known of a value from the names above it.
pub(super) trait Descent: Clone {
    /// One name further down; none of the parts that [`parts`] leaves out.
    fn enter(&self, part: &str) -> Self;
}

/// Asks nothing of names: of a body whether it is one, of a text what it says.
#[derive(Clone)]
pub(super) struct Nothing;

impl Descent for Nothing {
    fn enter(&self, _: &str) -> Self {
        Self
    }
}

/// Two questions in one pass.
impl<A: Descent, B: Descent> Descent for (A, B) {
    fn enter(&self, part: &str) -> Self {
        (self.0.enter(part), self.1.enter(part))
    }
}

/// All the way down the parts of `name`.
pub(super) fn enter<D: Descent>(above: &D, name: &str) -> D {
    parts(name).fold(above.clone(), |above, part| above.enter(part))
}

/// The parts of a name, whoever reads it: brackets are those of qs, PHP and Rack, dots those of Spring and lodash,
/// `$`, `:` and `/` those of ASP.NET and JSF.
///
/// Left out is what makes no other value of a value: indices and `[]` (an array of one is compared as if it were
/// its element), and operators of a database such as `[$eq]`.
pub(super) fn parts(name: &str) -> impl Iterator<Item = &str> {
    name.split(['[', ']', '.', ':', '/'])
        .filter(|part| !part.starts_with('$'))
        .flat_map(|part| part.split('$'))
        .filter(|part| !part.bytes().all(|byte| byte.is_ascii_digit()))
}

/// A name without what is a matter of taste: only its letters and digits, small.
///
/// Names that are compared with each other are short; a longer one is nobody's, and folds to nothing.
pub(super) fn folded(part: &str) -> String {
    if part.len() > LONGEST_NAME {
        return String::new();
    }
    part.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// The names on the way down, with slashes: what readers of bodies are tested by.
#[cfg(test)]
#[derive(Clone, Default)]
pub(super) struct Way(pub(super) String);

#[cfg(test)]
impl Way {
    /// `user/name=tim`.
    pub(super) fn to(&self, values: &[std::borrow::Cow<'_, str>]) -> String {
        format!("{}={}", self.0.trim_start_matches('/'), values.join("|"))
    }
}

#[cfg(test)]
impl Descent for Way {
    fn enter(&self, part: &str) -> Self {
        Self(format!("{}/{part}", self.0))
    }
}

/// In bytes.
pub(super) const LONGEST_NAME: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_its_parts_whoever_reads_it() {
        for (name, expected) in [
            ("username", &["username"][..]),
            ("user[name]", &["user", "name"]),
            ("user[name][]", &["user", "name"]),
            ("user[0][name][1]", &["user", "name"]),
            ("user.name", &["user", "name"]),
            ("[username]", &["username"]),
            ("username[", &["username"]),
            ("username[$ne]", &["username"]),
            ("ctl00$Main$UserName", &["ctl00", "Main", "UserName"]),
            ("j_idt5:username", &["j_idt5", "username"]),
            ("__proto__", &["__proto__"]),
            ("[]", &[]),
            ("", &[]),
        ] {
            assert_eq!(parts(name).collect::<Vec<_>>(), expected, "{name:?}");
        }
    }

    #[test]
    fn what_is_a_matter_of_taste_is_folded() {
        for (part, expected) in [
            ("user_name", "username"),
            ("User-Name", "username"),
            (" username", "username"), // PHP trims it
            ("\u{feff}username", "username"),
            ("Contraseña", "contraseña"),
            ("__", ""),
            (&"x".repeat(300), ""),
        ] {
            assert_eq!(folded(part), expected, "{part:?}");
        }
    }
}
