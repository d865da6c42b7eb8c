//! The account at an authority: found, or made under a key that is written down before.

use instant_acme::{Account, AccountCredentials, HttpClient, Key};
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use zeroize::Zeroizing;

use super::Round;
use crate::acme::Kept;
use crate::acme::binding::Binding;
use crate::acme::trouble::Trouble;

impl Round<'_> {
    /// The account, found or made.
    pub(super) async fn account(&mut self, place: Where) -> Result<Account, Trouble> {
        let known = match place {
            Where::Earnest => &self.account,
            Where::Rehearsal => &self.account_staging,
        };
        if let Some(account) = known {
            return Ok(account.clone());
        }
        let account = self.open_account(place).await?;
        match place {
            Where::Earnest => self.account = Some(account.clone()),
            Where::Rehearsal => self.account_staging = Some(account.clone()),
        }
        Ok(account)
    }

    async fn open_account(&self, place: Where) -> Result<Account, Trouble> {
        let (kept, directory) = self.place(place);
        let of = |error| Trouble::of(error, self.acme.client.seen());
        let client = self.acme.client.clone();
        let text = kept.read(ACCOUNT).await.map_err(|reason| Trouble::Unkept { reason })?.map(Zeroizing::new);
        if let Some(credentials) =
            text.and_then(|text| serde_json::from_slice::<AccountCredentials>(&text).ok())
        {
            let builder = Account::builder_with_http(Box::new(client));
            return builder.from_credentials(credentials).await.map_err(of);
        }
        let contact = format!("mailto:{}", self.acme.settings.contact);
        let (key, der) = account_key(kept).await?;
        let client: Box<dyn HttpClient> = match self.acme.settings.external_account.clone() {
            Some(customer) => {
                Box::new(Binding::new(client, contact.clone(), customer, der.secret_der()).map_err(of)?)
            }
            None => Box::new(client),
        };
        let builder = Account::builder_with_http(client);
        let (account, credentials) =
            builder.create_from_key((key, der), directory.to_owned()).await.map_err(of)?;
        account.update_contacts(&[&contact]).await.map_err(of)?;
        let text = serde_json::to_vec(&credentials)
            .map_err(|error| Trouble::Unkept { reason: error.to_string() })?;
        kept.write(ACCOUNT, &Zeroizing::new(text)).await.map_err(|reason| Trouble::Unkept { reason })?;
        tracing::info!(
            directory,
            "an account was made at the authority, whose terms of service are accepted with that"
        );
        Ok(account)
    }

    pub(super) async fn forget_accounts(&mut self) -> Result<(), Trouble> {
        for place in [Where::Earnest, Where::Rehearsal] {
            let (kept, _) = self.place(place);
            for file in [ACCOUNT, ACCOUNT_KEY] {
                kept.remove(file).await.map_err(|reason| Trouble::Unkept { reason })?;
            }
        }
        (self.account, self.account_staging) = (None, None);
        Ok(())
    }

    fn place(&self, place: Where) -> (&Kept, &str) {
        match (place, &self.acme.kept_staging, &self.acme.settings.staging) {
            (Where::Rehearsal, Some(kept), Some(directory)) => (kept, directory),
            _ => (&self.acme.kept, &self.acme.settings.directory),
        }
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Where {
    Earnest,
    Rehearsal,
}

/// The key of an account that is about to be made. It is written down before the authority hears of it: who asks again
/// with the same key is given the same account (RFC 8555 §7.3.1).
async fn account_key(kept: &Kept) -> Result<(Key, PrivateKeyDer<'static>), Trouble> {
    let unkept = |reason| Trouble::Unkept { reason };
    let known = kept.read(ACCOUNT_KEY).await.map_err(unkept)?.map(Zeroizing::new);
    if let Some(der) = known.map(|der| PrivatePkcs8KeyDer::from(der.to_vec()))
        && let Ok(key) = Key::from_pkcs8_der(der.clone_key())
    {
        return Ok((key, der.into()));
    }
    let (key, der) = Key::generate_pkcs8()
        .map_err(|_| Trouble::Unkept { reason: "the system gives no random numbers".to_owned() })?;
    kept.write(ACCOUNT_KEY, der.secret_pkcs8_der()).await.map_err(unkept)?;
    Ok((key, der.into()))
}

const ACCOUNT: &str = "account.json";
const ACCOUNT_KEY: &str = "account.key";
