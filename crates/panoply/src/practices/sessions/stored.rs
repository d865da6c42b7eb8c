//! Sessions in a store: from the cookie to the values, and back.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderValue;

use super::data::Data;
use super::plan::Plan;
use super::state::{BORN, COOKIE, Id, Place, Saved, State};
use super::stored_cookie::StoredCookie;
use super::work::{How, Work, Write, Written};
use super::{Form, NotSaved, Outage, Session, SessionError, Sessions, Unset, Visited, prefixed};
use crate::cookie_header;
use crate::keys::KeyIndex;
use crate::random::random_id;

impl Sessions {
    /// The cookie's name to this visitor.
    pub(super) fn name_for(&self, is_over_https: bool) -> Cow<'_, str> {
        match self.form {
            Form::Own(_) => prefixed(&self.name, &self.attributes, is_over_https),
            Form::Express(_) => Cow::Borrowed(&self.name),
        }
    }

    pub(super) async fn load(&self, visited: &Visited) -> Result<State, SessionError> {
        let usual = self.usual(visited);
        let new = || State::new(Arc::clone(&usual));
        let Some((id, key)) = visited.presented.as_deref().and_then(|value| self.believed(value)) else {
            return Ok(new());
        };
        // express-session leaves it as it is, and logs out whoever still has it when the old secret goes.
        let is_to_sign = !key.is_first() && matches!(self.form, Form::Own(_));
        let id = self.identify(id);
        let text = match self.store.load(&id.key).await {
            Ok(Some(text)) => text,
            Ok(None) => return Ok(new()),
            Err(error) if self.outage == Outage::Anonymous => {
                tracing::warn!(%error, "a visitor is taken for one without a session");
                return Ok(State { is_adrift: true, ..new() });
            }
            Err(error) => return Err(error.into()),
        };
        let (cookie, data, born) = match self.read(&text, &usual) {
            Ok(read) => read,
            Err(error) => {
                tracing::warn!(%error, "a stored session cannot be read, and is taken for none");
                return Ok(new());
            }
        };
        let end = born.zip(self.longest).map(|(born, longest)| born.saturating_add(longest));
        if end.is_some_and(|end| end <= visited.now()) {
            return Ok(State { ended: vec![id], ..new() });
        }
        let place = Place::Stored { id, text: text.into(), is_presented: true };
        let saved = if self.wishes.resave { Saved::Nothing } else { Saved::AsLoaded };
        Ok(State { saved, born, is_to_sign, ..State::loaded(place, cookie, data) })
    }

    /// Does what `plan` says, and what the app asked for on the way.
    pub(super) async fn write(&self, session: &Session, plan: Plan) -> Result<(), SessionError> {
        let Some((work, id)) = self.work(&mut session.state(), plan, session.visited().now())? else {
            return Ok(());
        };
        // What this request changes while it waits is not what it saves.
        let saved = {
            let state = session.state();
            (plan.save && !state.has_left).then(|| state.data.clone())
        };
        let written = work.finish().await?;
        let mut state = session.state();
        state.ended.clear();
        let text = match written {
            Written::Nothing => return Ok(()),
            Written::Gone => {
                tracing::info!("a session that was ended elsewhere stays ended");
                state.place = Place::New;
                state.is_destroyed = true;
                // A value that is inserted now begins a session of its own.
                state.data = Data::default();
                return Ok(());
            }
            Written::Text(text) => {
                state.saved = saved.map_or(Saved::Nothing, Saved::These);
                text
            }
            Written::Merged(text) => {
                if let Some(saved) = saved {
                    let (_, merged, _) = self.read(&text, &state.cookie)?;
                    state.data = state.data.merge(&saved, &merged).0;
                    state.saved = Saved::These(merged);
                }
                text
            }
        };
        let is_presented = matches!(state.place, Place::Stored { is_presented: true, .. });
        state.place = Place::Stored { id, text: text.into(), is_presented };
        Ok(())
    }

    fn work(&self, state: &mut State, plan: Plan, now: Duration) -> Result<Option<(Work, Id)>, SessionError> {
        let ended: Vec<_> = state.ended.iter().map(|id| Arc::clone(&id.key)).collect();
        let work =
            Work { store: self.store.clone(), ended, write: None, owner: None, conflict: self.conflict };
        if !(plan.save || plan.touch) {
            return Ok((!work.ended.is_empty()).then(|| (work, Id::default())));
        }
        StoredCookie::touch(&mut state.cookie, now);
        if self.longest.is_some() {
            state.born.get_or_insert(Duration::from_secs(now.as_secs()));
        }
        let time = self.time_left(state, now);
        let id = state.id().cloned().unwrap_or_else(|| self.identify(&random_id()));
        let text = if plan.save { state.print()? } else { String::new() };
        let how = match &state.place {
            _ if plan.touch => How::Touch,
            Place::Stored { text: was, .. } => How::Replace { was: Arc::clone(was), text },
            Place::New | Place::InCookie { .. } => How::Create { text },
        };
        // What Express began is known here from the first time that it is seen.
        let is_to_be_known = plan.save || matches!(self.form, Form::Express(_));
        let owner = state.user(&self.user_key).filter(|_| is_to_be_known);
        let work = Work {
            write: Some(Write { key: Arc::clone(&id.key), time, how }),
            owner: owner.map(|user| (user, self.longest.unwrap_or(KNOWN).max(time))),
            ..work
        };
        Ok(Some((work, id)))
    }

    pub(super) async fn save(&self, session: &Session) -> Result<(), SessionError> {
        session.state().is_open()?;
        self.give_new_cookie(&mut session.state(), session.visited());
        self.write(session, Plan { save: true, ..Plan::default() }).await?;
        if session.state().is_destroyed { Err(SessionError::Gone) } else { Ok(()) }
    }

    /// What is not in the store yet is touched as it gets there.
    pub(super) async fn touch(&self, session: &Session) -> Result<(), SessionError> {
        if session.state().id().is_none() {
            return Ok(());
        }
        self.write(session, Plan { touch: true, ..Plan::default() }).await
    }

    pub(super) async fn reload(&self, session: &Session) -> Result<(), SessionError> {
        session.state().is_open()?;
        let Some(id) = session.state().id().cloned() else { return Err(SessionError::Gone) };
        let text = self.store.load(&id.key).await?.ok_or(SessionError::Gone)?;
        let (cookie, data, born) = self.read(&text, &self.usual(session.visited()))?;
        session.state().reload(text.into(), cookie, data, born);
        Ok(())
    }

    pub(super) async fn sign_out_but(&self, user: &str, except: Option<&Id>) -> Result<usize, SessionError> {
        Ok(self.store.destroy_all(user, except.map(|id| &*id.key)).await?)
    }

    pub(super) fn largest(&self) -> usize {
        usize::try_from(self.size.in_bytes()).unwrap_or(usize::MAX)
    }

    /// Saves for the last time, and says what the browser is told.
    pub(super) async fn leave(&self, session: &Session) -> Result<Option<HeaderValue>, SessionError> {
        let visited = session.visited();
        let plan = {
            let mut state = session.state();
            if state.is_unset {
                if self.unset == Unset::Destroy {
                    state.renew()?;
                }
                state.is_destroyed = true;
            }
            state.has_left = true;
            self.give_new_cookie(&mut state, visited);
            self.plan(&state, visited)
        };
        match self.write(session, plan).await {
            Err(error) if plan.touch => {
                tracing::warn!(%error, "a session was not touched, and is over sooner");
            }
            // The store may keep it: all the more the browser is to forget it.
            Err(error) if self.not_saved == NotSaved::Log && session.state().is_destroyed => {
                tracing::error!(%error, "a session was not ended in the store");
            }
            written => written?,
        }
        Ok(self.set_cookie(&session.state(), plan, visited))
    }

    /// With a new id goes what is configured now: what the old session had in the store, it had.
    fn give_new_cookie(&self, state: &mut State, visited: &Visited) {
        if state.has_new_id && state.place == Place::New && !state.is_destroyed {
            state.cookie = self.usual(visited);
        }
    }

    fn plan(&self, state: &State, visited: &Visited) -> Plan {
        if state.is_destroyed || state.is_adrift {
            return Plan::default();
        }
        let mut plan = self.wishes.plan(state.facts());
        plan.set_cookie |= state.is_to_sign;
        // Browsers take no Secure cookie in the clear, so nobody could ever come back to what is stored.
        match state.cookie.is_secure() && !visited.is_over_https {
            true if state.place == Place::New => Plan::default(),
            true => Plan { set_cookie: false, ..plan },
            false => plan,
        }
    }

    fn set_cookie(&self, state: &State, plan: Plan, visited: &Visited) -> Option<HeaderValue> {
        let name = self.name_for(visited.is_over_https);
        let line = if state.is_destroyed {
            let is_to_go = visited.presented.is_some() && self.leaves_dead_cookies.is_none();
            let is_kept = state.is_unset && self.unset == Unset::Keep;
            (is_to_go && !is_kept).then(|| state.cookie.deletion(&name))
        } else {
            let value = plan.set_cookie.then(|| state.id().map(|id| self.value(&id.own)));
            value.flatten().map(|value| state.cookie.line(&name, &value, visited.now()))
        };
        HeaderValue::try_from(line?).ok()
    }

    /// The cookie of a new session; made once, where it has no date.
    fn usual(&self, visited: &Visited) -> Arc<StoredCookie> {
        let new = || StoredCookie::new(&self.attributes, visited.is_over_https, visited.now());
        if self.attributes.max_age.is_some() {
            return Arc::new(new());
        }
        let [in_the_clear, over_https] = &self.usual;
        let usual = if visited.is_over_https { over_https } else { in_the_clear };
        Arc::clone(usual.get_or_init(|| Arc::new(new().printed())))
    }

    /// A stored text: its cookie, its values, and when it began. An error where it is no session: no JSON, or
    /// without its cookie.
    fn read(&self, text: &str, usual: &Arc<StoredCookie>) -> Result<Read, serde_json::Error> {
        let mut data: Data = serde_json::from_str(text)?;
        let cookie = data.remove(COOKIE).ok_or_else(|| serde::de::Error::missing_field(COOKIE))?;
        let born = self.longest.and_then(|_| data.remove(BORN)?.parse().ok());
        Ok((StoredCookie::read(&cookie, usual)?, data, born.map(Duration::from_secs)))
    }

    /// The id in a cookie's value, if it is one of ours, and which key says so.
    fn believed<'v>(&self, value: &'v str) -> Option<(&'v str, KeyIndex)> {
        match &self.form {
            Form::Own(signature) => {
                let (id, mac) = value.split_once('.')?;
                signature.verify(id.as_bytes(), mac.as_bytes()).map(|key| (id, key))
            }
            Form::Express(keys) => {
                let signed = keys.unsign_cookie(value.strip_prefix("s:")?)?;
                (!signed.0.is_empty()).then_some(signed)
            }
        }
    }

    /// The value of the cookie, as it stands in the line.
    fn value(&self, id: &str) -> String {
        match &self.form {
            Form::Own(signature) => format!("{id}.{}", signature.sign(id.as_bytes())),
            Form::Express(keys) => {
                cookie_header::encode_component(&format!("s:{}", keys.sign_cookie(id))).into_owned()
            }
        }
    }

    /// The store knows a hash: who reads it comes into no session.
    fn identify(&self, id: &str) -> Id {
        let own = Arc::from(id);
        let key = match self.form {
            Form::Own(_) => URL_SAFE_NO_PAD.encode(digest(&SHA256, id.as_bytes())).into(),
            Form::Express(_) => Arc::clone(&own),
        };
        Id { own, key }
    }

    fn time_left(&self, state: &State, now: Duration) -> Duration {
        let time = state.cookie.lifetime().unwrap_or(self.idle);
        match (state.born, self.longest) {
            (Some(born), Some(longest)) => time.min(born.saturating_add(longest).saturating_sub(now)),
            _ => time,
        }
    }
}

/// What stands in a stored text.
type Read = (Arc<StoredCookie>, Data, Option<Duration>);

/// As long as browsers keep any cookie: for so long a session without an end of its own is known as its user's.
const KNOWN: Duration = Duration::from_secs(400 * 86_400);
