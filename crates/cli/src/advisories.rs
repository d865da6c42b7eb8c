//! `panoply advisories`: what is known of holes in dependencies, kept on this machine.

use std::fmt::Write as _;
use std::fs;
use std::io::IsTerminal;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use panoply_inspect::audit::import::{Import, Trouble as Lost};
use panoply_inspect::audit::index::{About, Index};
use panoply_inspect::audit::osv::Loss;
use panoply_inspect::audit::update::{self, Patience, Progress};

use crate::args::{Advisories, Database, Format};
use crate::ask::shown;
use crate::trouble::Trouble;

pub(crate) async fn advisories(command: Advisories) -> Result<ExitCode, Trouble> {
    match command {
        Advisories::Import { paths, database } => {
            let places: Vec<_> = paths.into_iter().map(|path| (path.display().to_string(), path)).collect();
            import(&places, &place(&database)?)
        }
        Advisories::Update { urls, database, patience } => {
            let patience = Patience { idle: Duration::from_secs(patience.max(1)), ..Patience::default() };
            update(urls, &place(&database)?, patience).await
        }
        Advisories::Info { database, format } => info(&place(&database)?, format),
    }
}

/// The file that `--database` names, or the environment, or that is in the user's cache.
pub(crate) fn place(database: &Database) -> Result<PathBuf, Trouble> {
    let from = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || {
        from("CACHE_DIRECTORY")
            .or_else(|| from("XDG_CACHE_HOME").map(|folder| folder.join("panoply")))
            .or_else(|| from("HOME").map(|folder| folder.join(".cache/panoply")))
            .map(|folder| folder.join("advisories.db"))
    };
    let named = database.database.clone().or_else(|| from("PANOPLY_ADVISORIES")).or_else(cache);
    named.ok_or_else(|| {
        Trouble::new(
            "there is no place for the database of advisories: neither HOME nor XDG_CACHE_HOME is set",
            "name a file with --database",
        )
    })
}

/// In seconds since 1970, by this machine's clock.
#[expect(clippy::disallowed_methods, reason = "the edge: a command says when it was run")]
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

/// Old databases stay until the new one is whole.
fn import(places: &[(String, PathBuf)], database: &Path) -> Result<ExitCode, Trouble> {
    let mut told = Told::default();
    let mut complain = |lost: &Lost| told.tell(lost);
    let mut import = Import::into(database, &mut complain)?;
    for (place, path) in places {
        import.add(path, place)?;
    }
    let about = import.finish(now())?;
    told.rest();
    summary(&about, database);
    Ok(if about.is_complete() { ExitCode::SUCCESS } else { ExitCode::from(2) })
}

#[expect(clippy::print_stderr, reason = "stdout is for the data")]
fn summary(about: &About, database: &Path) {
    let packages = about.packages;
    eprintln!("{} records of {packages} packages are in {}", about.records, database.display());
    if !about.is_complete() {
        let lost: u64 = about.sources.iter().map(|source| source.lost).sum();
        eprintln!("warning: {lost} could not be read: no audit by this database will say \"clean\"");
    }
}

/// Complaints, as many as a person reads.
#[derive(Default)]
struct Told {
    lost: u64,
    details: u64,
}

impl Told {
    #[expect(clippy::print_stderr, reason = "stdout is for the data")]
    fn tell(&mut self, lost: &Lost) {
        let count = match lost.loss {
            Loss::Answer => &mut self.lost,
            Loss::Detail => &mut self.details,
        };
        *count += 1;
        if *count <= MOST_TOLD {
            eprintln!("warning: {}:{}: {}", shown(&lost.file), lost.line, shown(&lost.text));
        }
    }

    #[expect(clippy::print_stderr, reason = "stdout is for the data")]
    fn rest(&self) {
        let rest = self.lost.saturating_sub(MOST_TOLD) + self.details.saturating_sub(MOST_TOLD);
        if rest > 0 {
            eprintln!("warning: and {rest} more");
        }
    }
}

async fn update(urls: Vec<String>, database: &Path, patience: Patience) -> Result<ExitCode, Trouble> {
    let urls = if urls.is_empty() { update::OSV.map(str::to_owned).to_vec() } else { urls };
    let folder = database.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut places = Vec::new();
    for url in urls {
        let mut bar = Bar::new(&url);
        let file = update::download(&url, folder, AGENT, patience, &mut |progress| bar.show(progress)).await;
        bar.end();
        places.push((url, file?));
    }
    let imported = import(&places, database);
    // Also what could not be imported: the next update is to get it anew, not to go on from it.
    places.iter().for_each(|(_, file)| drop(fs::remove_file(file)));
    imported
}

/// How far a download is, on one line of a terminal.
struct Bar<'u> {
    url: &'u str,
    terminal: bool,
    last: Option<String>,
}

impl<'u> Bar<'u> {
    fn new(url: &'u str) -> Self {
        Self { url, terminal: std::io::stderr().is_terminal(), last: None }
    }

    #[expect(clippy::print_stderr, reason = "stdout is for the data")]
    fn show(&mut self, progress: Progress) {
        let line = bar(progress);
        if self.terminal && self.last.as_ref() != Some(&line) {
            eprint!("\r{line} {}\x1b[K", shown(self.url));
        }
        self.last = Some(line);
    }

    #[expect(clippy::print_stderr, reason = "stdout is for the data")]
    fn end(&self) {
        if let Some(last) = &self.last {
            let start = if self.terminal { "\r" } else { "" };
            eprintln!("{start}{last} {}", shown(self.url));
        }
    }
}

fn bar(progress: Progress) -> String {
    let have = mebibytes(progress.have);
    let Some(of) = progress.of.filter(|of| *of > 0) else { return format!("{have} MiB") };
    let done = usize::try_from(progress.have.min(of) * WIDTH / of).unwrap_or_default();
    let mut line = String::new();
    let _ =
        write!(line, "[{:<width$}]", "=".repeat(done), width = usize::try_from(WIDTH).unwrap_or_default());
    let _ = write!(line, " {:>3} % of {} MiB", progress.have.min(of) * 100 / of, mebibytes(of));
    line
}

/// With one digit after the point.
fn mebibytes(bytes: u64) -> String {
    let tenths = bytes.saturating_mul(10) >> 20;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[expect(clippy::print_stdout, reason = "what is known is this command's data")]
fn info(database: &Path, format: Format) -> Result<ExitCode, Trouble> {
    let index = Index::open(database)?;
    match format {
        Format::Json => println!("{}", serde_json::to_string_pretty(index.about()).unwrap_or_default()),
        Format::Text => print!("{}", told(index.about(), database, now())),
    }
    Ok(ExitCode::SUCCESS)
}

fn told(about: &About, database: &Path, now: u64) -> String {
    let mut lines = vec![
        ("database", database.display().to_string()),
        ("imported", age(now.saturating_sub(about.imported))),
        ("newest", if about.newest.is_empty() { "unknown".to_owned() } else { about.newest.clone() }),
        ("records", format!("{}, of them {} withdrawn", about.records, about.withdrawn)),
        ("packages", about.packages.to_string()),
    ];
    for (ecosystem, advisories) in &about.ecosystems {
        lines.push((ecosystem, format!("{advisories} advisories")));
    }
    lines.push(("attacks", about.malicious.to_string()));
    for source in &about.sources {
        let lost =
            if source.lost > 0 { format!(", {} could not be read", source.lost) } else { String::new() };
        lines.push(("source", format!("{}: {} records{lost}", source.place, source.records)));
    }
    if !about.is_complete() {
        lines.push(("warning", "no audit by this database will say \"clean\"".to_owned()));
    }
    lines.iter().map(|(name, value)| format!("{:<10} {}\n", shown(name), shown(value))).collect()
}

/// In the largest unit of which there is one.
fn age(seconds: u64) -> String {
    for (unit, length) in [("day", 86_400), ("hour", 3_600), ("minute", 60)] {
        let count = seconds / length;
        if count > 0 {
            return format!("{count} {unit}{} ago", if count == 1 { "" } else { "s" });
        }
    }
    "just now".to_owned()
}

/// What a server sees of us.
const AGENT: &str = concat!("panoply/", env!("CARGO_PKG_VERSION"));
/// Of each kind.
const MOST_TOLD: u64 = 10;
/// In characters.
const WIDTH: u64 = 30;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_is_told_in_one_unit() {
        for (seconds, expected) in [
            (0, "just now"),
            (59, "just now"),
            (60, "1 minute ago"),
            (7_199, "1 hour ago"),
            (86_400 * 15 + 1, "15 days ago"),
        ] {
            assert_eq!(age(seconds), expected, "{seconds}");
        }
    }

    #[test]
    fn the_bar_is_as_long_as_what_is_there() {
        for (have, of, expected) in [
            (0, Some(100 << 20), "[                              ]   0 % of 100.0 MiB"),
            (50 << 20, Some(100 << 20), "[===============               ]  50 % of 100.0 MiB"),
            (1, Some(1), "[==============================] 100 % of 0.0 MiB"),
            (9, Some(3), "[==============================] 100 % of 0.0 MiB"),
            (3 << 19, None, "1.5 MiB"),
            (7, Some(0), "0.0 MiB"),
        ] {
            assert_eq!(bar(Progress { have, of }), expected, "{have} of {of:?}");
        }
    }
}
