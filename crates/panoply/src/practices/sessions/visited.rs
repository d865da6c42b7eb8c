use std::sync::Arc;
use std::time::Duration;

use crate::World;

/// What a request says of its visitor's session.
#[derive(Clone)]
pub(super) struct Visited {
    pub(super) world: Arc<World>,
    pub(super) is_over_https: bool,
    /// The value of the session's cookie, as yet believed by nobody.
    pub(super) presented: Option<String>,
    /// The value of the cookie that signs it, in the form of cookie-session.
    pub(super) signature: Option<String>,
}

impl Visited {
    pub(super) fn now(&self) -> Duration {
        self.world.unix_time()
    }
}
