//! Whom an operator keeps out, and whom a practice does.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::StatusCode;

use crate::counters::{Counters, Limiter, MOST_LISTED};
use crate::store::StoreError;
use crate::{Client, Evidence, Network, Practice, Rejection, SettingError, World};

/// Networks that an operator keeps out, at most [`MOST_LISTED`].
///
/// [`rate_limit`](crate::practices::rate_limit) asks right after its list of exempt clients, so that these are never
/// banned. Where nobody is, that costs one read of memory; else a look-up for each length of prefix there is.
#[derive(Default)]
pub struct Bans {
    any: AtomicBool,
    set: RwLock<Arc<Set>>,
}

/// One network that is kept out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ban {
    /// Who.
    pub network: Network,
    /// Until when, since the beginning of 1970 UTC; `None`: until somebody lifts it.
    pub until: Option<Duration>,
    /// Why, for operators alone.
    pub because: String,
}

impl Ban {
    /// Keeps `network` out. Of `because`, the first [`LONGEST_REASON`] bytes are kept, on one line.
    #[must_use]
    pub fn new(network: Network, until: Option<Duration>, because: &str) -> Self {
        let mut end = because.len().min(LONGEST_REASON);
        while !because.is_char_boundary(end) {
            end -= 1;
        }
        let because = because.get(..end).unwrap_or_default().trim().replace(char::is_control, " ");
        Self { network, until, because }
    }

    /// Whether `who`, an address or a network, is in it or holds it.
    #[must_use]
    pub fn concerns(&self, who: &str) -> bool {
        who.parse::<Network>().is_ok_and(|who| self.network.overlaps(who))
    }

    /// Whether its time is over at `now`, since the beginning of 1970 UTC.
    #[must_use]
    pub fn is_over(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

impl Bans {
    /// Keeps a network out, in the place of an older ban of the same.
    ///
    /// # Errors
    /// When there are too many.
    pub fn add(&self, ban: Ban) -> Result<(), SettingError> {
        let mut all = self.all();
        all.retain(|known| known.network != ban.network);
        if all.len() >= MOST_LISTED {
            return Err(SettingError::new(
                format!("there are {MOST_LISTED} bans already"),
                "lift some, or ban a larger network; a firewall is the place for long lists",
            ));
        }
        all.push(ban);
        self.replace(all);
        Ok(())
    }

    /// Lets a network in again, and says whether it was kept out.
    pub fn lift(&self, network: Network) -> bool {
        let mut all = self.all();
        let before = all.len();
        all.retain(|known| known.network != network);
        let lifted = all.len() < before;
        self.replace(all);
        lifted
    }

    /// All of them, those too that are over and were not cleared away yet.
    #[must_use]
    pub fn all(&self) -> Vec<Ban> {
        let mut all: Vec<Ban> = self.set().bans.values().cloned().collect();
        all.sort_by_key(|ban| ban.network.to_string());
        all
    }

    /// Keeps these out and nobody else: the first [`MOST_LISTED`] of them.
    pub fn replace(&self, bans: impl IntoIterator<Item = Ban>) {
        let set = Set::of(bans);
        let any = !set.bans.is_empty();
        *self.set.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(set);
        self.any.store(any, Ordering::Release);
    }

    /// The ban that holds `ip` at `now`, the narrowest if there are several.
    #[must_use]
    pub fn holding(&self, ip: IpAddr, now: Duration) -> Option<Ban> {
        self.set().holding(ip, now).cloned()
    }

    /// Refuses who is kept out.
    pub(crate) fn admit(&self, client: &Client, world: &World) -> Result<(), Rejection> {
        if !self.any.load(Ordering::Acquire) {
            return Ok(());
        }
        match self.set().holding(client.ip(), world.unix_time()) {
            None => Ok(()),
            Some(ban) => {
                let evidence =
                    Evidence { rule: RULE.into(), key: ban.network.to_string(), count: 0, points: 0 };
                let reason = format!("banned by an operator: {}", ban.because);
                Err(Rejection::by(Practice::RateLimit, StatusCode::FORBIDDEN, reason).evidence(evidence))
            }
        }
    }

    /// The lock is held for the copy of a pointer; whoever changes the set builds it before.
    fn set(&self) -> Arc<Set> {
        Arc::clone(&self.set.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Bans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bans").field("any", &self.any).finish_non_exhaustive()
    }
}

#[derive(Default)]
struct Set {
    bans: HashMap<Network, Ban>,
    /// The lengths of prefix that there are, the longest first.
    prefixes: Vec<u8>,
}

impl Set {
    fn of(bans: impl IntoIterator<Item = Ban>) -> Self {
        let bans = bans.into_iter().take(MOST_LISTED);
        let bans: HashMap<_, _> = bans.map(|ban| (ban.network, ban)).collect();
        let mut prefixes: Vec<u8> = bans.keys().map(Network::prefix).collect();
        prefixes.sort_unstable_by(|one, other| other.cmp(one));
        prefixes.dedup();
        Self { bans, prefixes }
    }

    fn holding(&self, ip: IpAddr, now: Duration) -> Option<&Ban> {
        let around = self.prefixes.iter().filter_map(|prefix| Network::around(ip, *prefix));
        around.filter_map(|network| self.bans.get(&network)).find(|ban| !ban.is_over(now))
    }
}

/// What a practice counts by key, where who is over is kept out: see [`Shield::limiters`](crate::Shield::limiters).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counted {
    /// Who counts.
    pub practice: Practice,
    /// By which rule, as its evidence and its settings name it.
    pub rule: String,
    /// Where the counts are, and how many points there are.
    pub limiter: Limiter,
}

impl Counted {
    /// Lets `who` in again: all whom it [concerns](KeptOut::concerns), and the count of a key that is `who`, or the
    /// address of `who`, also where it kept nobody out yet. What was forgotten comes back.
    ///
    /// # Errors
    /// When the counters fail; something may then have been forgotten.
    pub async fn lift(all: &[Self], counters: &dyn Counters, who: &str) -> Result<Vec<KeptOut>, StoreError> {
        let mut lifted = KeptOut::by(all, counters).await?;
        lifted.retain(|kept_out| kept_out.concerns(who));
        let mut keys: Vec<String> = lifted.iter().map(|kept_out| kept_out.key.clone()).collect();
        keys.push(who.to_owned());
        if let Ok(network) = who.parse::<Network>() {
            keys.extend(
                [Some(network), network.of_client()].into_iter().flatten().map(|key| key.to_string()),
            );
        }
        keys.sort_unstable();
        keys.dedup();
        for Self { practice, rule, limiter } in all {
            for key in &keys {
                let standing = limiter.get(counters, key).await?;
                let is_listed = |one: &KeptOut| one.is(*practice, rule, key);
                if limiter.delete(counters, key).await?
                    && let Some(standing) = standing
                    && !lifted.iter().any(is_listed)
                {
                    let (count, left) = (standing.consumed(), standing.left());
                    let (rule, key) = (rule.clone(), key.clone());
                    lifted.push(KeptOut { practice: *practice, rule, key, count, left });
                }
            }
        }
        Ok(lifted)
    }

    /// Some counts only say how often something was: they keep nobody out.
    fn keeps_out(&self) -> bool {
        self.limiter.rule().points() < u32::MAX
    }
}

/// Who is kept out by a count of a practice, and not by an operator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptOut {
    /// Who keeps him out.
    pub practice: Practice,
    /// By which rule.
    pub rule: String,
    /// Who or what was counted; where it was a user name, its hash.
    pub key: String,
    /// What was counted.
    pub count: i64,
    /// How long until it is forgotten; `None` is never.
    pub left: Option<Duration>,
}

impl KeptOut {
    /// All whom these keep out now, at most [`MOST_LISTED`] each.
    ///
    /// # Errors
    /// When the counters fail.
    pub async fn by(counted: &[Counted], counters: &dyn Counters) -> Result<Vec<Self>, StoreError> {
        let mut all = Vec::new();
        for Counted { practice, rule, limiter } in counted.iter().filter(|counted| counted.keeps_out()) {
            let over = limiter.over(counters).await?;
            all.extend(over.into_iter().map(|(key, standing)| Self {
                practice: *practice,
                rule: rule.clone(),
                key,
                count: standing.consumed(),
                left: standing.left(),
            }));
        }
        Ok(all)
    }

    /// Whether `who` is its key, or an address or a network that the key holds, or that holds the key's.
    ///
    /// ```
    /// use panoply::{KeptOut, Practice};
    ///
    /// let kept_out = KeptOut {
    ///     practice: Practice::BruteForce,
    ///     rule: "by_username_and_ip".to_owned(),
    ///     key: "ann_192.0.2.1".to_owned(),
    ///     count: 11,
    ///     left: None,
    /// };
    /// assert!(kept_out.concerns("ann_192.0.2.1") && kept_out.concerns("192.0.2.1"));
    /// assert!(kept_out.concerns("192.0.2.0/24") && !kept_out.concerns("ann"));
    /// ```
    #[must_use]
    pub fn concerns(&self, who: &str) -> bool {
        let of_key = || {
            let tail = self.key.rsplit_once('_').map_or("", |(_, tail)| tail);
            [self.key.as_str(), tail].into_iter().find_map(|part| part.parse::<Network>().ok())
        };
        self.key == who
            || who.parse::<Network>().is_ok_and(|who| of_key().is_some_and(|key| key.overlaps(who)))
    }

    fn is(&self, practice: Practice, rule: &str, key: &str) -> bool {
        self.practice == practice && self.rule == rule && self.key == key
    }
}

/// What [`Evidence`] calls a ban.
const RULE: &str = "ban";

/// In bytes: with its network it is at most the name of a count, which stores keep in 255.
pub const LONGEST_REASON: usize = 160;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Clock;

    fn ban(network: &str, until: Option<u64>) -> Ban {
        Ban::new(network.parse().unwrap(), until.map(Duration::from_secs), "spam")
    }

    #[test]
    fn the_narrowest_ban_that_is_not_over_holds() {
        let bans = Bans::default();
        for (network, until) in [
            ("192.0.2.0/24", Some(100)),
            ("192.0.2.7", Some(50)),
            ("2001:db8::/32", None),
            ("198.51.100.0/24", Some(10)),
        ] {
            bans.add(ban(network, until)).unwrap();
        }
        for (ip, now, holds) in [
            ("192.0.2.7", 49, Some("192.0.2.7")),
            ("192.0.2.7", 50, Some("192.0.2.0/24")),
            ("192.0.2.7", 100, None),
            ("::ffff:192.0.2.9", 0, Some("192.0.2.0/24")),
            ("192.0.3.1", 0, None),
            ("2001:db8:1::1", 9_999_999, Some("2001:db8::/32")),
            ("2001:db9::1", 0, None),
            ("198.51.100.1", 10, None),
        ] {
            let held = bans.holding(ip.parse().unwrap(), Duration::from_secs(now));
            assert_eq!(held.map(|ban| ban.network.to_string()).as_deref(), holds, "{ip} at {now}");
        }
        assert!(bans.lift("192.0.2.0/24".parse().unwrap()) && !bans.lift("192.0.2.0/24".parse().unwrap()));
        assert_eq!(bans.holding("192.0.2.9".parse().unwrap(), Duration::ZERO), None);
    }

    #[test]
    fn a_ban_refuses_with_what_it_rests_on() {
        let world = World::new(Clock::manual());
        let connection = crate::Connection::tls(([192, 0, 2, 7], 443).into());
        let (client, _) = crate::TrustedProxies::default().client(&connection, &http::HeaderMap::new());
        assert!(world.bans.admit(&client, &world).is_ok());
        world.bans.add(ban("192.0.2.0/24", None)).unwrap();
        let rejection = world.bans.admit(&client, &world).unwrap_err();
        assert_eq!(rejection.status(), StatusCode::FORBIDDEN);
        let evidence = rejection.rests_on().unwrap();
        assert_eq!((&*evidence.rule, &*evidence.key), ("ban", "192.0.2.0/24"));
    }

    #[test]
    fn there_is_an_end_to_bans_and_to_their_reasons() {
        let bans = Bans::default();
        let at = |number: usize| ban(&format!("10.0.{}.{}", number / 256, number % 256), None);
        (0..MOST_LISTED).for_each(|number| bans.add(at(number)).unwrap());
        assert!(bans.add(at(MOST_LISTED)).is_err());
        assert!(bans.add(at(0)).is_ok(), "the same one again");
        let because = Ban::new(at(0).network, None, &"ü\n".repeat(500)).because;
        assert!(because.len() <= LONGEST_REASON && because.starts_with("ü ü"), "{because}");
    }

    #[tokio::test]
    async fn to_let_in_is_to_forget_every_count_of_the_key_and_of_no_other() {
        let counters = crate::counters::Memory::with_clock(Clock::manual());
        let minute = Duration::from_secs(60);
        let counted = |rule: &str, points| Counted {
            practice: Practice::BruteForce,
            rule: rule.to_owned(),
            limiter: Limiter::new(rule, points, minute),
        };
        let all = [counted("by_ip", 1), counted("by_username_and_ip", 1), counted("blocks", u32::MAX)];
        let [by_ip, by_pair, blocks] = &all;
        for (counted, key, times) in [
            (by_ip, "192.0.2.1", 1), // not over
            (by_ip, "2001:db8::/64", 1),
            (by_pair, "ann_192.0.2.1", 2),
            (blocks, "ann_192.0.2.1", 1),
            (by_pair, "bob_192.0.2.2", 2),
        ] {
            for _ in 0..times {
                let _ = counted.limiter.consume(&counters, key, 1).await.unwrap();
            }
        }
        let lift = async |who| {
            let lifted = Counted::lift(&all, &counters, who).await.unwrap();
            lifted.into_iter().map(|one| format!("{} {}", one.rule, one.key)).collect::<Vec<_>>()
        };
        assert_eq!(
            lift("192.0.2.1").await,
            ["by_username_and_ip ann_192.0.2.1", "by_ip 192.0.2.1", "blocks ann_192.0.2.1"]
        );
        assert_eq!(lift("192.0.2.1").await, [""; 0]);
        assert_eq!(lift("2001:db8::7").await, ["by_ip 2001:db8::/64"]);
        let left = KeptOut::by(&all, &counters).await.unwrap();
        assert_eq!(left.iter().map(|one| &*one.key).collect::<Vec<_>>(), ["bob_192.0.2.2"]);
    }

    #[test]
    fn a_key_is_found_by_what_it_holds() {
        for (key, who, found) in [
            ("192.0.2.1", "192.0.2.1", true),
            ("2001:db8::/64", "2001:db8::7", true),
            ("2001:db8::/64", "2001:db8:0:1::7", false),
            ("4f2a_2001:db8::/64", "2001:db8::7", true),
            ("ann", "ann", true),
            ("ann", "192.0.2.1", false),
            ("ann_192.0.2.1", "192.0.2.11", false),
            ("", "", true),
        ] {
            let kept_out = KeptOut {
                practice: Practice::RateLimit,
                rule: String::new(),
                key: key.to_owned(),
                count: 1,
                left: None,
            };
            assert_eq!(kept_out.concerns(who), found, "{key} {who}");
        }
    }
}
