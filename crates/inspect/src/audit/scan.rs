//! The pieces that npm's versions and ranges are made of, read from left to right.

/// How much is forgiven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reading {
    /// As npm reads lockfiles and advisories: leading zeros, `=`, a pre-release without its hyphen.
    Loose,
    /// As semver 2.0.0 is written.
    Strict,
}

/// A place in a text.
#[derive(Clone, Debug)]
pub(super) struct Scan<'t> {
    text: &'t str,
    at: usize,
}

/// Up to three numbers or wildcards, and a pre-release: what stands in a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Partial<'t> {
    pub(super) major: &'t str,
    pub(super) minor: Option<&'t str>,
    pub(super) patch: Option<&'t str>,
    pub(super) prerelease: Option<&'t str>,
}

impl<'t> Scan<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0 }
    }

    pub(super) fn rest(&self) -> &'t str {
        self.text.get(self.at..).unwrap_or_default()
    }

    /// What was passed since `start`.
    pub(super) fn since(&self, start: &Self) -> &'t str {
        self.text.get(start.at..self.at).unwrap_or_default()
    }

    pub(super) fn is_done(&self) -> bool {
        self.rest().is_empty()
    }

    /// Takes `token` if it is next.
    pub(super) fn take(&mut self, token: &str) -> bool {
        let next = self.rest().starts_with(token);
        self.at += if next { token.len() } else { 0 };
        next
    }

    /// Passes one character.
    pub(super) fn skip(&mut self) {
        self.at += self.rest().chars().next().map_or(0, char::len_utf8);
    }

    /// Takes as many characters as `belongs` holds for.
    pub(super) fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'t str {
        let start = self.clone();
        self.at += self.rest().find(|c| !belongs(c)).unwrap_or(self.rest().len());
        self.since(&start)
    }

    /// What may stand before a version: any of `v`, `=` and spaces, or strictly one `v`.
    pub(super) fn prefix(&mut self, reading: Reading) {
        match reading {
            Reading::Loose => drop(self.take_while(|c| c == 'v' || c == '=' || is_space(c))),
            Reading::Strict => drop(self.take("v")),
        }
    }

    /// Three numbers with dots between, and of the third what is not the pre-release's.
    pub(super) fn triple(&mut self, reading: Reading) -> Option<[&'t str; 3]> {
        let [major, minor, patch] = self.numbers(reading)?;
        Some([major, minor, self.split(patch, reading)])
    }

    /// Three numbers with dots between.
    pub(super) fn numbers(&mut self, reading: Reading) -> Option<[&'t str; 3]> {
        let major = self.digits(reading)?;
        let minor = self.take(".").then(|| self.digits(reading))??;
        let patch = self.take(".").then(|| self.digits(reading))??;
        Some([major, minor, patch])
    }

    /// Numbers or wildcards; a pre-release and a build follow only the third.
    pub(super) fn partial(&mut self, reading: Reading) -> Option<Partial<'t>> {
        let mut partial = Partial { major: self.place(reading)?, minor: None, patch: None, prerelease: None };
        partial.minor = self.dotted(|scan| scan.place(reading));
        if partial.minor.is_some() {
            let patch = self.dotted(|scan| scan.place(reading));
            partial.patch = patch.map(|patch| self.split(patch, reading));
        }
        if partial.patch.is_some() {
            partial.prerelease = self.prerelease(reading);
            self.build();
        }
        Some(partial)
    }

    /// `-rc.1`; loosely the hyphen may be missing, or be all there is.
    pub(super) fn prerelease(&mut self, reading: Reading) -> Option<&'t str> {
        let start = self.clone();
        let hyphen = self.take("-");
        if !hyphen && reading == Reading::Strict {
            return None;
        }
        let mut from = self.clone();
        if self.identifier(reading).is_none() {
            if !hyphen || reading == Reading::Strict {
                *self = start;
                return None;
            }
            from = start;
        }
        while self.dotted(|scan| scan.identifier(reading)).is_some() {}
        Some(self.since(&from))
    }

    /// `+build.5`, which is passed over.
    pub(super) fn build(&mut self) {
        let start = self.clone();
        let part = |scan: &mut Self| Some(scan.take_while(is_word)).filter(|part| !part.is_empty());
        if self.take("+") && part(self).is_some() {
            while self.dotted(part).is_some() {}
        } else {
            *self = start;
        }
    }

    /// `1.2.10.4` is `1.2.1-0.4` to npm: the hyphen is optional, and a last digit is what makes the most of the rest.
    fn split(&mut self, patch: &'t str, reading: Reading) -> &'t str {
        let (kept, last) = patch.split_at(patch.len().saturating_sub(1));
        if reading == Reading::Strict || kept.is_empty() || !self.rest().starts_with('.') {
            return patch;
        }
        self.at -= last.len();
        kept
    }

    /// A dot and what `read` takes after it, or neither.
    fn dotted(&mut self, read: impl FnOnce(&mut Self) -> Option<&'t str>) -> Option<&'t str> {
        let start = self.clone();
        let found = self.take(".").then(|| read(self)).flatten();
        if found.is_none() {
            *self = start;
        }
        found
    }

    fn place(&mut self, reading: Reading) -> Option<&'t str> {
        let wildcard = self.rest().get(..1).filter(|first| matches!(*first, "x" | "X" | "*"));
        match wildcard {
            Some(wildcard) => self.take(wildcard).then_some(wildcard),
            None => self.digits(reading),
        }
    }

    fn digits(&mut self, reading: Reading) -> Option<&'t str> {
        if reading == Reading::Strict && self.take("0") {
            return Some("0");
        }
        Some(self.take_while(|c| c.is_ascii_digit())).filter(|digits| !digits.is_empty())
    }

    fn identifier(&mut self, reading: Reading) -> Option<&'t str> {
        let start = self.clone();
        let word = self.take_while(is_word);
        if word.bytes().all(|byte| byte.is_ascii_digit()) {
            *self = start;
            return self.digits(reading);
        }
        Some(word)
    }
}

/// What JavaScript takes for white space.
pub(super) fn is_space(c: char) -> bool {
    (c.is_whitespace() && c != '\u{85}') || c == '\u{feff}'
}

/// What identifiers are made of.
pub(super) fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-'
}
