//! Many clients in little memory.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::net::{IpAddr, Ipv6Addr};

/// A client, as limits count them: an IPv4 address, or an IPv6 /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Household(u128);

impl Household {
    pub(super) fn of(ip: IpAddr) -> Self {
        Self(match ip {
            IpAddr::V4(ip) => ip.to_ipv6_mapped().to_bits(),
            IpAddr::V6(ip) => ip.to_bits() & u128::MAX << 64,
        })
    }

    pub(super) fn shown(self) -> String {
        match Ipv6Addr::from_bits(self.0).to_canonical() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("{ip}/64"),
        }
    }
}

/// How many there are: exactly up to [`LEAST`], and beyond that within a few per cent.
///
/// Of the hashes of all, the least are kept. When these fill a hundredth of the numbers there are, all fill them a
/// hundred times over (Bar-Yossef et al., 2002: k minimum values); the standard error is one part in the square root
/// of [`LEAST`], 1.6 %.
#[derive(Debug, Default)]
pub(super) struct Crowd {
    least: BTreeSet<u64>,
    hash: RandomState,
}

impl Crowd {
    pub(super) fn add(&mut self, one: Household) {
        let hash = self.hash.hash_one(one);
        if self.least.len() < LEAST {
            self.least.insert(hash);
        } else if self.least.last().is_some_and(|last| hash < *last) && self.least.insert(hash) {
            self.least.pop_last();
        }
    }

    /// How many, and whether that is exact.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is an estimate"
    )]
    pub(super) fn count(&self) -> (u64, bool) {
        match self.least.last() {
            Some(last) if self.least.len() == LEAST => {
                let part = (*last as f64 + 1.0) / (u64::MAX as f64);
                (((LEAST - 1) as f64 / part).round() as u64, false)
            }
            _ => (self.least.len() as u64, true),
        }
    }
}

/// Who comes most often, among however many (Metwally et al., 2005: space saving). Where there are more than
/// [`MOST`], the rarest gives way to a new one, who may have come as often before, and nobody remembers.
#[derive(Debug, Default)]
pub(super) struct Leaders {
    counts: HashMap<Household, Lead>,
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Lead {
    /// How often for certain.
    pub(super) certain: u64,
    /// How often perhaps, besides.
    perhaps: u64,
    /// How often the answer was what he wanted, for certain.
    pub(super) answered: u64,
}

impl Leaders {
    pub(super) fn add(&mut self, one: Household, was_answered: bool) {
        let lead = match self.counts.get_mut(&one) {
            Some(lead) => lead,
            None => {
                let mut lead = Lead::default();
                if self.counts.len() >= MOST
                    && let Some((rarest, times)) = self.rarest()
                {
                    self.counts.remove(&rarest);
                    lead.perhaps = times;
                }
                self.counts.entry(one).or_insert(lead)
            }
        };
        lead.certain += 1;
        lead.answered += u64::from(was_answered);
    }

    /// Those who came most often for certain.
    pub(super) fn first(&self, how_many: usize) -> Vec<(Household, Lead)> {
        let mut all: Vec<_> = self.counts.iter().map(|(one, lead)| (*one, *lead)).collect();
        all.sort_unstable_by_key(|(one, lead)| (std::cmp::Reverse(lead.certain), *one));
        all.truncate(how_many);
        all
    }

    fn rarest(&self) -> Option<(Household, u64)> {
        let counts = self.counts.iter().map(|(one, lead)| (*one, lead.certain + lead.perhaps));
        counts.min_by_key(|(_, times)| *times)
    }
}

const LEAST: usize = 4_096;
const MOST: usize = 1_024;

#[cfg(test)]
mod tests {
    use super::*;

    fn household(number: u32) -> Household {
        Household::of(std::net::Ipv4Addr::from(number).into())
    }

    #[test]
    fn few_are_counted_and_many_are_estimated() {
        for (clients, tolerance) in [(0, 0), (1, 0), (4_000, 0), (200_000, 20_000)] {
            let mut crowd = Crowd::default();
            for number in (0..clients).chain(0..clients) {
                crowd.add(household(number));
            }
            let (count, is_exact) = crowd.count();
            assert_eq!(is_exact, tolerance == 0);
            assert!(count.abs_diff(clients.into()) <= tolerance, "{count} of {clients}"); // six standard errors
            assert!(crowd.least.len() <= LEAST);
        }
    }

    #[test]
    fn who_comes_often_is_found_in_any_crowd() {
        let mut leaders = Leaders::default();
        for number in 0..20_000 {
            leaders.add(household(1_000_000 + number), false);
            if number % 10 == 0 {
                leaders.add(household(7), number % 20 == 0);
            }
        }
        let [(first, lead), ..] = leaders.first(3)[..] else { panic!() };
        assert_eq!(first.shown(), "0.0.0.7");
        assert!((1_900..=2_000).contains(&lead.certain), "{lead:?}");
        assert!((950..=1_000).contains(&lead.answered), "{lead:?}");
        assert!(leaders.counts.len() <= MOST);
    }

    #[test]
    fn a_client_is_an_address_or_a_household() {
        for (ip, shown) in [
            ("192.0.2.1", "192.0.2.1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ] {
            assert_eq!(Household::of(ip.parse::<IpAddr>().unwrap().to_canonical()).shown(), shown);
        }
    }
}
