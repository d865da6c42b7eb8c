//! The inspector: where does an app stand?
//!
//! [`audit`] asks whether its dependencies have known holes, offline, and says what to do about each.

pub mod audit;
