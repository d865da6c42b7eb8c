//! What is done for visitors who ask for a name that has no certificate yet.

use panoply::shared::LONGEST_VALUE;

use super::{Round, certificate_file};
use crate::acme::book::{self, Page, Roll};
use crate::acme::demand::MOST_KEPT;
use crate::acme::record::{Book, DAY, HOUR, Life, Step};
use crate::acme::trouble::Trouble;
use crate::acme::{Issued, Name};

impl Round<'_> {
    /// Settles what needs no order, and says when the first that does can have it.
    pub(super) async fn look_for_visitors(&mut self) -> Result<u64, Trouble> {
        let asked = self.acme.demand.under_way();
        if asked.is_empty() {
            return Ok(u64::MAX);
        }
        let book = Book::load(&self.acme.kept, self.now).await?;
        let free = book.free_on_demand_at(self.now);
        let mut first = u64::MAX;
        for name in asked {
            let page = self.page(&name).await?;
            if self.is_shown(&name) && self.acme.on_demand.contains(&name) {
                self.acme.demand.settle(&name, self.now);
                continue;
            }
            let entry = self.entry(&name);
            let most = self.acme.settings.on_demand_weekly;
            match page.record.step(None, self.now) {
                Step::Wait(until) => self.acme.demand.settle(&name, until),
                Step::Ask | Step::Order
                    if page.record.open.is_none()
                        && book.free_to_enter_at(&entry, most, self.now) > self.now =>
                {
                    let until = book.free_to_enter_at(&entry, most, self.now);
                    tracing::warn!(
                        %name, entry, most, in_seconds = until - self.now,
                        hint = "Let's Encrypt gives 50 a week for one domain; where the authority gives you more, raise \
                                `on_demand_weekly`",
                        "visitors have asked for as many new names as one entry of `on_demand` may have in a week"
                    );
                    self.acme.demand.settle(&name, until);
                }
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

    /// Forgets the names that nobody came back to: their certificates have ended, or there never was one.
    pub(super) async fn forget(&mut self) -> Result<(), Trouble> {
        let before = self.acme.on_demand.len();
        for name in self.acme.on_demand.clone() {
            if self.rests(&name) && self.is_over(&Page::load(&self.acme.kept, &name, self.now).await?) {
                self.strike(&name).await?;
            }
        }
        if self.acme.on_demand.len() == before {
            return Ok(());
        }
        Roll::save(&self.acme.on_demand, &self.acme.kept).await?;
        self.copy_roll();
        Ok(())
    }

    /// Forgets one name more, of which nothing has to be remembered: one to which nobody came back since its certificate
    /// was ordered. Without that a stranger's names would be in the way for as long as their certificates are valid.
    async fn make_room(&mut self) -> Result<bool, Trouble> {
        for name in self.acme.on_demand.clone() {
            let Some(life) = self.acme.held.get(&name).map(Issued::life) else { continue };
            let page = Page::load(&self.acme.kept, &name, self.now).await?;
            if page.record.is_at_rest(self.now) && !self.is_wanted(&name, life).await? {
                self.strike(&name).await?;
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn strike(&mut self, name: &Name) -> Result<(), Trouble> {
        for file in [book::file(name), certificate_file(name), served_file(name)] {
            self.acme.kept.remove(&file).await.map_err(|reason| Trouble::Unkept { reason })?;
        }
        self.acme.on_demand.retain(|one| one != name);
        self.let_go(name);
        tracing::info!(%name, "a name is forgotten that nobody came back to");
        Ok(())
    }

    /// Shows its certificate no more.
    pub(super) fn let_go(&mut self, name: &Name) {
        self.acme.served.remove(name);
        if self.acme.held.remove(name).is_some() {
            (self.acme.publish)(name, None);
        }
        if let Err(error) = self.acme.kept.remove_copy(&certificate_file(name)) {
            tracing::debug!(%name, error, "a certificate is left lying about");
        }
    }

    /// Whether nothing is there for it, nobody asks, and nothing of it has to be remembered.
    pub(super) fn is_over(&self, page: &Page) -> bool {
        self.rests(&page.name) && page.record.is_at_rest(self.now)
    }

    /// Notes who was shown a certificate, once a day for each name: in the store, where other machines find it, and not
    /// with what is remembered of orders, which is for whoever has the right to order.
    pub(super) async fn note_served(&mut self) -> Result<(), Trouble> {
        for (name, at) in self.acme.demand.take_served() {
            let is_news = self.acme.served.get(&name).is_none_or(|noted| at.abs_diff(*noted) >= DAY / 2);
            if is_news && self.acme.on_demand.contains(&name) {
                let written = self.acme.kept.write(&served_file(&name), at.to_string().as_bytes()).await;
                written.map_err(|reason| Trouble::Unkept { reason })?;
                self.acme.served.insert(name, at);
            }
        }
        Ok(())
    }

    /// Whether a name's certificate is to be replaced by another: always, unless a visitor began it. Then somebody has to
    /// have come back, a day after or later, since who began it is shown it too.
    pub(super) async fn is_wanted(&self, name: &Name, life: Life) -> Result<bool, Trouble> {
        if !self.acme.on_demand.contains(name) {
            return Ok(true);
        }
        let noted = self.acme.kept.read(&served_file(name)).await;
        let noted = noted.map_err(|reason| Trouble::Unkept { reason })?;
        let at = noted.and_then(|text| std::str::from_utf8(&text).ok()?.parse::<u64>().ok());
        let again = life.begin + (life.end.saturating_sub(life.begin) / 4).min(DAY);
        Ok(at.is_some_and(|at| at >= again))
    }

    /// Counts a certificate that was asked for, if a visitor began it.
    pub(super) async fn count_entry(&self, name: &Name) -> Result<(), Trouble> {
        if !self.acme.on_demand.contains(name) || self.is_shown(name) {
            return Ok(());
        }
        let mut book = Book::load(&self.acme.kept, self.now).await?;
        book.enter(self.entry(name), self.now);
        book.save(&self.acme.kept).await
    }

    /// What allows it: names below one wildcard have one registered domain, by which Let's Encrypt counts.
    fn entry(&self, name: &Name) -> String {
        let host = name.to_string();
        let entry = self.acme.settings.on_demand.iter().find(|entry| entry.covers(&host));
        entry.map_or(host, Name::to_string)
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

/// When a visitor was shown its certificate.
fn served_file(name: &Name) -> String {
    format!("{}.served", name.file())
}

/// Whether no name more can be kept: in number, or in what a value of the store holds.
fn is_full(names: &[Name]) -> bool {
    let bytes: usize = names.iter().map(|name| name.to_string().len() + 3).sum();
    names.len() >= MOST_KEPT || bytes + 2 * LONGEST_NAME > LONGEST_VALUE
}

/// Of a host, with its quotation marks, in bytes.
const LONGEST_NAME: usize = 256;
