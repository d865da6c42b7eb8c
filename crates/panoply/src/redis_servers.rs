mod lanes;
mod walk;

use std::sync::OnceLock;
use std::time::Duration;

use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::cluster_routing::{MultipleNodeRoutingInfo, RoutingInfo, SingleNodeRoutingInfo};
#[cfg(target_os = "linux")]
use redis::io::tcp::TcpSettings;
use redis::{
    Client, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo, Pipeline,
    RedisError, RedisFuture, ServerErrorKind, TlsCertificates, Value,
};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use tokio::sync::OnceCell;

use self::lanes::{LANES, Lanes};
pub(crate) use self::walk::Walk;
use crate::SettingError;
use crate::store::{LONGEST, StoreError, whole_seconds};

/// Redis, Valkey or Dragonfly, alone or as a cluster: connected at the first question and again whenever the
/// connection broke. All who ask share a connection; what one server is asked most often goes on two: [`Lanes`].
pub(crate) struct Servers {
    which: Which,
    /// Where they are, without what lets one in.
    addresses: Vec<String>,
    timeout: Duration,
    authority: Option<Vec<u8>>,
}

enum Which {
    One(ConnectionInfo, OnceLock<Lanes>),
    Cluster(Vec<ConnectionInfo>, OnceCell<ClusterConnection>),
}

impl Servers {
    pub(crate) fn one(url: &str) -> Result<Self, SettingError> {
        let info = parse(url)?;
        let addresses = vec![info.addr().to_string()];
        Ok(Self::at(Which::One(info, OnceLock::new()), addresses))
    }

    pub(crate) fn cluster<'a>(urls: impl IntoIterator<Item = &'a str>) -> Result<Self, SettingError> {
        let nodes: Vec<ConnectionInfo> = urls.into_iter().map(parse).collect::<Result<_, _>>()?;
        let addresses = nodes.iter().map(|node| node.addr().to_string()).collect();
        // Built for its checks alone: what it says of the nodes, it says here and not at the first request.
        ClusterClient::new(nodes.clone()).map_err(|_| {
            SettingError::new(
                "the servers of a Redis cluster are to be at least one, and all with the same user and password",
                "write redis://HOST:PORT for each",
            )
        })?;
        Ok(Self::at(Which::Cluster(nodes, OnceCell::new()), addresses))
    }

    /// Takes certificates signed by this authority, in PEM, and no others.
    pub(crate) fn trust(&mut self, pem: &[u8]) -> Result<(), SettingError> {
        let certificates =
            CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().unwrap_or_default();
        if certificates.is_empty() {
            return Err(SettingError::new(
                "the authority of the Redis store holds no certificate",
                "give it as PEM, with its BEGIN and END lines",
            ));
        }
        self.authority = Some(pem.to_owned());
        Ok(())
    }

    /// How long an answer may take; a new connection has a second more.
    pub(crate) fn timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    pub(crate) fn addresses(&self) -> &[String] {
        &self.addresses
    }

    fn at(which: Which, addresses: Vec<String>) -> Self {
        // The crate takes the process's provider of cryptography, and panics where two are compiled in and none is
        // chosen: this chooses ours, unless the app chose before.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        Self { which, addresses, timeout: TIMEOUT, authority: None }
    }

    pub(crate) async fn ask<T: FromRedisValue>(&self, question: Question) -> Result<T, StoreError> {
        let answer = async {
            let mut answer = question.ask(self.connection().await?).await;
            for _ in 0..LANES {
                match &answer {
                    // The connection had broken, perhaps long ago: this is how one learns of it, and of each by itself.
                    Err(error) if is_down(error) && !error.is_timeout() && question.may_be_repeated() => {
                        answer = question.ask(self.connection().await?).await;
                    }
                    _ => break,
                }
            }
            answer
        };
        // The crate keeps its own times, for each step; this one is for all of them.
        let most = self.timeout + CONNECTING;
        let value = tokio::time::timeout(most, answer).await.map_err(|_| StoreError::Slow(most))?;
        value.and_then(|value| Ok(redis::from_redis_value(value)?)).map_err(|error| self.judge(error))
    }

    async fn connection(&self) -> Result<Connection, RedisError> {
        match &self.which {
            Which::One(info, lanes) => {
                if let Some(lanes) = lanes.get() {
                    return Ok(Connection::One(lanes.clone()));
                }
                let new = [self.manager(info)?, self.manager(info)?];
                Ok(Connection::One(lanes.get_or_init(|| Lanes::new(new, self.timeout)).clone()))
            }
            Which::Cluster(nodes, connection) => {
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

    /// It connects when it is first asked.
    fn manager(&self, info: &ConnectionInfo) -> Result<ConnectionManager, RedisError> {
        let config = ConnectionManagerConfig::new()
            .set_connection_timeout(Some(CONNECTING))
            .set_response_timeout(Some(self.timeout))
            // The next request is the retry.
            .set_number_of_retries(0);
        // A way that ends without a word is noticed: else a connection that is seldom used would be dead for minutes.
        #[cfg(target_os = "linux")]
        let info = &info.clone().set_tcp_settings(TcpSettings::default().set_user_timeout(SILENCE));
        let client = match self.certificates() {
            Some(certificates) if matches!(info.addr(), ConnectionAddr::TcpTls { .. }) => {
                Client::build_with_tls(info.clone(), certificates)?
            }
            _ => Client::open(info.clone())?,
        };
        ConnectionManager::new_lazy_with_config(client, config)
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

/// What is asked in one step.
pub(crate) enum Question {
    One(Cmd),
    /// All about one key: a cluster has no other pipelines.
    Several(Pipeline),
    Script(Script),
    /// Of the server at this address, or of all that have keys of their own: an answer by address.
    OfServers(Cmd, Option<String>),
}

/// A script about one key, by its hash, and by its text where a server does not know it yet.
pub(crate) struct Script {
    pub(crate) hash: &'static str,
    pub(crate) text: &'static str,
    pub(crate) key: String,
    pub(crate) arguments: [i64; 4],
    /// Whether it does no harm to run twice, when a connection broke and nobody knows whether it ran.
    pub(crate) repeatable: bool,
}

impl Script {
    fn command(&self, verb: &str, script: &str) -> Cmd {
        // Seven words, and what numbers take.
        let mut command = Cmd::with_capacity(8, verb.len() + script.len() + self.key.len() + 64);
        command.arg(verb).arg(script).arg(1).arg(&self.key);
        for argument in self.arguments {
            command.arg(argument);
        }
        command
    }
}

impl Question {
    async fn ask(&self, mut connection: Connection) -> Result<Value, RedisError> {
        match self {
            Self::One(command) => command.query_async(&mut connection).await,
            Self::Several(pipe) => pipe.query_async(&mut connection).await,
            Self::Script(script) => match connection.run(script.command("EVALSHA", script.hash)).await {
                Err(error) if error.kind() == ErrorKind::Server(ServerErrorKind::NoScript) => {
                    connection.run(script.command("EVAL", script.text)).await
                }
                answer => answer,
            },
            Self::OfServers(command, server) => connection.of_servers(command, server.as_deref()).await,
        }
    }

    const fn may_be_repeated(&self) -> bool {
        match self {
            Self::One(_) | Self::Several(_) | Self::OfServers(..) => true,
            Self::Script(script) => script.repeatable,
        }
    }
}

enum Connection {
    One(Lanes),
    Cluster(ClusterConnection),
}

impl Connection {
    /// Together with what others ask, where that can be.
    async fn run(&mut self, command: Cmd) -> Result<Value, RedisError> {
        match self {
            Self::One(lanes) => lanes.ask(command).await?.extract_error(),
            Self::Cluster(connection) => command.query_async(connection).await,
        }
    }

    async fn of_servers(self, command: &Cmd, server: Option<&str>) -> Result<Value, RedisError> {
        let (of, answer) = match self {
            Self::One(lanes) => ("", command.query_async(&mut lanes.first().clone()).await?),
            Self::Cluster(mut connection) => {
                let place = server.and_then(|server| server.rsplit_once(':'));
                let Some((host, port)) = place else {
                    let all = RoutingInfo::MultiNode((MultipleNodeRoutingInfo::AllMasters, None));
                    return connection.route_command(command.clone(), all).await;
                };
                let port = port.parse().unwrap_or_default();
                let one = SingleNodeRoutingInfo::ByAddress { host: host.to_owned(), port };
                let answer = connection.route_command(command.clone(), RoutingInfo::SingleNode(one)).await?;
                (server.unwrap_or_default(), answer)
            }
        };
        Ok(Value::Map(vec![(Value::SimpleString(of.to_owned()), answer)]))
    }
}

impl ConnectionLike for Connection {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::One(lanes) => {
                let mut connection = lanes.first().clone();
                Box::pin(async move { connection.req_packed_command(cmd).await })
            }
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
            Self::One(lanes) => {
                let mut connection = lanes.first().clone();
                Box::pin(async move { connection.req_packed_commands(cmd, offset, count).await })
            }
            Self::Cluster(connection) => connection.req_packed_commands(cmd, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::One(lanes) => lanes.first().get_db(),
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

pub(crate) fn seconds(time: Duration) -> u64 {
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
/// Longer than any server thinks about one batch.
#[cfg(target_os = "linux")]
const SILENCE: Duration = Duration::from_secs(10);

/// Enough to follow a slot that moved; a node that is down is told, not waited for.
const CLUSTER_RETRIES: u32 = 3;
