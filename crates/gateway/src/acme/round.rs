//! One time through all names: what is due is done, one after the other.

mod accounts;
mod visitors;

use accounts::Where;
use instant_acme::Account;
use rand::RngExt;
use zeroize::Zeroizing;

use super::book::{Page, Roll};
use super::order::Desk;
use super::record::{ASK_EVERY, Book, Replacement, Step};
use super::tally::Ending;
use super::trouble::Trouble;
use super::{Acme, Issued, Name};

pub(super) struct Round<'a> {
    acme: &'a mut Acme,
    now: u64,
    /// Accounts that were found in this round, the authority's and the one's where is rehearsed.
    account: Option<Account>,
    account_staging: Option<Account>,
}

impl<'a> Round<'a> {
    pub(super) fn new(acme: &'a mut Acme, now: u64) -> Self {
        acme.client.at(now);
        Self { acme, now, account: None, account_staging: None }
    }

    /// Does what is due, and says when something will be.
    pub(super) async fn go(mut self) -> u64 {
        let due = match self.look().await {
            Ok(due) if due > self.now => return due.min(self.next_look()),
            due => due,
        };
        if let Err(trouble) = due {
            return self.unkept(&trouble);
        }
        let claim = match self.acme.kept.claim().await {
            Ok(Some(claim)) => claim,
            Ok(None) => {
                tracing::info!("another process orders, and what it gets is taken from it");
                let waits = !self.acme.demand.under_way().is_empty();
                return self.now + if waits { LOOK / 4 } else { LOOK };
            }
            Err(reason) => return self.unkept(&Trouble::Unkept { reason }),
        };
        let asked = self.acme.demand.under_way();
        let done = self.all_names(&asked).await;
        self.acme.kept.release(claim).await;
        // Those to which it did not come.
        for name in asked {
            self.acme.demand.settle(&name, self.now + LOOK);
        }
        match done {
            Ok(due) => due.min(self.next_look()),
            Err(trouble) => self.unkept(&trouble),
        }
    }

    /// Reads what is kept of all names, and says when the first is due.
    async fn look(&mut self) -> Result<u64, Trouble> {
        let free = Book::load(&self.acme.kept, self.now).await?.free_at(self.now);
        if !self.acme.demand.is_off() {
            let roll = Roll::load(&self.acme.kept).await?;
            let known = self.acme.of_roll(&roll);
            if known != self.acme.on_demand {
                let gone: Vec<_> =
                    self.acme.on_demand.iter().filter(|name| !known.contains(name)).cloned().collect();
                self.acme.on_demand = known;
                gone.iter().for_each(|name| self.let_go(name));
                self.copy_roll();
            }
            self.note_served().await?;
        }
        let mut first = self.look_for_visitors().await?;
        for name in self.acme.all_names() {
            let page = self.page(&name).await?;
            let due = if self.is_over(&page) { self.now } else { self.due(&page, free).await? };
            first = first.min(due);
        }
        Ok(first)
    }

    /// What is kept of one name, and what another machine has got for it since.
    async fn page(&mut self, name: &Name) -> Result<Page, Trouble> {
        let file = certificate_file(name);
        let pem = self.acme.kept.read(&file).await.map_err(|reason| Trouble::Unkept { reason })?;
        if let Some(pem) = pem.map(Zeroizing::new) {
            let before = self.acme.held.get(name).map(|held| held.identity().to_owned());
            self.acme.hold(name, &pem);
            let after = self.acme.held.get(name).map(|held| held.identity().to_owned());
            if self.acme.kept.is_shared() && before != after {
                self.copy(&file, &pem);
            }
        }
        Page::load(&self.acme.kept, name, self.now).await
    }

    async fn step(&self, page: &Page) -> Result<Step, Trouble> {
        if self.rests(&page.name) {
            return Ok(Step::Wait(u64::MAX));
        }
        let held = self.acme.held.get(&page.name);
        let step = page.record.step(held.map(|held| (held.identity(), held.life())), self.now);
        match held.map(Issued::life) {
            Some(life)
                if !matches!(step, Step::Wait(_))
                    && page.record.open.is_none()
                    && self.now < life.end
                    && !self.is_wanted(&page.name, life).await? =>
            {
                Ok(Step::Wait(life.end))
            }
            _ => Ok(step),
        }
    }

    async fn due(&self, page: &Page, free: u64) -> Result<u64, Trouble> {
        Ok(match self.step(page).await? {
            Step::Wait(until) => until,
            Step::Ask | Step::Order => self.now.max(free),
        })
    }

    async fn all_names(&mut self, asked: &[Name]) -> Result<u64, Trouble> {
        self.forget().await?;
        self.enter(asked).await?;
        let mut names = self.acme.all_names();
        // Who has nothing to show goes first; of those, who is not there for a stranger's question alone.
        names.sort_by_key(|name| (self.acme.held.contains_key(name), self.acme.on_demand.contains(name)));
        let mut first = u64::MAX;
        for name in names {
            let mut page = self.page(&name).await?;
            // A rehearsal, the order itself, or a question and the order after it.
            for _ in 0..MOST_STEPS {
                if self.free_at(&name).await? > self.now {
                    break;
                }
                match self.step(&page).await? {
                    Step::Wait(_) => break,
                    Step::Ask => self.ask(&mut page).await?,
                    Step::Order => self.order(&mut page).await?,
                }
                page.save(&self.acme.kept).await?;
                // For as long again: the next name may take its time.
                if !matches!(self.acme.kept.claim_again().await, Ok(true)) {
                    return Ok(self.next_look());
                }
            }
            let free = self.free_at(&name).await?;
            let due = self.due(&page, free).await?;
            if asked.contains(&name) {
                self.acme.demand.settle(&name, if self.is_shown(&name) { self.now } else { due });
            }
            first = first.min(if self.rests(&name) { u64::MAX } else { due });
        }
        Ok(first)
    }

    /// Asks when the authority would like to renew (RFC 9773).
    async fn ask(&mut self, page: &mut Page) -> Result<(), Trouble> {
        let Some(held) = self.acme.held.get(&page.name).cloned() else { return Ok(()) };
        let (life, identity, jitter) = (held.life(), held.identity().to_owned(), self.jitter());
        let known = page.record.renewal.take().filter(|renewal| renewal.of == identity);
        let known = known.unwrap_or_else(|| Replacement::by_life(&identity, life, self.now, jitter));
        page.record.renewal = Some(Replacement { ask_at: self.now + ASK_EVERY, ..known.clone() });
        let Some(asked_by) = held.asked_by() else { return Ok(()) };
        let account = match self.account(Where::Earnest).await {
            Ok(account) => account,
            // An account that was never made is no reason to miss the time of renewal.
            Err(trouble) => return self.failed(page, trouble).await,
        };
        let answer =
            tokio::time::timeout(self.acme.settings.pace.order, account.renewal_info(asked_by)).await;
        let Ok(Ok((info, delay))) = answer else { return Ok(()) };
        let seconds = |time: i64| u64::try_from(time).unwrap_or(0);
        let window = info.suggested_window;
        let window = (seconds(window.start.unix_timestamp()), seconds(window.end.unix_timestamp()));
        let again = self.acme.client.seen().wait.unwrap_or(delay.as_secs());
        let renewal = known.by_window(window, again, life, self.now, jitter);
        if renewal.at <= self.now && known.at > self.now {
            let page_about = info.explanation_url.as_deref().map(super::trouble::shown).unwrap_or_default();
            tracing::warn!(name = %page.name, about = page_about, "the authority wants this certificate replaced now");
        }
        page.record.renewal = Some(renewal);
        Ok(())
    }

    /// Orders, first as a rehearsal where that is to be.
    async fn order(&mut self, page: &mut Page) -> Result<(), Trouble> {
        let held = self.acme.held.get(&page.name).cloned();
        let open = page.record.open.as_ref().map(|open| open.rehearsal);
        let rehearsal = open.unwrap_or_else(|| self.is_to_rehearse(page));
        let place = if rehearsal { Where::Rehearsal } else { Where::Earnest };
        let account = match self.account(place).await {
            Ok(account) => account,
            Err(trouble) => return self.failed(page, trouble).await,
        };
        if open.is_none() {
            let mut book = Book::load(&self.acme.kept, self.now).await?;
            book.begin(self.now);
            book.save(&self.acme.kept).await?;
        }
        let settings = &self.acme.settings;
        let desk = Desk {
            account: &account,
            client: &self.acme.client,
            answers: &self.acme.answers,
            dns: settings.dns.as_ref(),
            kept: &self.acme.kept,
            challenges: &settings.challenges,
            profile: settings.profile.as_deref(),
            pace: settings.pace,
            now: self.now,
        };
        let replaces = held.as_ref().filter(|held| self.now < held.life().end && !rehearsal);
        let asked_for = page.record.issued.clone();
        let ordered = desk.order(page, replaces, rehearsal).await;
        if page.record.issued != asked_for {
            self.count_entry(&page.name).await?;
        }
        match ordered {
            Ok(_) if rehearsal => {
                tracing::info!(name = %page.name, "the rehearsal of an order went well");
                self.acme.tally.count(Ending::Rehearsed);
                page.record.went_well();
                page.record.rehearsed = true;
                self.answered().await
            }
            Ok(issued) => self.issued(page, &issued).await,
            Err(trouble) => self.failed(page, trouble).await,
        }
    }

    /// Whether the first order of a name is a rehearsal: where there is a place for it, and nobody waits for a name of
    /// which all but the name has been tried by another.
    fn is_to_rehearse(&self, page: &Page) -> bool {
        let is_tried = self.acme.on_demand.contains(&page.name) && !self.acme.held.is_empty();
        let is_new = !self.acme.held.contains_key(&page.name) && !page.record.rehearsed;
        is_new && !is_tried && self.acme.settings.staging.is_some()
    }

    async fn issued(&mut self, page: &mut Page, issued: &Issued) -> Result<(), Trouble> {
        let file = certificate_file(&page.name);
        // The order stays open until the certificate is kept: to ask for it once more costs nothing.
        let kept = self.acme.kept.write(&file, issued.pem()).await;
        if self.acme.kept.is_shared() {
            self.copy(&file, issued.pem());
        }
        self.acme.hold(&page.name, issued.pem());
        kept.map_err(|reason| Trouble::Unkept { reason })?;
        let jitter = self.jitter();
        page.record.went_well();
        page.record.renewal = Some(Replacement {
            // What it suggests is asked for at once.
            ask_at: self.now,
            ..Replacement::by_life(issued.identity(), issued.life(), self.now, jitter)
        });
        self.acme.tally.count(Ending::Issued);
        let until = httpdate::fmt_http_date(issued.not_after());
        tracing::info!(name = %page.name, until, "a certificate has come");
        self.answered().await
    }

    /// What is remembered of a failure, and what the log says.
    async fn failed(&mut self, page: &mut Page, trouble: Trouble) -> Result<(), Trouble> {
        let (name, jitter) = (page.name.clone(), self.jitter());
        let ending = match trouble {
            Trouble::Away { reason, wait } => {
                let mut book = Book::load(&self.acme.kept, self.now).await?;
                book.was_away(self.now, wait, jitter);
                let rehearsing =
                    page.record.open.as_ref().is_some_and(|open| open.rehearsal) || self.is_to_rehearse(page);
                // A rehearsal that cannot be held is no reason to have no certificate.
                if self.acme.settings.staging.is_some() && rehearsing && book.away >= MOST_SILENCES {
                    tracing::warn!(%name, "there is no rehearsal: who should hear it does not answer");
                    page.record.open = None;
                    page.record.rehearsed = true;
                }
                book.save(&self.acme.kept).await?;
                tracing::warn!(
                    %name, reason, in_seconds = book.free_at(self.now).saturating_sub(self.now),
                    hint = "let this machine reach the authority: a firewall or the DNS may be in between",
                    "the authority is not to be had, and will be asked again"
                );
                Ending::Away
            }
            Trouble::Limited { reason, wait } => {
                page.record.failed(self.now, Some(wait), jitter);
                self.later(page, &reason, "wait: more tries would be refused too");
                Ending::Limited
            }
            Trouble::Refused { reason, hint } => {
                page.record.open = None;
                page.record.failed(self.now, None, jitter);
                self.later(page, &reason, &hint);
                Ending::Refused
            }
            Trouble::Forgotten { reason } => {
                page.record.open = None;
                page.record.failed(self.now, None, jitter);
                self.later(page, &reason, "nothing has to be done: it is ordered anew");
                Ending::Refused
            }
            Trouble::Stranger { reason } => {
                self.forget_accounts().await?;
                page.record.open = None;
                page.record.failed(self.now, None, jitter);
                self.later(page, &reason, "nothing has to be done: a new account is made");
                Ending::Refused
            }
            Trouble::Replaced => {
                page.record.open = None;
                page.record.plain = true;
                page.record.failed(self.now, None, jitter);
                Ending::Refused
            }
            trouble @ Trouble::Unkept { .. } => return Err(trouble),
        };
        self.acme.tally.count(ending);
        Ok(())
    }

    fn later(&self, page: &Page, reason: &str, hint: &str) {
        let in_seconds = page.record.wait_until.saturating_sub(self.now);
        match self.acme.held.get(&page.name).filter(|held| self.now < held.life().end) {
            Some(held) => tracing::warn!(
                name = %page.name, reason, in_seconds, hint, until = httpdate::fmt_http_date(held.not_after()),
                "there is no new certificate yet, and the old one is shown until it ends"
            ),
            None => {
                tracing::error!(name = %page.name, reason, in_seconds, hint, "there is no certificate yet");
            }
        }
    }

    async fn answered(&self) -> Result<(), Trouble> {
        let mut book = Book::load(&self.acme.kept, self.now).await?;
        if book.away == 0 && book.wait_until == 0 {
            return Ok(());
        }
        book.answered();
        book.save(&self.acme.kept).await
    }

    /// Nothing is asked of the authority while nothing can be remembered.
    fn unkept(&self, trouble: &Trouble) -> u64 {
        if let Trouble::Unkept { reason } = trouble {
            tracing::warn!(
                reason,
                hint = "nothing is ordered meanwhile, and what is held is shown",
                "orders cannot be remembered"
            );
        }
        // Who waits for a name waits in vain.
        self.acme.demand.close(self.now + LOOK);
        self.now + LOOK
    }

    /// When what others have done is looked for.
    fn next_look(&mut self) -> u64 {
        let between = LOOK + self.acme.random.random_range(0..LOOK / 2);
        if self.acme.kept.is_shared() { self.now + between } else { u64::MAX }
    }

    fn copy(&self, file: &str, pem: &[u8]) {
        if let Err(error) = self.acme.kept.write_copy(file, pem) {
            tracing::warn!(%error, "a certificate is in the store alone: a start without it would have none");
        }
    }

    fn jitter(&mut self) -> f64 {
        self.acme.random.random()
    }
}

pub(super) fn certificate_file(name: &Name) -> String {
    format!("{}.pem", name.file())
}

/// In seconds, half more by chance.
const LOOK: u64 = 20;

const MOST_STEPS: usize = 3;

/// Half an hour or so.
const MOST_SILENCES: u32 = 4;
