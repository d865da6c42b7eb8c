//! A server that stands in front of any HTTP app with panoply's [`Shield`](panoply::Shield).
//!
//! [`Config`] is what `panoply.toml` says, [`Gateway::open`] makes it real, [`Gateway::start`] serves. The gateway
//! knows no practice by name: what protects is the shield's, what moves bytes is its own.

mod access_log;
#[doc(hidden)]
pub mod acme;
pub mod admin;
mod bans;
mod clock;
pub mod config;
mod connection;
mod counting;
mod cuts;
mod debts;
#[doc(hidden)]
pub mod denied;
pub mod dependencies;
mod error;
mod floods;
mod forwarded;
mod framing;
mod gateway;
mod heartbeat;
mod holders;
mod hop;
pub mod inventory;
mod keys;
mod lasting;
mod life;
mod listen;
mod maintenance;
mod metrics;
mod notify;
mod pace;
mod parts;
mod pieces;
mod places;
mod privileges;
mod progress;
mod proxies;
mod proxy;
#[doc(hidden)]
pub mod proxy_protocol;
mod redirect;
pub mod reload;
mod renewal;
pub mod replay;
mod route;
mod running;
mod sandbox;
pub mod secret;
mod served;
mod shared;
mod singleton;
mod state;
pub mod supervise;
mod symptom;
pub mod takeover;
mod tap;
mod tls;
mod tunnel;
mod upstream;
#[doc(hidden)]
pub mod websocket;
mod worker;

pub use config::Config;
pub use error::GatewayError;
pub use gateway::Gateway;
pub use heartbeat::Heartbeats;
pub use listen::Given;
pub use notify::Notices;
pub use running::Running;
pub use state::folder as state_folder;
pub use tls::{Certificate, CertificateFault};
