//! Express's own list: expressjs.com/en/advanced/security-updates.html. It needs no database.

use super::super::graph::Package;
use super::Flaw;

/// The versions of Express 4 that mend something which Express itself has, oldest first, and what.
const UPDATES: &[(&str, &str)] = &[
    ("4.8.0", "a query string can take all memory or all time"),
    ("4.8.4", "requests for files can use up all file descriptors"),
    ("4.8.8", "`express.static` gives out files outside its folder (CVE-2014-6394)"),
    ("4.10.7", "`express.static` redirects to other sites (CVE-2015-1164)"),
    ("4.11.1", "`express.static` and `res.sendFile` tell where the files lie"),
    ("4.15.3", "`maxAge` from outside can take all time (`ms`)"),
    ("4.15.5", "a request's header can take all time (`fresh`)"),
    ("4.16.0", "`X-Forwarded-For` can take all time (`forwarded`)"),
    ("4.17.3", "a query string can stop the app (`qs`, CVE-2022-24999)"),
    ("4.19.0", "`res.redirect` can be led to other sites (CVE-2024-29041)"),
    (
        "4.20.0",
        "`res.redirect` can run scripts (CVE-2024-43796), and a path can take all time (`path-to-regexp`)",
    ),
    ("4.21.1", "names and paths of cookies can add fields to them (`cookie`, CVE-2024-47764)"),
    ("4.21.2", "a path can take all time (`path-to-regexp`, CVE-2024-52798)"),
];

/// The newest of them has all.
const COMPLETE: &str = "4.21.2";

pub(super) fn flaws(package: &Package) -> Option<Flaw> {
    if package.name != "express" {
        return None;
    }
    let version = Numbers::of(&package.version)?;
    match version.major {
        major @ 0..4 => Some(Flaw::EndOfLife { major }),
        4 => UPDATES
            .iter()
            .find(|(fixed, _)| version.is_before(fixed))
            .map(|(_, what)| Flaw::ExpressUpdate { fixed: COMPLETE, what }),
        _ => None,
    }
}

/// The three numbers of a version that npm published, and whether it is a pre-release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Numbers {
    major: u64,
    minor: u64,
    patch: u64,
    released: bool,
}

impl Numbers {
    fn of(version: &str) -> Option<Self> {
        let version = version.split('+').next()?;
        let (numbers, prerelease) =
            version.split_once('-').map_or((version, None), |(numbers, pre)| (numbers, Some(pre)));
        let mut numbers = numbers.split('.').map(|number| number.parse().ok());
        let (major, minor, patch) = (numbers.next()??, numbers.next()??, numbers.next()??);
        numbers.next().is_none().then_some(Self { major, minor, patch, released: prerelease.is_none() })
    }

    fn is_before(self, version: &str) -> bool {
        Self::of(version).is_some_and(|other| self < other)
    }
}
