use std::time::Duration;

use http::StatusCode;
use panoply::{Ban, Counted, KeptOut, Network, Practice};
use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};

use super::{Trouble, View};

/// Who is kept out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct List {
    /// By an operator.
    pub bans: Vec<BanLine>,
    /// By a count of a practice.
    pub kept_out: Vec<KeptOutLine>,
    /// What the list may lack, and why.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

/// A network that an operator keeps out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanLine {
    /// Who.
    pub network: String,
    /// How long still, in seconds; `None`: until somebody lifts it.
    pub left: Option<u64>,
    /// Why.
    pub because: String,
}

/// Somebody whom a practice keeps out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptOutLine {
    /// The practice.
    pub practice: String,
    /// Its rule.
    pub rule: String,
    /// Who or what was counted.
    pub key: String,
    /// How much of it.
    pub count: i64,
    /// How long still, in seconds; `None` is for ever.
    pub left: Option<u64>,
}

/// What `POST /bans` takes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewBan {
    /// An address or a network.
    pub network: String,
    /// For how many seconds; `None`: until somebody lifts it.
    #[serde(default)]
    pub seconds: Option<u64>,
    /// Why, for operators.
    #[serde(default)]
    pub because: String,
}

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// Who is kept out now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub banned: Vec<String>,
    /// What was forgotten: practice, rule and key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lifted: Vec<String>,
    /// What an operator should know of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notes: Vec<String>,
}

pub(super) async fn list(view: &View) -> List {
    let now = view.world.unix_time();
    let (kept_out, notes) = match KeptOut::by(&view.counted(), &*view.counting.counters).await {
        Ok(kept_out) => (kept_out, Vec::new()),
        Err(error) => {
            tracing::warn!(%error, "who is kept out by counts cannot be listed");
            (Vec::new(), vec![format!("who is kept out by counts cannot be told: {error}")])
        }
    };
    List {
        bans: view
            .world
            .bans()
            .all()
            .iter()
            .filter(|ban| !ban.is_over(now))
            .map(|ban| line(ban, now))
            .collect(),
        kept_out: kept_out
            .into_iter()
            .map(|KeptOut { practice, rule, key, count, left }| KeptOutLine {
                practice: practice.name().to_owned(),
                rule,
                key,
                count,
                left: left.map(seconds),
            })
            .collect(),
        notes,
    }
}

pub(super) async fn add(view: &View, body: &[u8]) -> Result<Done, Trouble> {
    let NewBan { network, seconds, because } = serde_json::from_slice(body).map_err(|error| {
        Trouble::new(
            StatusCode::BAD_REQUEST,
            format!("this is no ban: {error}"),
            r#"send such as {"network":"192.0.2.0/24","seconds":3600,"because":"spam"}"#,
        )
    })?;
    let refuse =
        |error: panoply::SettingError| Trouble::new(StatusCode::BAD_REQUEST, error.to_string(), error.hint());
    let network: Network = network.parse().map_err(refuse)?;
    let until = seconds.map(|seconds| view.world.unix_time() + Duration::from_secs(seconds.min(LONGEST)));
    let mut held = view.keeper.hold().await.ok_or_else(let_go)?;
    let saved = held.add(Ban::new(network, until, &because)).await.map_err(refuse)?;
    drop(held);
    tracing::info!(%network, seconds, because, "an operator banned a network");
    let mut notes = not_everywhere(view);
    notes.extend(saved);
    Ok(Done { banned: vec![network.to_string()], notes, ..Done::default() })
}

pub(super) async fn lift(view: &View, who: &str) -> Result<Done, Trouble> {
    let who = percent_decode_str(who).decode_utf8_lossy();
    let mut done = Done::default();
    let mut held = view.keeper.hold().await.ok_or_else(let_go)?;
    for ban in view.world.bans().all().into_iter().filter(|ban| ban.concerns(&who)) {
        done.notes.extend(held.lift(ban.network).await);
        done.lifted.push(format!("rate_limit ban {}", ban.network));
    }
    let client = who.parse::<Network>().ok().and_then(|network| network.client());
    if let Some(client) = client {
        let limits = view.routes.shields().flat_map(|(.., shield)| shield.forgive(client));
        done.lifted.extend(limits.map(|limit| format!("rate_limit {limit} {client}")));
    }
    // The store may take its time, and what is forgotten in memory is told to a process that takes over.
    drop(held);
    match Counted::lift(&view.counted(), &*view.counting.counters, &who).await {
        Ok(lifted) => {
            let name = |KeptOut { practice, rule, key, .. }| format!("{practice} {rule} {key}");
            done.lifted.extend(lifted.into_iter().map(name));
        }
        Err(error) => done.notes.push(format!("counts may still keep somebody out: {error}")),
    }
    done.lifted.sort_unstable();
    done.lifted.dedup();
    if done.lifted.is_empty() && done.notes.is_empty() {
        return Err(Trouble::new(
            StatusCode::NOT_FOUND,
            "nobody is kept out under this key or address",
            "`panoply bans list` shows who is; `panoply explain ID` what a request was refused for",
        ));
    }
    tracing::info!(who = %who, lifted = ?done.lifted, "an operator let somebody in again");
    Ok(done)
}

/// Who asked while the gateway was replaced is connected to the process that ends.
fn let_go() -> Trouble {
    Trouble::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "another process goes on in the place of this one",
        "ask again: it answers at the same address",
    )
}

/// A ban is asked for by `rate_limit`: where that is not in earnest, neither is a ban.
fn not_everywhere(view: &View) -> Vec<String> {
    let shields = view.routes.shields().filter(|(_, _, shield)| shield.state(Practice::RateLimit).0 != "on");
    shields
        .map(|(site, rule, shield)| {
            let state = shield.state(Practice::RateLimit).0;
            let path = rule.map(|path| format!(" at {path}")).unwrap_or_default();
            format!("rate_limit is `{state}` for {}{path}: a ban stops nobody there", view.site(site))
        })
        .collect()
}

fn line(ban: &Ban, now: Duration) -> BanLine {
    BanLine {
        network: ban.network.to_string(),
        left: ban.until.map(|until| seconds(until.saturating_sub(now))),
        because: ban.because.clone(),
    }
}

fn seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

/// In seconds; no ban is longer than a hundred years.
const LONGEST: u64 = 100 * 366 * 86_400;
