//! The keys of tickets that all machines of a site have, so that a visitor resumes at whichever he comes to.

use std::time::Duration;

use panoply::shared::Shared;
use panoply::store::StoreError;

use super::tickets::{Hour, LIFETIME, ROTATION, TicketKey, TicketKeys, hour, random_bytes};

/// Takes from the store what other machines have put there: the keys of the hours whose tickets still live, and that
/// of the hour to come, lest a machine seal with a key that others have not seen yet. What is missing, one makes.
///
/// A store that does not answer is no reason not to serve: then each machine seals with keys of its own, and a visitor
/// who comes to another shakes hands anew.
pub(super) async fn exchange(keys: &TicketKeys, shared: &Shared, now: Duration) {
    let this = hour(now);
    let hours = this.saturating_sub(LIFETIME.as_secs() / ROTATION.as_secs())..=this + 1;
    for hour in hours.filter(|hour| !keys.is_shared(*hour)) {
        match take(shared, hour, hour >= this).await {
            Ok(Some(key)) => keys.adopt(key, now),
            Ok(None) => {}
            Err(error) => {
                return tracing::debug!(%error, "the keys of tickets are not shared while the store is down");
            }
        }
    }
}

/// The key of an hour, which is made where it `may_be_made` and is not there. All machines may make one at once: the
/// first that is written stays, and each takes what stands there, so that no two seal with different ones. That was
/// perhaps sealed with keys which this machine has yet to be given: then it waits for those, and changes nothing.
async fn take(shared: &Shared, hour: Hour, may_be_made: bool) -> Result<Option<TicketKey>, StoreError> {
    let name = format!("ticket key {hour}");
    let mut found = shared.read(&name).await?;
    if found.is_none()
        && may_be_made
        && let Ok(fresh) = random_bytes()
    {
        shared.write_first(&name, &*fresh, ROTATION * 2 + LIFETIME).await?;
        found = shared.read(&name).await?;
    }
    Ok(found.and_then(|bytes| TicketKey::of(hour, &bytes)))
}
