//! What is done for visitors who ask for a name that has no certificate yet.

use panoply::shared::LONGEST_VALUE;

use super::{Round, certificate_file};
use crate::acme::Name;
use crate::acme::book::{self, Page, Roll};
use crate::acme::demand::MOST_KEPT;
use crate::acme::record::{Book, HOUR, Step};
use crate::acme::trouble::Trouble;

impl Round<'_> {
    /// Settles what needs no order, and says when the first that does can have it.
    pub(super) async fn look_for_visitors(&mut self) -> Result<u64, Trouble> {
        let asked = self.acme.demand.under_way();
        if asked.is_empty() {
            return Ok(u64::MAX);
        }
        let free = Book::load(&self.acme.kept, self.now).await?.free_on_demand_at(self.now);
        let mut first = u64::MAX;
        for name in asked {
            let page = self.page(&name).await?;
            if self.is_shown(&name) && self.acme.on_demand.contains(&name) {
                self.acme.demand.settle(&name, self.now);
                continue;
            }
            match page.record.step(None, self.now) {
                Step::Wait(until) => self.acme.demand.settle(&name, until),
                Step::Ask | Step::Order => first = self.now,
            }
        }
        if first == self.now && free > self.now {
            tracing::warn!(
                in_seconds = free - self.now,
                hint = "what is left is for the names that are there already; it is Let's Encrypt's limit of orders",
                "visitors have asked for as many new names as may be ordered, and more are refused for now"
            );
            self.acme.demand.close(free);
            return Ok(u64::MAX);
        }
        Ok(first)
    }

    /// Enters in the roll who is asked for. What is not in it is not ordered.
    pub(super) async fn enter(&mut self, asked: &[Name]) -> Result<(), Trouble> {
        let fresh: Vec<_> =
            asked.iter().filter(|name| !self.acme.on_demand.contains(name)).cloned().collect();
        for name in &fresh {
            if is_full(&self.acme.on_demand) && !self.make_room().await? {
                tracing::warn!(
                    hint = "take from `on_demand` what nobody needs, or write the names in `hosts`",
                    "no more names are kept that visitors ask for, and new ones are refused"
                );
                self.acme.demand.close(self.now + HOUR);
                break;
            }
            self.acme.on_demand.push(name.clone());
        }
        if fresh.is_empty() {
            return Ok(());
        }
        Roll::save(&self.acme.on_demand, &self.acme.kept).await?;
        self.copy_roll();
        Ok(())
    }

    /// Forgets one name that has no certificate, and of which nothing has to be remembered.
    async fn make_room(&mut self) -> Result<bool, Trouble> {
        for name in self.acme.on_demand.clone() {
            if self.is_shown(&name) || self.acme.demand.is_under_way(&name) {
                continue;
            }
            if Page::load(&self.acme.kept, &name, self.now).await?.record.is_at_rest(self.now) {
                for file in [book::file(&name), certificate_file(&name)] {
                    self.acme.kept.remove(&file).await.map_err(|reason| Trouble::Unkept { reason })?;
                }
                self.acme.held.remove(&name);
                self.acme.on_demand.retain(|one| *one != name);
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether it has a certificate that is valid.
    pub(super) fn is_shown(&self, name: &Name) -> bool {
        self.acme.held.get(name).is_some_and(|held| self.now < held.life().end)
    }

    /// Whether nothing is done for it, because nobody asks any more.
    pub(super) fn rests(&self, name: &Name) -> bool {
        self.acme.on_demand.contains(name) && !self.is_shown(name) && !self.acme.demand.is_under_way(name)
    }

    /// When the authority may be asked about a name.
    pub(super) async fn free_at(&self, name: &Name) -> Result<u64, Trouble> {
        let book = Book::load(&self.acme.kept, self.now).await?;
        let for_a_visitor = self.acme.on_demand.contains(name) && !self.is_shown(name);
        Ok(if for_a_visitor { book.free_on_demand_at(self.now) } else { book.free_at(self.now) })
    }

    /// The roll in this machine's folder, where the store has it.
    pub(super) fn copy_roll(&self) {
        if self.acme.kept.is_shared() {
            let names = self.acme.on_demand.iter().map(Name::to_string).collect();
            let text = serde_json::to_vec(&Roll { names }).unwrap_or_default();
            self.copy(book::ROLL, &text);
        }
    }
}

/// Whether no name more can be kept: in number, or in what a value of the store holds.
fn is_full(names: &[Name]) -> bool {
    let bytes: usize = names.iter().map(|name| name.to_string().len() + 3).sum();
    names.len() >= MOST_KEPT || bytes + 2 * LONGEST_NAME > LONGEST_VALUE
}

/// Of a host, with its quotation marks, in bytes.
const LONGEST_NAME: usize = 256;
