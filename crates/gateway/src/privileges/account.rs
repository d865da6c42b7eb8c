//! A user to become, and whether one may.

use std::ffi::CString;

use nix::unistd::{Gid, Group, Uid, User, getgrouplist};

use super::setting;
use crate::GatewayError;
use crate::config::Config;

/// A user to become.
#[derive(Debug)]
pub(super) struct Account {
    pub(super) name: String,
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    pub(super) groups: Vec<Gid>,
}

impl Account {
    /// The account of `user` and `group`; `None`: there is nobody to become.
    ///
    /// # Errors
    /// When the system does not know them, or they are root.
    pub(super) fn find(config: &Config) -> Result<Option<Self>, GatewayError> {
        let Some(name) = &config.user else {
            return match &config.group {
                None => Ok(None),
                Some(group) => Err(setting(
                    format!("the group `{group}` was found without a `user`"),
                    "name the user too: a root in another group is still root",
                )),
            };
        };
        let (uid, known) = user(name)?;
        let gid = match (&config.group, &known) {
            (Some(name), _) => group(name)?,
            (None, Some(known)) => known.gid,
            (None, None) => {
                return Err(setting(
                    format!("the user `{name}` has no account here, and so no group"),
                    "name a `group` too; a number will do",
                ));
            }
        };
        if uid.is_root() || gid.as_raw() == 0 {
            return Err(setting(
                format!("the user `{name}` is root, or of its group"),
                "name one who may less, or leave `user` out",
            ));
        }
        // Names of the system hold no NUL; one that did would be in no further group.
        let groups = known.and_then(|known| getgrouplist(&CString::new(known.name).ok()?, gid).ok());
        let groups =
            groups.unwrap_or_else(|| vec![gid]).into_iter().filter(|group| group.as_raw() != 0).collect();
        Ok(Some(Self { name: name.clone(), uid, gid, groups }))
    }
}

/// A name goes before a number, as it does for chown (POSIX.1-2024).
fn user(name: &str) -> Result<(Uid, Option<User>), GatewayError> {
    if let Ok(Some(user)) = User::from_name(name) {
        return Ok((user.uid, Some(user)));
    }
    let uid = Uid::from_raw(number(name).ok_or_else(|| unknown("user", name))?);
    Ok((uid, User::from_uid(uid).ok().flatten()))
}

fn group(name: &str) -> Result<Gid, GatewayError> {
    if let Ok(Some(group)) = Group::from_name(name) {
        return Ok(group.gid);
    }
    number(name).map(Gid::from_raw).ok_or_else(|| unknown("group", name))
}

/// Of all that fit, the last means "as it was" to the kernel, which would be root (setresuid(2)).
fn number(text: &str) -> Option<u32> {
    let is_number = text.bytes().all(|digit| digit.is_ascii_digit());
    text.parse().ok().filter(|number| is_number && *number != u32::MAX)
}

fn unknown(what: &str, name: &str) -> GatewayError {
    setting(
        format!("there is no {what} `{name}` on this machine"),
        "`adduser --system --group panoply` makes both",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_known_by_name_and_by_number_and_root_by_neither() {
        for (text, expected) in [
            ("user = 'nobody'", Ok((65534, 65534))),
            ("user = 65534", Ok((65534, 65534))),
            ("user = '65532'\ngroup = 65533", Ok((65532, 65533))),
            ("user = 65532\ngroup = 'nogroup'", Ok((65532, 65534))),
            ("user = 65532", Err("the user `65532` has no account here, and so no group")),
            ("user = 'nobody'\ngroup = 0", Err("the user `nobody` is root, or of its group")),
            ("user = 0\ngroup = 65533", Err("the user `0` is root, or of its group")),
            ("user = 'root'\ngroup = 65533", Err("the user `root` is root, or of its group")),
            ("user = 4294967295\ngroup = 65533", Err("there is no user `4294967295` on this machine")),
            ("user = 'nobody'\ngroup = 4294967295", Err("there is no group `4294967295` on this machine")),
            ("user = 4294967296\ngroup = 65533", Err("there is no user `4294967296` on this machine")),
            ("user = '+0'\ngroup = 65533", Err("there is no user `+0` on this machine")),
            ("group = 65533", Err("the group `65533` was found without a `user`")),
        ] {
            let found = Account::find(&Config::parse(text).unwrap());
            let found = found.map(|account| account.unwrap());
            let found = found.map(|account| (account.uid.as_raw(), account.gid.as_raw()));
            assert_eq!(found.map_err(|error| error.to_string()), expected.map_err(str::to_owned), "{text}");
        }
    }
}
