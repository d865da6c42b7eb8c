//! What the command line takes. Every command's `--help` ends with an example.

mod audit;

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use panoply::{Practice, RequestId};

pub(crate) use audit::{
    Advisories, Audit, AuditAct, Database, Fix, Gate, Grounds, Level, Omit, ReportFormat,
};

/// Production security practices for web apps, in one command.
#[derive(Debug, Parser)]
#[command(
    name = "panoply",
    version,
    after_help = "Example:\n  panoply run -- node app.js      your app, not a line changed, behind the whole shield"
)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See the difference: a badly protected shop, once naked and once behind the gateway
    #[command(after_help = "Example:\n  panoply demo")]
    Demo(Demo),
    /// Start an app and stand in front of it
    #[command(after_help = RUN_EXAMPLE)]
    Run(Run),
    /// Stand in front of an app that runs elsewhere
    #[command(after_help = SERVE_EXAMPLE)]
    Serve(Serve),
    /// Check a configuration file, or print the one with every default
    #[command(
        subcommand,
        after_help = "Example:\n  panoply config default > panoply.toml\n  panoply config check"
    )]
    Config(Configuration),
    /// Say why a request was refused, or what a practice stops and leaves
    #[command(after_help = EXPLAIN_EXAMPLE)]
    Explain {
        /// The id on the page of a refused request, or a practice by the word it has everywhere
        #[arg(value_name = "ID|PRACTICE", value_parser = subject)]
        subject: Subject,
        #[command(flatten)]
        at: At,
        /// How a refusal is told
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        format: Format,
    },
    /// See which certificates there are, until when, and when each is renewed
    #[command(subcommand, after_help = CERTIFICATES_EXAMPLE)]
    Certificates(Certificates),
    /// See who is kept out of a running gateway, let somebody in again, or keep somebody out
    #[command(subcommand, after_help = BANS_EXAMPLE)]
    Bans(Bans),
    /// Say what a configuration would have refused of the requests in an access log
    #[command(after_help = REPLAY_EXAMPLE)]
    Replay(Replay),
    /// Say whether what is installed has known holes, offline, and what to do about each
    #[command(after_help = AUDIT_EXAMPLE, args_conflicts_with_subcommands = true)]
    Audit(Audit),
    /// Know of holes in dependencies: make the database that audits ask, or see what it holds
    #[command(subcommand, after_help = ADVISORIES_EXAMPLE)]
    Advisories(Advisories),
    /// Check the store of sessions, or make its tables
    #[command(subcommand, after_help = STORE_EXAMPLE)]
    Store(Store),
    /// Print what a shell needs to complete panoply's commands and options
    #[command(after_help = COMPLETIONS_EXAMPLE)]
    Completions {
        /// Which shell
        #[arg(value_name = "SHELL")]
        shell: Shell,
    },
    /// Write the manual pages, one a command, into a folder: the package has them
    #[command(hide = true, after_help = "Example:\n  panoply man /usr/local/share/man/man1")]
    Man {
        /// The folder, which has to be there
        #[arg(value_name = "DIR")]
        folder: PathBuf,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shell {
    /// To be put into /usr/share/bash-completion/completions/panoply
    Bash,
    /// To be put into a folder of $fpath, as _panoply
    Zsh,
    /// To be put into ~/.config/fish/completions/panoply.fish
    Fish,
}

/// What is to be explained.
#[derive(Clone, Debug)]
pub(crate) enum Subject {
    Practice(Practice),
    Request(RequestId),
}

/// A request's id is of 32 hexadecimal digits, which no practice is.
fn subject(text: &str) -> Result<Subject, String> {
    if let Ok(id) = text.parse() {
        return Ok(Subject::Request(id));
    }
    text.parse().map(Subject::Practice).map_err(|error| {
        let words = Practice::ALL.map(Practice::name).join(", ");
        format!("{error}; there is {words}, and the 32 hexadecimal digits of a request's id")
    })
}

#[derive(Debug, Subcommand)]
pub(crate) enum Certificates {
    /// Each on this machine: whose, by whom, until when, where from, and when it is renewed
    #[command(after_help = "Example:\n  panoply certificates list --config /etc/panoply.toml --format json")]
    List {
        /// Whose certificates [default: panoply.toml here, if there is one]
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
        /// Where the gateway keeps them [default: what the file says, else where `serve` would]
        #[arg(long, value_name = "DIR")]
        state: Option<PathBuf>,
        /// How they are told
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        format: Format,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Bans {
    /// Who is kept out, by an operator or by a practice
    #[command(after_help = "Example:\n  panoply bans list")]
    List {
        #[command(flatten)]
        at: At,
        /// How they are told
        #[arg(long, value_name = "FORMAT", default_value = "text")]
        format: Format,
    },
    /// Let somebody in again: forget every ban and every count that keeps this key or address out
    #[command(after_help = "Example:\n  panoply bans lift 192.0.2.1")]
    Lift {
        /// An address, a network, or a key as `bans list` shows it
        #[arg(value_name = "KEY|ADDRESS")]
        who: String,
        #[command(flatten)]
        at: At,
    },
    /// Keep a network out
    #[command(
        after_help = "Example:\n  panoply bans add 192.0.2.0/24 --for 1h --because 'floods the search'"
    )]
    Add {
        /// An address, or a range such as 192.0.2.0/24
        #[arg(value_name = "NETWORK")]
        network: String,
        /// For how long, such as 30min, 1h or 7day [default: until it is lifted]
        #[arg(long = "for", value_name = "TIME")]
        time: Option<String>,
        /// Why: for other operators, in `bans list`
        #[arg(long, value_name = "TEXT", default_value = "")]
        because: String,
        #[command(flatten)]
        at: At,
    },
}

/// Which gateway is asked.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct At {
    /// The gateway's admin address [default: `admin` in the configuration file]
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin: Option<SocketAddr>,
    /// The configuration file [default: panoply.toml here, if there is one]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people
    Text,
    /// For programs
    Json,
}

#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// Where the shielded shop listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8443")]
    pub(crate) https: SocketAddr,
    /// Where the naked shop listens
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8080")]
    pub(crate) naked: SocketAddr,
    /// Print the comparison and end
    #[arg(long)]
    pub(crate) once: bool,
    /// The folder that keeps the certificate
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where the app is
    #[arg(long, value_name = "URL")]
    pub(crate) to: Option<String>,
    #[command(flatten)]
    pub(crate) front: Front,
    /// Go on in the place of the gateway that is at work with the same state folder: it hands its sockets over, lets its
    /// requests end, and ends
    #[arg(long)]
    pub(crate) take_over: bool,
    /// The app's folder, where its lockfile is: it is audited, as `panoply run` does it
    #[arg(long, value_name = "DIR")]
    pub(crate) project: Option<PathBuf>,
    /// What the audit may do: only tell, or no start with a hole at least as bad, or when it cannot be told
    #[arg(long, value_name = "LEVEL", default_value = "observe", requires = "project")]
    pub(crate) dependencies: Gate,
}

#[derive(Debug, Args)]
pub(crate) struct Run {
    #[command(flatten)]
    pub(crate) front: Front,
    /// Tell the app that this is production: sets NODE_ENV=production
    #[arg(long)]
    pub(crate) production: bool,
    /// Do not load the module that makes a Node app bind loopback and see its visitors
    #[arg(long)]
    pub(crate) no_preload: bool,
    /// Start even when the app's own port can be reached from other machines, past the shield
    #[arg(long)]
    pub(crate) allow_public_port: bool,
    /// Audit what the app installs: off, only observed, or no start with a hole at least as bad, or when it cannot be told
    #[arg(long, value_name = "LEVEL", default_value = "observe")]
    pub(crate) dependencies: Gate,
    /// How long requests, and then the app, may take to end
    #[arg(long, value_name = "SECONDS", default_value_t = 10)]
    pub(crate) grace: u64,
    /// The app's command
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

/// What `serve` and `run` share; each flag goes before the file's setting.
#[derive(Clone, Debug, Args)]
pub(crate) struct Front {
    /// A name to serve (repeatable); without one, any name is served
    #[arg(long = "host", value_name = "NAME")]
    pub(crate) hosts: Vec<String>,
    /// Order certificates for the hosts and renew them, from Let's Encrypt unless the file names another authority;
    /// a mail address for its warnings
    #[arg(long, value_name = "CONTACT", conflicts_with = "cert")]
    pub(crate) acme: Option<String>,
    /// Where to serve [default: [::]:8443, and with --acme [::]:443]
    #[arg(long, value_name = "ADDR")]
    pub(crate) https: Option<String>,
    /// Where to redirect to https from [default: nowhere, and with --acme [::]:80]
    #[arg(long, value_name = "ADDR")]
    pub(crate) http: Option<String>,
    /// The certificate chain, PEM [default: one for localhost, made on first use]
    #[arg(long, value_name = "FILE", requires = "key")]
    pub(crate) cert: Option<PathBuf>,
    /// The certificate's key, PEM
    #[arg(long, value_name = "FILE", requires = "cert")]
    pub(crate) key: Option<PathBuf>,
    /// The folder for keys and certificates [default: $STATE_DIRECTORY, else the XDG state folder]
    #[arg(long, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Where operators ask, for this machine alone unless there is a token [default: nowhere]
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin: Option<String>,
    /// Where counts are that several machines share: memory, redis://… [default: $PANOPLY_STORE, else memory]
    #[arg(long, value_name = "URL")]
    pub(crate) store: Option<String>,
    /// The configuration file [default: panoply.toml here, if there is one]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Configuration {
    /// Say whether a file is right
    #[command(after_help = "Example:\n  panoply config check panoply.toml")]
    Check {
        /// The file
        #[arg(value_name = "FILE", default_value = "panoply.toml")]
        file: PathBuf,
    },
    /// Print every setting with its default
    #[command(after_help = "Example:\n  panoply config default > panoply.toml")]
    Default,
}

#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// nginx's combined format or panoply's own, the older first; `-` is standard input
    #[arg(value_name = "ACCESS_LOG", required = true)]
    pub(crate) logs: Vec<PathBuf>,
    /// The configuration file [default: panoply.toml here, if there is one]
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Which host requests are for where lines name none [default: that of the first site]
    #[arg(long, value_name = "NAME")]
    pub(crate) host: Option<String>,
    /// How it is told
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub(crate) format: Format,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Store {
    /// Write, read and destroy one session: 0 when that works, 2 when not
    #[command(after_help = "Example:\n  panoply store check redis://127.0.0.1:6379")]
    Check {
        /// memory, file:PATH, redis://…, rediss://… or postgres://… [default: $PANOPLY_STORE]
        #[arg(value_name = "URL")]
        url: Option<String>,
    },
    /// Make PostgreSQL's tables where they are missing; those of connect-pg-simple stay as they are
    #[command(after_help = "Example:\n  panoply store migrate --print postgres://shop@127.0.0.1/shop | psql")]
    Migrate {
        /// postgres://… [default: $PANOPLY_STORE]
        #[arg(value_name = "URL")]
        url: Option<String>,
        /// The tables' schema [default: the connection's]
        #[arg(long, value_name = "NAME")]
        schema: Option<String>,
        /// The table of sessions [default: session]
        #[arg(long, value_name = "NAME")]
        table: Option<String>,
        /// Print the SQL, and run nothing
        #[arg(long)]
        print: bool,
    },
}

const REPLAY_EXAMPLE: &str = "Example:\n  panoply replay /var/log/nginx/access.log.1 /var/log/nginx/access.log --config new.toml\n  \
                              zcat access.log.2.gz | panoply replay - --format json\n\n\
                              It ends with 0 if nothing would be refused, with 1 if something would.";
const AUDIT_EXAMPLE: &str =
    "Example:\n  panoply audit\n  panoply audit --omit dev --severity high --format sarif";
const ADVISORIES_EXAMPLE: &str = "Example:\n  panoply advisories update\n  panoply advisories import all.zip\n  \
                                  panoply advisories info";
const COMPLETIONS_EXAMPLE: &str = "Example:\n  panoply completions bash > ~/.local/share/bash-completion/completions/panoply\n  \
                                   panoply completions fish > ~/.config/fish/completions/panoply.fish";
const STORE_EXAMPLE: &str = "Example:\n  panoply store check redis://127.0.0.1:6379\n  \
                             PANOPLY_STORE=postgres://shop:a-password@127.0.0.1/shop panoply store migrate";
const RUN_EXAMPLE: &str = "Example:\n  panoply run -- npm start\n  panoply run --host shop.example \
                           --cert chain.pem --key key.pem --https '[::]:443' --http '[::]:80' -- node app.js";
const EXPLAIN_EXAMPLE: &str =
    "Example:\n  panoply explain 0123456789abcdef0123456789abcdef\n  panoply explain csrf";
const CERTIFICATES_EXAMPLE: &str = "Example:\n  panoply certificates list";
const BANS_EXAMPLE: &str = "Example:\n  panoply bans list\n  panoply bans lift 192.0.2.1";
const SERVE_EXAMPLE: &str = "Example:\n  panoply serve --to http://127.0.0.1:3000\n  panoply serve --to \
                             http://127.0.0.1:3000 --host shop.example --acme ops@shop.example";
