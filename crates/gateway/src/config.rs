//! stand-in
use std::net::SocketAddr;
use std::path::PathBuf;
#[derive(Debug, Clone)]
pub struct Listen(pub SocketAddr);
impl Listen {
    pub fn address(&self) -> SocketAddr {
        self.0
    }
}
#[derive(Debug, Clone, Default)]
pub struct Tls {
    pub cert: Option<PathBuf>,
    pub key: Option<PathBuf>,
}
#[derive(Debug, Clone)]
pub struct Config {
    pub https: Listen,
    pub http: Option<Listen>,
    pub tls: Tls,
    pub state: Option<PathBuf>,
    pub to: (String, u16),
}
