use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::{
    Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo, Pipeline,
    RedisError, RedisFuture, ServerErrorKind, TlsCertificates, Value, cmd,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::OnceCell;

use super::{Answer, LONGEST, Replaced, Store, StoreError, whole_seconds};
use crate::{Clock, SettingError};

/// Sessions in Redis 7, Valkey or Dragonfly, alone or as a cluster, in the format of connect-redis: the key is
/// `sess:` and the id, the value the session's JSON, the time the key's own.
///
/// It connects at the first use and again whenever the connection broke, so a site starts without its store. All
/// requests share one connection. Each call is one round trip of plain commands, no scripts;
/// [`destroy_all`](Store::destroy_all) is three for a thousand sessions. What found the connection broken is asked
/// once more on a new one: every question here may be asked twice.
///
/// Redis can swap but not compare, so [`replace`](Store::replace) leaves the new text in any case and says what it
/// displaced: a request that ends between that and its second try leaves out what another wrote.
///
/// Whose sessions are whose stands beside them, in the sorted set `user-sess:` and the user: outside what
/// connect-redis finds when it lists or clears its keys. Redis cannot take a session from a user to whom it
/// was bound before: it is either's.
///
/// ```no_run
/// use panoply::store::Redis;
///
/// # fn main() -> Result<(), panoply::SettingError> {
/// let sessions = Redis::connect("rediss://panoply:a-password@redis.example:6380/0")?.prefix("shop:");
/// let of_a_cluster = Redis::cluster(["redis://10.0.0.1", "redis://10.0.0.2"])?;
/// # Ok(())
/// # }
/// ```
pub struct Redis {
    servers: Servers,
    /// Where they are, without what lets one in.
    addresses: Vec<String>,
    clock: Clock,
    prefix: String,
    timeout: Duration,
    authority: Option<Vec<u8>>,
}

enum Servers {
    One(ConnectionInfo, OnceLock<ConnectionManager>),
    Cluster(Vec<ConnectionInfo>, OnceCell<ClusterConnection>),
}

impl Redis {
    /// The server at `redis://`, `rediss://` (by TLS), or `redis+unix://`: `redis://USER:PASSWORD@HOST:PORT/DATABASE`.
    /// Nothing is sent yet.
    ///
    /// # Errors
    /// When the URL is none of these.
    pub fn connect(url: &str) -> Result<Self, SettingError> {
        let info = parse(url)?;
        let addresses = vec![info.addr().to_string()];
        Ok(Self::at(Servers::One(info, OnceLock::new()), addresses))
    }

    /// The cluster to which the servers at `urls` belong; the others are found.
    ///
    /// # Errors
    /// When one of the URLs is none, or there is none.
    pub fn cluster<'a>(urls: impl IntoIterator<Item = &'a str>) -> Result<Self, SettingError> {
        let nodes: Vec<ConnectionInfo> = urls.into_iter().map(parse).collect::<Result<_, _>>()?;
        let addresses = nodes.iter().map(|node| node.addr().to_string()).collect();
        // Built for its checks alone: what it says of the nodes, it says here and not at the first request.
        ClusterClient::new(nodes.clone()).map_err(|_| {
            SettingError::new(
                "the servers of a Redis cluster are to be at least one, and all with the same user and password",
                "write redis://HOST:PORT for each",
            )
        })?;
        Ok(Self::at(Servers::Cluster(nodes, OnceCell::new()), addresses))
    }

    /// What keys begin with, `sess:` unless told, as with connect-redis.
    #[must_use]
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// The authority that signed the servers' certificates, in PEM, for `rediss://`; without one it is those that the
    /// machine trusts, or that `SSL_CERT_FILE` names.
    ///
    /// # Errors
    /// When it holds no certificate.
    pub fn authority(mut self, pem: &[u8]) -> Result<Self, SettingError> {
        let certificates =
            CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().unwrap_or_default();
        if certificates.is_empty() {
            return Err(SettingError::new(
                "the authority of the Redis store holds no certificate",
                "give it as PEM, with its BEGIN and END lines",
            ));
        }
        self.authority = Some(pem.to_owned());
        Ok(self)
    }

    /// The clock by which the index of users forgets, the machine's unless told; sessions expire by Redis' own.
    #[must_use]
    pub fn clock(mut self, clock: Clock) -> Self {
        self.clock = clock;
        self
    }

    /// How long an answer may take, 500 ms unless told: a visitor waits for it, and Redis needs less than one. A new
    /// connection has a second more.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    fn at(servers: Servers, addresses: Vec<String>) -> Self {
        // The crate takes the process's provider of cryptography, and panics where two are compiled in and none is
        // chosen: this chooses ours, unless the app chose before.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Self {
            servers,
            addresses,
            clock: Clock::system(),
            prefix: "sess:".to_owned(),
            timeout: TIMEOUT,
            authority: None,
        }
    }

    fn key(&self, id: &str) -> String {
        format!("{}{id}", self.prefix)
    }

    /// Never matched by `SCAN prefix*`.
    fn user_key(&self, user: &str) -> String {
        let lead = if self.prefix.starts_with('u') { "of-user-" } else { "user-" };
        format!("{lead}{}{user}", self.prefix)
    }

    async fn bound(&self, user: &str, id: &str, time: Duration) -> Result<(), StoreError> {
        let (key, now) = (self.user_key(user), self.clock.unix_time().as_secs());
        let seconds = seconds(time);
        let mut pipe = redis::pipe();
        pipe.cmd("ZADD").arg(&key).arg("GT").arg(now.saturating_add(seconds)).arg(id).ignore();
        // What has expired goes, so that the set holds one user's living sessions and those destroyed lately.
        pipe.cmd("ZREMRANGEBYSCORE").arg(&key).arg("-inf").arg(now).ignore();
        // `GT` takes a key without a time for one that lives for ever.
        pipe.cmd("EXPIRE").arg(&key).arg(seconds).arg("NX").ignore();
        pipe.cmd("EXPIRE").arg(&key).arg(seconds).arg("GT").ignore();
        self.ask(Question::Several(pipe)).await
    }

    async fn forget_all(&self, user: &str, except: Option<&str>) -> Result<usize, StoreError> {
        let (key, mut count) = (self.user_key(user), 0);
        loop {
            let mut range = cmd("ZRANGE");
            range.arg(&key).arg(0).arg(AT_ONCE);
            let ids: Vec<String> = self.ask(Question::One(range)).await?;
            let ids: Vec<&str> = ids.iter().map(String::as_str).filter(|id| Some(*id) != except).collect();
            if ids.is_empty() {
                return Ok(count);
            }
            // In a cluster the keys are sorted by where they are, and the numbers added up.
            let mut delete = cmd("DEL");
            ids.iter().for_each(|id| _ = delete.arg(self.key(id)));
            count += self.ask::<usize>(Question::One(delete)).await?;
            // Not the whole set: a login that comes now stays in it.
            let mut remove = cmd("ZREM");
            remove.arg(&key).arg(ids);
            self.ask::<()>(Question::One(remove)).await?;
        }
    }

    async fn ask<T: FromRedisValue>(&self, question: Question) -> Result<T, StoreError> {
        let answer = async {
            let first = question.ask(self.connection().await?).await;
            match first {
                // The connection had broken, perhaps long ago: this is how one learns of it.
                Err(error) if is_down(&error) && !error.is_timeout() => {
                    question.ask(self.connection().await?).await
                }
                answer => answer,
            }
        };
        // The crate keeps its own times, for each step; this one is for all of them.
        let most = self.timeout + CONNECTING;
        let value = tokio::time::timeout(most, answer).await.map_err(|_| StoreError::Slow(most))?;
        value.and_then(|value| Ok(redis::from_redis_value(value)?)).map_err(|error| self.judge(error))
    }

    async fn connection(&self) -> Result<Connection, RedisError> {
        match &self.servers {
            Servers::One(info, manager) => {
                if let Some(manager) = manager.get() {
                    return Ok(Connection::One(manager.clone()));
                }
                let config = ConnectionManagerConfig::new()
                    .set_connection_timeout(Some(CONNECTING))
                    .set_response_timeout(Some(self.timeout))
                    // The next request is the retry.
                    .set_number_of_retries(0);
                let client = match self.certificates() {
                    Some(certificates) if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) => {
                        Client::build_with_tls(info.clone(), certificates)?
                    }
                    _ => Client::open(info.clone())?,
                };
                let new = ConnectionManager::new_lazy_with_config(client, config)?;
                Ok(Connection::One(manager.get_or_init(|| new).clone()))
            }
            Servers::Cluster(nodes, connection) => {
                let connect = async || {
                    let mut builder = ClusterClientBuilder::new(nodes.clone());
                    if let Some(certificates) = self.certificates() {
                        builder = builder.certs(certificates);
                    }
                    builder
                        .connection_timeout(CONNECTING)
                        .response_timeout(self.timeout)
                        .retries(CLUSTER_RETRIES)
                        .build()?
                        .get_async_connection()
                        .await
                };
                Ok(Connection::Cluster(connection.get_or_try_init(connect).await?.clone()))
            }
        }
    }

    fn certificates(&self) -> Option<TlsCertificates> {
        self.authority.clone().map(|pem| TlsCertificates { client_tls: None, root_cert: Some(pem) })
    }

    fn judge(&self, error: RedisError) -> StoreError {
        if error.is_timeout() {
            StoreError::Slow(self.timeout)
        } else if is_down(&error) {
            StoreError::Down(Box::new(error))
        } else {
            StoreError::Refused(Box::new(error))
        }
    }
}

impl Store for Redis {
    fn load<'a>(&'a self, id: &'a str) -> Answer<'a, Option<String>> {
        let mut get = cmd("GET");
        get.arg(self.key(id));
        Box::pin(self.ask(Question::One(get)))
    }

    fn create<'a>(&'a self, id: &'a str, text: &'a str, time: Duration) -> Answer<'a, ()> {
        if time.is_zero() {
            return self.destroy(id);
        }
        let mut set = cmd("SET");
        set.arg(self.key(id)).arg(text).arg("EX").arg(seconds(time));
        Box::pin(self.ask(Question::One(set)))
    }

    fn replace<'a>(
        &'a self,
        id: &'a str,
        was: &'a str,
        text: &'a str,
        time: Duration,
    ) -> Answer<'a, Replaced> {
        let mut swap = cmd(if time.is_zero() { "GETDEL" } else { "SET" });
        swap.arg(self.key(id));
        if !time.is_zero() {
            swap.arg(text).arg("XX").arg("GET").arg("EX").arg(seconds(time));
        }
        Box::pin(async move {
            Ok(match self.ask::<Option<String>>(Question::One(swap)).await? {
                None => Replaced::Gone,
                Some(found) if found == was => Replaced::Done,
                Some(found) => Replaced::Conflict { found, now: text.to_owned() },
            })
        })
    }

    fn touch<'a>(&'a self, id: &'a str, time: Duration) -> Answer<'a, bool> {
        let mut expire = cmd("EXPIRE");
        expire.arg(self.key(id)).arg(seconds(time));
        Box::pin(self.ask(Question::One(expire)))
    }

    fn destroy<'a>(&'a self, id: &'a str) -> Answer<'a, ()> {
        let mut delete = cmd("DEL");
        delete.arg(self.key(id));
        Box::pin(self.ask(Question::One(delete)))
    }

    fn bind<'a>(&'a self, user: &'a str, id: &'a str, time: Duration) -> Answer<'a, ()> {
        Box::pin(self.bound(user, id, time))
    }

    fn destroy_all<'a>(&'a self, user: &'a str, except: Option<&'a str>) -> Answer<'a, usize> {
        Box::pin(self.forget_all(user, except))
    }
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("at", &self.addresses)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

enum Question {
    One(Cmd),
    /// All about one key: a cluster has no other pipelines.
    Several(Pipeline),
}

impl Question {
    async fn ask(&self, mut connection: Connection) -> Result<Value, RedisError> {
        match self {
            Self::One(command) => command.query_async(&mut connection).await,
            Self::Several(pipe) => pipe.query_async(&mut connection).await,
        }
    }
}

enum Connection {
    One(ConnectionManager),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::One(connection) => connection.req_packed_commands(cmd, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(cmd, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

fn parse(url: &str) -> Result<ConnectionInfo, SettingError> {
    let info = url.into_connection_info().map_err(|_| no_url())?;
    if matches!(info.addr(), ConnectionAddr::TcpTls { insecure: true, .. }) {
        return Err(SettingError::new(
            "a rediss:// URL with `#insecure` would trust any certificate",
            "leave `#insecure` out, and name the certificate to trust in SSL_CERT_FILE",
        ));
    }
    Ok(info)
}

/// It may hold a password, so it is not shown.
fn no_url() -> SettingError {
    SettingError::new(
        "the URL of the Redis store is none that Redis has",
        "write redis://HOST:PORT/DATABASE, rediss:// for TLS, or redis+unix:///PATH; a password's special characters \
         are percent-encoded",
    )
}

fn seconds(time: Duration) -> u64 {
    whole_seconds(time.min(LONGEST))
}

/// Nothing came of it, and the same question may do later.
fn is_down(error: &RedisError) -> bool {
    error.is_io_error()
        || matches!(
            error.kind(),
            ErrorKind::ClusterConnectionNotFound
                | ErrorKind::Server(
                    ServerErrorKind::BusyLoading
                        | ServerErrorKind::ClusterDown
                        | ServerErrorKind::MasterDown
                        | ServerErrorKind::TryAgain
                )
        )
}

const TIMEOUT: Duration = Duration::from_millis(500);
const CONNECTING: Duration = Duration::from_secs(1);

/// Enough to follow a slot that moved; a node that is down is told, not waited for.
const CLUSTER_RETRIES: u32 = 3;

/// The last of a thousand.
const AT_ONCE: usize = 999;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_is_never_shown() {
        for (url, shown) in [
            ("redis://ann:hunter2@shop.example:6380/3", true),
            ("rediss://:hunter2@shop.example", true),
            ("redis://ann:hunter2@shop.example:port", false),
            ("rediss://:hunter2@shop.example#insecure", false),
            ("http://:hunter2@shop.example", false),
        ] {
            let text = match Redis::connect(url) {
                Ok(store) => format!("{store:?}"),
                Err(error) => format!("{error:?} {error} {}", error.hint()),
            };
            assert_eq!(text.contains("shop.example"), shown, "{text}");
            assert!(!text.contains("hunter2"), "{text}");
        }
        assert!(Redis::cluster([]).is_err());
    }

    #[test]
    fn the_index_of_users_is_outside_what_connect_redis_lists() {
        for prefix in ["sess:", "u", "user-", "of-"] {
            let store = Redis::connect("redis://127.0.0.1").unwrap().prefix(prefix);
            assert!(!store.user_key("ann").starts_with(prefix), "{prefix}");
        }
    }
}
