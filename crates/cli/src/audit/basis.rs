//! What an audit goes by, opened once: advisories, what is ignored, the day.

use std::io;
use std::path::Path;
use std::time::Duration;

use panoply::Period;
use panoply_inspect::audit::advisory::Advisories;
use panoply_inspect::audit::doubt::Doubt;
use panoply_inspect::audit::graph::Scope;
use panoply_inspect::audit::hygiene::Allowed;
use panoply_inspect::audit::ignore::Ignores;
use panoply_inspect::audit::index::{Index, IndexError};
use panoply_inspect::audit::report::Report;
use panoply_inspect::audit::{Audit, database};
use time::OffsetDateTime;

use super::project::Project;
use crate::advisories;
use crate::args::{Grounds, Omit};
use crate::front;
use crate::trouble::Trouble;

#[derive(Debug)]
pub(crate) struct Basis {
    index: Result<Index, Doubt>,
    ignores: Ignores,
    registries: Allowed,
    omit: Vec<Scope>,
    max_age: Option<Duration>,
    pub(super) now: OffsetDateTime,
}

impl Basis {
    /// A database that is not there is a doubt, which the report tells; what is ignored must be readable.
    pub(crate) fn open(grounds: &Grounds, root: &Path) -> Result<Self, Trouble> {
        let ignores = ignores(grounds.ignore_file.as_deref(), root)?;
        Ok(Self {
            index: open(grounds)?,
            registries: registries(&grounds.registries)?.and(ignores.registries()),
            ignores,
            omit: grounds.omit.iter().map(|omit| omit.scope()).collect(),
            max_age: max_age(&grounds.max_age)?,
            now: OffsetDateTime::UNIX_EPOCH + Duration::from_secs(advisories::now()),
        })
    }

    pub(crate) fn judge(&self, project: &Project) -> Report {
        let mut doubts = project.doubts.clone();
        match &self.index {
            Ok(index) => {
                doubts.extend(database::doubts(index.about(), &project.graphs, self.max_age, self.now));
            }
            Err(doubt) => doubts.push(doubt.clone()),
        }
        let index = self.index.as_ref().ok();
        let audit = Audit {
            advisories: index.map(|index| index as &dyn Advisories),
            ignores: &self.ignores,
            registries: &self.registries,
            omit: &self.omit,
            now: self.now,
        };
        let mut report = audit.judge(&project.graphs, doubts);
        report.database = index.map(|index| index.about().clone());
        report
    }
}

/// The outer error is that nothing says where it could be.
fn open(grounds: &Grounds) -> Result<Result<Index, Doubt>, Trouble> {
    let path = advisories::place(&grounds.database)?;
    Ok(Index::open(&path).map_err(|error| Doubt::NoDatabase {
        reason: match &error {
            IndexError::Missing(_) => "there is no such file".to_owned(),
            other => other.to_string(),
        },
        path,
    }))
}

/// The file that was named, which must be there, or the one beside the project, if there is one.
fn ignores(named: Option<&Path>, root: &Path) -> Result<Ignores, Trouble> {
    let path = named.map_or_else(|| root.join(IGNORE_FILE), Path::to_owned);
    let text = match super::read(&path, LARGEST_IGNORE_FILE) {
        Ok(text) => text,
        Err(error) if named.is_none() && error.kind() == io::ErrorKind::NotFound => {
            return Ok(Ignores::default());
        }
        Err(error) => {
            return Err(Trouble::new(
                format_args!("cannot read `{}`: {error}", path.display()),
                "name the file of what is ignored with --ignore-file, or leave it out",
            ));
        }
    };
    Ignores::parse(&text).map_err(|error| {
        Trouble::new(
            format_args!("{}:{}: {}", path.display(), error.line, error.what),
            "an entry is `[[ignore]]` with `id` and `reason`, and perhaps `package`, `path`, `expires` and `state`; \
             before all of them may be `registries = [\"npm.company.example\"]`",
        )
    })
}

fn registries(hosts: &[String]) -> Result<Allowed, Trouble> {
    hosts.iter().try_fold(Allowed::default(), |allowed, host| {
        allowed.host(host).map_err(|error| {
            Trouble::new(format_args!("--registry: {error}"), "leave out the scheme and the path")
        })
    })
}

/// `off`, or a time: `14d` is also written `14day`, as in panoply.toml.
fn max_age(text: &str) -> Result<Option<Duration>, Trouble> {
    if text == "off" {
        return Ok(None);
    }
    let days = text.strip_suffix('d').filter(|number| number.chars().all(|c| c.is_ascii_digit()));
    let period: Period = match days {
        Some(days) => front::parse("--max-age", &format!("{days}day")),
        None => front::parse("--max-age", text),
    }?;
    Ok(Some(period.duration()))
}

impl Omit {
    const fn scope(self) -> Scope {
        match self {
            Self::Dev => Scope::Development,
            Self::Optional => Scope::Optional,
        }
    }
}

const IGNORE_FILE: &str = "panoply.ignore.toml";
/// In bytes: ten thousand entries.
const LARGEST_IGNORE_FILE: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_a_time_or_off() {
        for (text, seconds) in
            [("14d", Some(1_209_600)), ("14day", Some(1_209_600)), ("36h", Some(129_600)), ("off", None)]
        {
            assert_eq!(max_age(text).ok(), Some(seconds.map(Duration::from_secs)), "{text}");
        }
        for text in ["", "d", "14", "never", "-1d", "1.5d"] {
            assert!(max_age(text).is_err(), "{text}");
        }
    }
}
