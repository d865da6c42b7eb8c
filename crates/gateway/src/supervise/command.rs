use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Stdio;

use super::preload::{Preload, node_options};

/// How an app is started.
///
/// ```
/// use panoply_gateway::supervise::Command;
///
/// let command = Command { production: true, ..Command::new("npm", ["start"], "/var/lib/panoply") };
/// assert!(command.preload && !command.allow_public_port);
/// ```
#[derive(Clone, Debug)]
pub struct Command {
    /// What to run: a path, or a name to be found on `PATH`.
    pub program: OsString,
    /// What to hand to it.
    pub args: Vec<OsString>,
    /// Sets `NODE_ENV=production`. Without it the app's environment stays as it is.
    pub production: bool,
    /// Lets Node processes of the app read a script first. It binds to loopback where they would bind to every
    /// address, and shows them the visitor in place of the gateway. Other programs never notice.
    pub preload: bool,
    /// Weakens: the app may listen where others reach it directly, around the shield.
    pub allow_public_port: bool,
    /// Variables that are panoply's own, such as one with keys: the app does not get them.
    pub withheld: Vec<OsString>,
    /// The folder for the script; made when missing, readable by this user only.
    pub state: PathBuf,
}

impl Command {
    /// `program` with `args`, the preload, no public port and its environment as it is.
    pub fn new<A: Into<OsString>>(
        program: impl Into<OsString>,
        args: impl IntoIterator<Item = A>,
        state: impl Into<PathBuf>,
    ) -> Self {
        Self {
            program: program.into(),
            args: args.into_iter().map(Into::into).collect(),
            production: false,
            preload: true,
            allow_public_port: false,
            withheld: Vec::new(),
            state: state.into(),
        }
    }

    /// The same for the system, in a process group of its own: Ctrl-C reaches panoply alone, which lets the app
    /// finish what it is doing before it stops it.
    pub(super) fn on(&self, port: u16, preload: Option<&Preload>) -> tokio::process::Command {
        let mut command = tokio::process::Command::new(&self.program);
        command.args(&self.args).stdin(Stdio::null()).process_group(0).env("PORT", port.to_string());
        if self.production {
            command.env("NODE_ENV", "production");
        }
        // What an outer `panoply run` told us is not for our app.
        for name in ["PANOPLY_PORT", "PANOPLY_PROOF", "PANOPLY_PRELOADED"] {
            command.env_remove(name);
        }
        // Who is told of sockets that it has not, or keeps a watchdog quiet that is ours, is no help.
        for name in SYSTEMDS {
            command.env_remove(name);
        }
        for name in &self.withheld {
            command.env_remove(name);
        }
        if let Some(Preload { script, marker, proof }) = preload {
            command
                .env("PANOPLY_PORT", port.to_string())
                .env("PANOPLY_PROOF", proof.secret())
                .env("PANOPLY_PRELOADED", marker)
                .env("NODE_OPTIONS", node_options(std::env::var_os("NODE_OPTIONS").as_deref(), script));
        }
        command
    }

    /// Whether the app is one that runs slower and shows more of itself, for want of `NODE_ENV=production`.
    pub(super) fn develops(&self, node_env: Option<&OsStr>) -> bool {
        !self.production && self.is_node() && node_env != Some(OsStr::new("production"))
    }

    /// By the name of the program: nothing else reads `NODE_ENV`.
    fn is_node(&self) -> bool {
        let name = Path::new(&self.program).file_name().and_then(OsStr::to_str);
        name.is_some_and(|name| NODE.contains(&name))
    }
}

/// What systemd tells a service, and means it alone.
const SYSTEMDS: [&str; 7] = [
    "LISTEN_FDS",
    "LISTEN_FDNAMES",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
];

/// Node, and what people start Node with.
const NODE: [&str; 14] = [
    "node", "nodejs", "npm", "npx", "yarn", "pnpm", "bun", "bunx", "tsx", "ts-node", "nodemon", "next",
    "nuxt", "nest",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_node_outside_of_production_is_told_so() {
        for (program, production, node_env, told) in [
            ("node", false, None, true),
            ("/opt/node/bin/npm", false, None, true),
            ("npm", false, Some("development"), true),
            ("npm", false, Some("production"), false),
            ("npm", true, None, false),
            ("npm", true, Some("development"), false), // it is set over whatever was there
            ("python3", false, None, false),
            ("/srv/node/app", false, None, false),
            ("", false, None, false),
        ] {
            let command = Command { production, ..Command::new(program, [""; 0], "state") };
            assert_eq!(
                command.develops(node_env.map(OsStr::new)),
                told,
                "{program} {production} {node_env:?}"
            );
        }
    }

    #[test]
    fn the_app_is_told_its_port_and_no_secret_it_should_not_have() {
        let withheld = vec!["SHOP_KEYS".into()];
        let command = Command { production: true, withheld, ..Command::new("npm", ["start"], "state") };
        let command = command.on(41234, None);
        let environment: Vec<_> = command.as_std().get_envs().collect();
        for (name, value) in [
            ("PORT", Some("41234")),
            ("NODE_ENV", Some("production")),
            ("PANOPLY_PORT", None),
            ("PANOPLY_PROOF", None),
            ("PANOPLY_PRELOADED", None),
            ("SHOP_KEYS", None),
            ("NOTIFY_SOCKET", None),
            ("LISTEN_FDS", None),
        ] {
            assert!(
                environment.contains(&(OsStr::new(name), value.map(OsStr::new))),
                "{name} {environment:?}"
            );
        }
        assert!(environment.iter().all(|(name, _)| *name != "NODE_OPTIONS" && *name != "HOST"));
    }
}
