//! Where a client asks.

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Directory,
    NewNonce,
    NewAccount,
    NewOrder,
    RenewalInfo(String),
    Account(usize),
    Order(usize),
    Finalize(usize),
    Authorization(usize),
    Challenge(usize, usize),
    Certificate(usize),
    Nowhere,
}

impl Place {
    pub(crate) fn of(path: &str) -> Self {
        Self::read(path).unwrap_or(Self::Nowhere)
    }

    fn read(path: &str) -> Option<Self> {
        let segments: Vec<&str> = path.strip_prefix('/')?.split('/').collect();
        Some(match segments.as_slice() {
            ["directory"] => Self::Directory,
            ["new-nonce"] => Self::NewNonce,
            ["new-account"] => Self::NewAccount,
            ["new-order"] => Self::NewOrder,
            ["renewal-info", certificate] => Self::RenewalInfo((*certificate).into()),
            ["account", number] => Self::Account(number.parse().ok()?),
            ["order", number] => Self::Order(number.parse().ok()?),
            ["order", number, "finalize"] => Self::Finalize(number.parse().ok()?),
            ["authorization", number] => Self::Authorization(number.parse().ok()?),
            ["challenge", number, which] => Self::Challenge(number.parse().ok()?, which.parse().ok()?),
            ["certificate", number] => Self::Certificate(number.parse().ok()?),
            _ => return None,
        })
    }
}
