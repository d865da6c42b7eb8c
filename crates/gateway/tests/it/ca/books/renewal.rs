//! When to renew, and what replaces what (RFC 9773).

use std::time::{Duration, SystemTime};

use serde_json::json;

use super::{Books, Reply};
use crate::ca::clock;
use crate::ca::issuer::Issued;
use crate::ca::order::{Name, Status};
use crate::ca::problem::Problem;

impl Books {
    pub(super) fn renewal_info(&self, certificate: &str) -> Result<Reply, Problem> {
        let retry_after = self.rules.renewal_info.ok_or_else(Problem::not_found)?;
        let issued = self.issued(certificate).ok_or_else(Problem::not_found)?;
        let (start, end) = self
            .rules
            .windows
            .get(certificate)
            .copied()
            .or(self.rules.window)
            .unwrap_or_else(|| window(issued));
        let window = json!({ "start": clock::text(start), "end": clock::text(end) });
        Ok(Reply::json(200, &json!({ "suggestedWindow": window }))
            .with("retry-after", retry_after.as_secs().to_string()))
    }

    /// RFC 9773 §5: of this account, for one of these names, and not replaced by another order that may yet succeed.
    pub(super) fn check_replaced(
        &self,
        account: usize,
        certificate: &str,
        names: &[Name],
        now: SystemTime,
    ) -> Result<(), Problem> {
        let issued = self.issued(certificate).filter(|issued| issued.account == account);
        let issued = issued.ok_or_else(|| Problem::malformed(format!("`{certificate}` is none of yours")))?;
        if !issued.names.iter().any(|name| names.contains(name)) {
            return Err(Problem::malformed("what replaces a certificate has a name of it"));
        }
        let replaced = self.orders.iter().any(|order| {
            order.replaces.as_deref() == Some(certificate)
                && order.status(&self.authorizations, now) != Status::Invalid
        });
        match replaced {
            true => Err(Problem::new(409, "alreadyReplaced", "another order replaces this certificate")),
            false => Ok(()),
        }
    }

    fn issued(&self, certificate: &str) -> Option<&Issued> {
        self.seen.certificates.iter().find(|issued| issued.identifier == certificate)
    }
}

/// Begins at two thirds of life, and is two days long or a tenth of life.
fn window(issued: &Issued) -> (SystemTime, SystemTime) {
    let life = issued.not_after.duration_since(issued.not_before).expect("it begins before it ends");
    let start = issued.not_before + life * 2 / 3;
    (start, start + (life / 10).min(Duration::from_secs(2 * 24 * 3_600)))
}
