//! Who was started as root, to have the ports of browsers and to read keys, is another user before the first visitor comes.

mod account;
mod gift;

use std::io::ErrorKind;

use nix::unistd::{Uid, geteuid, getgroups, setfsgid, setfsuid, setgroups, setresgid, setresuid, setuid};
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, remove_capability_from_bounding_set, set_capabilities,
};

use crate::config::{Config, LogFile};
use crate::sandbox::files;
use crate::{GatewayError, denied, state};
use account::Account;

/// Becomes the user that the configuration names, who gets the state folder, and can never be root
/// again. To be called when ports are bound and files read, and nothing was started yet.
///
/// # Errors
/// When the system does not let it, or there is no such user, or something of root would be left.
pub(crate) fn drop(config: &Config) -> Result<(), GatewayError> {
    let Some(account) = Account::find(config)? else {
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

/// Opens the access log as the one who will write it. As root it would be a way up: his folder may hold a link of his to
/// any file of root's, and an open file stays open.
///
/// # Errors
/// When there is no such user, or `open` fails.
pub(crate) fn as_writer<T>(
    config: &Config,
    open: impl Fn() -> Result<T, GatewayError>,
) -> Result<T, GatewayError> {
    let account = Account::find(config)?.filter(|account| geteuid().is_root() && account.uid != geteuid());
    let (Some(account), Some(LogFile::At(path))) = (account, &config.access_log) else { return open() };
    let failed = |source| GatewayError::File { verb: "give away", path: path.clone(), source };
    gift::file(path, account.uid, account.gid).map_err(failed)?;
    match borrow_rights(&account, &open) {
        // In a folder of root's he can have a file, but make none.
        Err(GatewayError::File { source, .. }) if source.kind() == ErrorKind::PermissionDenied => {
            gift::make(path, account.uid, account.gid).map_err(failed)?;
            borrow_rights(&account, &open)
        }
        opened => opened,
    }
}

/// Files are looked at with the rights of `account` meanwhile, and of none of root's groups. For this thread, which is the
/// only one.
fn borrow_rights<T>(account: &Account, act: impl Fn() -> Result<T, GatewayError>) -> Result<T, GatewayError> {
    let cannot = |error: nix::Error| GatewayError::Setting {
        message: format!("cannot act as the user `{}`: {error}", account.name),
        hint: "start panoply as root for it, or leave `user` out".to_owned(),
    };
    let groups = getgroups().map_err(cannot)?;
    setgroups(&account.groups).map_err(cannot)?;
    let before = (setfsgid(account.gid), setfsuid(account.uid));
    let acted = act();
    setfsuid(before.1);
    setfsgid(before.0);
    setgroups(&groups).map_err(cannot)?;
    acted
}

/// # Errors
/// When `user` or `group` cannot be; and as root, where he has laid links for it: keys and certificates are read from his
/// folder before root is given up.
pub(crate) fn check(config: &Config) -> Result<(), GatewayError> {
    let Some(account) = Account::find(config)? else { return Ok(()) };
    let folder = state::folder(config.state.as_deref());
    match folder.ok().and_then(|folder| gift::link_of(&folder, account.uid, gift::DEEPEST)) {
        Some(link) if geteuid().is_root() => Err(setting(
            format!("`{}` is a link of `{}`'s, which root would follow", link.display(), account.name),
            "look at who was at work there, then remove it: panoply lays none",
        )),
        _ => Ok(()),
    }
}

/// Groups first: who is not root any more cannot change them. All threads do it, as the C library has it (nptl(7)).
fn become_him(account: &Account) -> nix::Result<()> {
    forgo_capabilities();
    setgroups(&account.groups)?;
    setresgid(account.gid, account.gid, account.gid)?;
    setresuid(account.uid, account.uid, account.uid)?;
    // What he would pass on to programs; who cannot is found by `has_capabilities`.
    let _ = set_capabilities(None, NONE);
    Ok(())
}

/// No program that he started could gain any of them, whatever its file says (capabilities(7)). Who lacks the right to
/// that, in a container, say, has the container's bounds.
fn forgo_capabilities() {
    for bit in 0..u64::BITS {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << bit)) {
            Ok(()) => {}
            Err(Errno::PERM) => tracing::debug!(bit, "a capability stays in the bounding set"),
            // The kernel has no more.
            Err(_) => return,
        }
    }
}

/// He has to go on with what root has made.
fn give(config: &Config, account: &Account) -> Result<(), GatewayError> {
    if let Ok(folder) = state::folder(config.state.as_deref()) {
        let given = state::make(&folder).and_then(|()| gift::folder(&folder, account.uid, account.gid));
        given.map_err(|source| GatewayError::File { verb: "give away", path: folder, source })?;
    }
    Ok(())
}

fn has_capabilities() -> bool {
    // Without the call there are none to be had.
    capabilities(None).is_ok_and(|sets| sets != NONE)
}

/// What only root can read was read; what replaces it could not be, and that would be seen on the day of a renewal.
fn warn_of_unreadable(config: &Config, user: &str) {
    for file in files(config) {
        if let Err(error) = std::fs::File::open(file) {
            tracing::warn!(
                file = %file.display(),
                %error,
                "was read as root, but `{user}` cannot: what replaces it will not be taken into use\nhint: {}",
                denied::give(file, user)
            );
        }
    }
}

fn setting(message: String, hint: &str) -> GatewayError {
    GatewayError::Setting { message, hint: hint.to_owned() }
}

const NONE: CapabilitySets = CapabilitySets {
    effective: CapabilitySet::empty(),
    permitted: CapabilitySet::empty(),
    inheritable: CapabilitySet::empty(),
};
const ROOT: Uid = Uid::from_raw(0);
