//! Who was started as root, to have the ports of browsers and to read keys, is another user before the first visitor comes.

mod gift;

use std::ffi::CString;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User, geteuid, getgrouplist, setgroups, setresgid, setresuid, setuid};

use crate::GatewayError;
use crate::config::{Config, LogFile};
use crate::sandbox::files;
use crate::state;

/// A user to become.
#[derive(Debug)]
struct Account {
    name: String,
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
}

/// Becomes the user that the configuration names, who gets the state folder and the access log, and can never be root
/// again. To be called when ports are bound and files read, and nothing was started yet.
///
/// # Errors
/// When the system does not let it, or there is no such user, or something of root would be left.
pub(crate) fn drop(config: &Config) -> Result<(), GatewayError> {
    let Some(account) = find(config)? else {
        if geteuid().is_root() {
            tracing::warn!(
                "this runs as root, and whoever broke in would be root\nhint: write `user = \"panoply\"` into the file \
                 (`adduser --system --group panoply` makes him), or let systemd start it as a user of its own"
            );
        }
        return Ok(());
    };
    if account.uid == geteuid() {
        return Ok(());
    }
    give(config, &account)?;
    become_him(&account).map_err(|error| {
        setting(
            format!("cannot become the user `{}`: {error}", account.name),
            "start panoply as root for it, or leave `user` out",
        )
    })?;
    let can_return = setuid(Uid::from_raw(0)).is_ok() || setresuid(Uid::from_raw(0), ROOT, ROOT).is_ok();
    if can_return || has_capabilities() {
        return Err(setting(
            format!("the user `{}` could be root again", account.name),
            "the system keeps capabilities over a change of users: start panoply as that user, without any",
        ));
    }
    tracing::info!(user = account.name, "root was given up for good");
    warn_of_unreadable(config, &account.name);
    Ok(())
}

/// The account of `user` and `group`; `None`: there is nobody to become.
///
/// # Errors
/// When the system does not know them, or they are root.
fn find(config: &Config) -> Result<Option<Account>, GatewayError> {
    let Some(name) = &config.user else {
        return match &config.group {
            None => Ok(None),
            Some(group) => Err(setting(
                format!("the group `{group}` was found without a `user`"),
                "name the user too: a root in another group is still root",
            )),
        };
    };
    let unknown = |what: &str, name: &str| {
        setting(
            format!("there is no {what} `{name}` on this machine"),
            "`adduser --system --group panoply` makes both",
        )
    };
    let user = User::from_name(name).ok().flatten().ok_or_else(|| unknown("user", name))?;
    let group = |name: &String| Group::from_name(name).ok().flatten().ok_or_else(|| unknown("group", name));
    let gid = config.group.as_ref().map(group).transpose()?.map_or(user.gid, |group| group.gid);
    if user.uid.is_root() || gid.as_raw() == 0 {
        return Err(setting(
            format!("the user `{name}` is root, or of its group"),
            "name one who may less, or leave `user` out",
        ));
    }
    // Names of the system hold no NUL; one that did would be in no further group.
    let groups = CString::new(name.as_str()).ok().and_then(|name| getgrouplist(&name, gid).ok());
    let groups =
        groups.unwrap_or_else(|| vec![gid]).into_iter().filter(|group| group.as_raw() != 0).collect();
    Ok(Some(Account { name: name.clone(), uid: user.uid, gid, groups }))
}

/// # Errors
/// When `user` or `group` cannot be.
pub(crate) fn check(config: &Config) -> Result<(), GatewayError> {
    find(config).map(|_| ())
}

/// Groups first: who is not root any more cannot change them. All threads do it, as the C library has it (nptl(7)).
fn become_him(account: &Account) -> nix::Result<()> {
    setgroups(&account.groups)?;
    setresgid(account.gid, account.gid, account.gid)?;
    setresuid(account.uid, account.uid, account.uid)
}

/// He has to go on with what root has made.
fn give(config: &Config, account: &Account) -> Result<(), GatewayError> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |source| GatewayError::File { verb: "give away", path, source }
    };
    if let Ok(folder) = state::folder(config.state.as_deref()) {
        state::make(&folder).map_err(failed(&folder))?;
        gift::folder(&folder, account.uid, account.gid).map_err(failed(&folder))?;
    }
    if let Some(LogFile::At(path)) = &config.access_log {
        gift::file(path, account.uid, account.gid).map_err(failed(path))?;
    }
    Ok(())
}

fn has_capabilities() -> bool {
    // Without the call there are none to be had.
    rustix::thread::capabilities(None)
        .is_ok_and(|sets| !sets.permitted.is_empty() || !sets.effective.is_empty())
}

/// What only root can read was read; what replaces it could not be, and that would be seen on the day of a renewal.
fn warn_of_unreadable(config: &Config, user: &str) {
    for file in files(config) {
        if let Err(error) = std::fs::File::open(file) {
            tracing::warn!(
                file = %file.display(),
                %error,
                "was read as root, but `{user}` cannot: what replaces it will not be taken into use\n\
                 hint: chown {user} {}, and let him enter its folder",
                file.display()
            );
        }
    }
}

fn setting(message: String, hint: &str) -> GatewayError {
    GatewayError::Setting { message, hint: hint.to_owned() }
}

const ROOT: Uid = Uid::from_raw(0);
