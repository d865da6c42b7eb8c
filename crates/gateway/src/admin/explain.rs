use http::StatusCode;
use panoply::{Network, Origin, Practice, Refusal, RequestId};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::macros::format_description;

use super::{Trouble, View};
use crate::config::{Config, HostName, Rule};
use crate::route::Ambiguous;

/// A refusal, the setting that it rests on, and the line that would let such requests pass.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explained {
    /// The request's id.
    pub id: String,
    /// Of which trace it said to be a part.
    pub trace: Option<String>,
    /// When, such as `2026-12-31 23:59:59 UTC`.
    pub at: String,
    /// Who asked.
    pub client: String,
    /// How.
    pub method: String,
    /// Which host; empty where none was asked for.
    pub host: String,
    /// The path without its query.
    pub path: String,
    /// `refused`, or `would refuse` and the like where the practice only observes.
    pub what: String,
    /// What the visitor got, or would have got.
    pub status: u16,
    /// Who refused; `app`: no practice, but there was no answer of the app's.
    pub practice: String,
    /// Why.
    pub reason: String,
    /// Which rule of the practice.
    pub rule: Option<String>,
    /// Who or what was counted.
    pub key: Option<String>,
    /// How much of it was counted, where anything is.
    pub count: Option<i64>,
    /// How much is allowed.
    pub points: Option<u32>,
    /// The setting that it rests on, as it stands in the file or would: `[shield.rate_limit] rate = "100/s"`.
    pub setting: Option<String>,
    /// For whom that is set: `the default`, `all sites`, a site or a rule.
    pub set_for: Option<String>,
    /// What lets such requests pass: a line of the file, or a command.
    pub exception: Option<String>,
}

pub(super) fn explain(view: &View, id: &str) -> Result<Explained, Trouble> {
    let bad =
        |error: panoply::SettingError| Trouble::new(StatusCode::BAD_REQUEST, error.to_string(), error.hint());
    let refusal = view.world.refusals().find(id.parse::<RequestId>().map_err(bad)?).ok_or_else(|| {
        Trouble::new(
            StatusCode::NOT_FOUND,
            "no such refusal is remembered",
            "the log may still have it, which of a client that is refused again and again has the first lines alone; with \
             several machines, ask the one that refused",
        )
    })?;
    let at = OffsetDateTime::from_unix_timestamp(refusal.at.as_secs().try_into().unwrap_or(0));
    let at = at.ok().and_then(|at| at.format(TIME).ok()).unwrap_or_default();
    let evidence = refusal.evidence.as_ref();
    let counted = evidence.filter(|evidence| evidence.points > 0 || evidence.count != 0);
    let mut explained = Explained {
        id: refusal.id.to_string(),
        trace: refusal.trace.map(|trace| trace.to_string()),
        at,
        client: refusal.client.to_string(),
        method: refusal.method.clone(),
        host: refusal.host.clone(),
        path: refusal.path.clone(),
        what: refusal.what.to_owned(),
        status: refusal.status,
        practice: refusal.practice.map_or("app", Practice::name).to_owned(),
        reason: refusal.reason.clone(),
        rule: evidence.map(|evidence| evidence.rule.to_string()),
        key: evidence.map(|evidence| evidence.key.clone()).filter(|key| !key.is_empty()),
        count: counted.map(|evidence| evidence.count),
        points: counted.map(|evidence| evidence.points),
        ..Explained::default()
    };
    if let Some(practice) = refusal.practice {
        let (Ok(route) | Err(Ambiguous(route))) = view.routes.find(&refusal.host, &refusal.path);
        let place = Place::of(&view.config, route.site, route.rule.as_ref(), practice);
        let (_, figure) = route.shield.state(practice);
        let site = Site { place, name: view.site(route.site), hosts: hosts(&view.config, route.site) };
        explained.setting = Some(setting(&refusal, practice, &figure, &site));
        explained.set_for = Some(site.set_for());
        explained.exception = exception(&refusal, practice, &site);
    }
    Ok(explained)
}

/// Where the settings of a practice stand.
#[derive(Clone, Copy, Debug)]
enum Place<'c> {
    /// In no file.
    Default,
    /// In `[shield]`.
    All,
    /// In a `[[site]]`.
    Site,
    /// In a `[[site.rule]]`.
    Rule(&'c Rule),
}

impl<'c> Place<'c> {
    fn of(
        config: &'c Config,
        site: usize,
        rule: Option<&crate::config::RulePath>,
        practice: Practice,
    ) -> Self {
        let site = config.sites.get(site);
        let rule = rule.and_then(|path| site?.rules.iter().find(|rule| rule.path == *path));
        // For a path that is written in another way than the rule's, only what protects holds.
        let rule = rule.filter(|rule| rule.shield.state(practice).is_some_and(|state| state != "off"));
        match rule {
            Some(rule) => Self::Rule(rule),
            None if site.is_some_and(|site| site.shield.state(practice).is_some()) => Self::Site,
            None if config.shield.state(practice).is_some() => Self::All,
            None => Self::Default,
        }
    }
}

struct Site<'c> {
    place: Place<'c>,
    name: &'c str,
    hosts: &'c [HostName],
}

impl Site<'_> {
    fn set_for(&self) -> String {
        match self.place {
            Place::Default => "the default".to_owned(),
            Place::All => "all sites".to_owned(),
            Place::Site => format!("the site {}", self.name),
            Place::Rule(rule) => format!("{} of the site {}", rule.path, self.name),
        }
    }

    /// The table that a practice's settings stand in.
    fn table(&self, practice: Practice) -> String {
        match self.place {
            Place::Default | Place::All => format!("[shield.{practice}]"),
            Place::Site => format!("[[site]] shield.{practice}"),
            Place::Rule(_) => format!("[[site.rule]] shield.{practice}"),
        }
    }
}

fn hosts(config: &Config, site: usize) -> &[HostName] {
    config.sites.get(site).map(|site| site.hosts.as_slice()).unwrap_or_default()
}

fn setting(refusal: &Refusal, practice: Practice, figure: &str, site: &Site<'_>) -> String {
    let table = site.table(practice);
    let rule = refusal.evidence.as_ref().map(|evidence| &*evidence.rule);
    match (practice.name(), rule) {
        ("rate_limit", Some("ban")) => "a ban by an operator".to_owned(),
        ("rate_limit", Some("deny")) => format!("{table} deny"),
        ("rate_limit", None | Some("default" | "preflight")) => format!("{table} rate = \"{figure}\""),
        ("rate_limit", Some(name)) => format!("{table} limits.{name}"),
        ("hosts", _) => format!("[[site]] hosts = {}", list(site.hosts.iter().map(HostName::as_str))),
        ("brute_force", Some(rule)) => format!("{table} {rule}"),
        ("limits", _) => format!("{table} {}", of_limits(refusal).0),
        _ => table,
    }
}

/// One line that lets such requests pass, and as little else as can be.
fn exception(refusal: &Refusal, practice: Practice, site: &Site<'_>) -> Option<String> {
    let evidence = refusal.evidence.as_ref();
    let rule = evidence.map(|evidence| &*evidence.rule);
    let key = evidence.map(|evidence| evidence.key.as_str()).unwrap_or_default();
    // Who is counted by network is let in by network.
    let client = match key.parse::<Network>() {
        Ok(network) => network.to_string(),
        Err(_) => refusal.client.to_string(),
    };
    match (practice.name(), rule) {
        ("rate_limit", Some("ban")) => Some(format!("panoply bans lift {key}")),
        ("rate_limit" | "brute_force", _) => Some(format!("shield.{practice}.exempt = [\"{client}\"]")),
        ("csrf", _) => {
            let words = refusal.reason.split(' ');
            let origin = words.into_iter().find_map(|word| word.parse::<Origin>().ok());
            Some(match origin {
                Some(origin) => format!("shield.csrf.trusted_origins = [\"{origin}\"]"),
                None => format!("shield.csrf.exempt = [{}]", quoted(&refusal.path)),
            })
        }
        ("redirects", _) => {
            let host = refusal.reason.split('`').nth(1)?;
            let origin = format!("https://{host}").parse::<Origin>().ok()?;
            Some(format!("shield.redirects.trusted_origins = [\"{origin}\"]"))
        }
        ("hosts", _) if refusal.host.is_empty() => None,
        ("hosts", _) => {
            let asked = refusal.host.parse::<HostName>().ok()?;
            Some(format!("hosts = {}", list(site.hosts.iter().map(HostName::as_str).chain([asked.as_str()]))))
        }
        ("limits", _) => Some(format!("shield.limits.{}", of_limits(refusal).1)),
        _ => Some(format!("shield.{practice} = \"observe\"")),
    }
}

/// The settings that refuse with this status, and one of them with more room than by default.
fn of_limits(refusal: &Refusal) -> (&'static str, &'static str) {
    match refusal.status {
        414 => ("uri", "uri = \"16 KiB\""),
        431 if refusal.reason.contains("many") => ("headers", "headers = 200"),
        431 => ("head", "head = \"32 KiB\""),
        408 => ("idle, min_rate", "idle = \"2min\""),
        _ => ("form_body, body", "form_body = \"50 MiB\""),
    }
}

fn list<'h>(names: impl Iterator<Item = &'h str>) -> String {
    let names: Vec<_> = names.map(quoted).collect();
    format!("[{}]", names.join(", "))
}

/// As TOML takes it: what is no ASCII is left as it is, and nothing ends the text.
fn quoted(text: &str) -> String {
    let plain: String = text.chars().filter(|c| !c.is_control()).collect();
    format!("\"{}\"", plain.replace('\\', "\\\\").replace('"', "\\\""))
}

const TIME: &[time::format_description::BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second] UTC");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RulePath;

    #[test]
    fn a_setting_is_found_where_it_stands() {
        let config = Config::parse(
            "[shield]\ncsrf = \"on\"\n[[site]]\nhosts = [\"shop.example\"]\nshield.rate_limit = \"3/s\"\n\
             [[site.rule]]\npath = \"/api/*\"\nshield.limits.uri = \"9 KiB\"\nshield.csrf = \"off\"",
        )
        .unwrap();
        let api: RulePath = "/api/*".parse().unwrap();
        for (practice, rule, set_for) in [
            (Practice::Limits, Some(&api), "/api/* of the site shop.example"),
            (Practice::Limits, None, "the default"),
            (Practice::RateLimit, Some(&api), "the site shop.example"),
            (Practice::Csrf, Some(&api), "all sites"), // the rule has none to refuse with
            (Practice::Headers, None, "the default"),
        ] {
            let place = Place::of(&config, 0, rule, practice);
            let site = Site { place, name: "shop.example", hosts: hosts(&config, 0) };
            assert_eq!(site.set_for(), set_for, "{practice} {rule:?}");
        }
    }

    #[test]
    fn what_stands_in_a_line_does_not_end_it() {
        assert_eq!(quoted("/a\"b\\c\n"), "\"/a\\\"b\\\\c\"");
    }
}
