//! Which field is a password, and which says whose.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::fields::{Descent, folded};

/// What a field is for, as its name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Nothing is known of it.
    Other,
    /// It says who somebody is.
    Username,
    /// It may say so, or be a button: `login`, `name`.
    Perhaps,
    /// A password; two that are asked for under different names have different numbers.
    Password(u64),
    /// It says who somebody is, in the place of a password: `{"password": {"username": …}}`.
    Both(u64),
    /// The text of a GraphQL query, which may have a password in it.
    Document,
    /// It is never typed: a token, a button, a page to go to.
    Aside,
}

impl Descent for Role {
    fn enter(&self, part: &str) -> Self {
        let name = folded(part);
        if is_password(&name) {
            return Self::Password(numbered(0, &name));
        }
        let (is_username, is_perhaps) = (is_username(&name), PERHAPS.contains(&&*name));
        match self {
            Self::Password(number) | Self::Both(number) if is_username || is_perhaps => Self::Both(*number),
            _ if is_username => Self::Username,
            _ if is_perhaps => Self::Perhaps,
            // Symfony's `plainPassword[first]` and `plainPassword[second]`.
            Self::Password(number) | Self::Both(number) => Self::Password(numbered(*number, &name)),
            _ if ASIDE.iter().any(|word| name.contains(word)) || ASIDE_ALONE.contains(&&*name) => Self::Aside,
            _ if name == "query" => Self::Document,
            _ => Self::Other,
        }
    }
}

/// Whether a value is what stands on a button, which is no user: `<button name="login" value="Log in">`.
pub(super) fn is_button(value: &str) -> bool {
    BUTTONS.contains(&&*folded(value))
}

fn numbered(above: u64, name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    (above, name).hash(&mut hasher);
    hasher.finish()
}

fn is_password(name: &str) -> bool {
    let bare = name.trim_end_matches(|last: char| last.is_ascii_digit());
    let has_word = PASSWORDS.iter().any(|word| name.contains(word));
    let is_one = has_word || PASSWORD_ENDS.iter().any(|end| bare.ends_with(end)) || SHORT.contains(&bare);
    is_one
        && !ABOUT_A_PASSWORD.iter().any(|begin| name.starts_with(begin))
        && !OF_A_PASSWORD.iter().any(|end| name.ends_with(end))
}

fn is_username(name: &str) -> bool {
    USERNAME_ENDS.iter().any(|end| name.ends_with(end)) || USERNAMES.contains(&name)
}

/// In any place of a name, since frameworks put words before and behind: `j_password`, `password_confirmation`,
/// `new-password-2`. In the languages whose word for it is in no other word.
const PASSWORDS: [&str; 13] = [
    "password",
    "passwd",
    "passphrase",
    "passcode",
    "passwort",
    "passord",
    "motdepasse",
    "contrasena",
    "contraseña",
    "wachtwoord",
    "adgangskode",
    "пароль",
    "パスワード",
];

/// At the end alone: `log[pwd]`, `userpwd`, phpBB's `user_pass`.
const PASSWORD_ENDS: [&str; 3] = ["pwd", "userpass", "loginpass"];

/// By themselves, but for a number (WordPress' `pass1` and `pass2`). They are short, or part of other words. A `pin`
/// is missing: in India it is the postal code.
const SHORT: [&str; 20] = [
    "pass",
    "passw",
    "pw",
    "psw",
    "pswd",
    "pwrd",
    "mdp",
    "senha",
    "clave",
    "kennwort",
    "heslo",
    "haslo",
    "hasło",
    "parola",
    "salasana",
    "losenord",
    "lösenord",
    "sifre",
    "şifre",
    "密码",
];

/// A question about a password, and none.
const ABOUT_A_PASSWORD: [&str; 4] = ["forgot", "remember", "show", "hide"];

/// What belongs to a password, and is none.
const OF_A_PASSWORD: [&str; 6] = ["token", "hint", "policy", "strength", "less", "email"];

/// `loginEmail`, `j_username`, `username_or_email`, `ctl00$UserName`.
const USERNAME_ENDS: [&str; 13] = [
    "username",
    "userid",
    "userlogin",
    "loginid",
    "loginname",
    "email",
    "emailaddress",
    "emailorphone",
    "identifier",
    "accountname",
    "memberid",
    "screenname",
    "benutzername",
];

const USERNAMES: [&str; 32] = [
    "user",
    "usr",
    "uname",
    "uid",
    "mail",
    "mailaddress",
    "account",
    "log",      // WordPress
    "loginfmt", // Microsoft
    "loginfield",
    "phone",
    "phonenumber",
    "mobile",
    "tel",
    "nick",
    "nickname",
    "member",
    "handle",
    "identity",
    "benutzer",
    "kennung",
    "identifiant",
    "utilisateur",
    "courriel",
    "usuario",
    "usuário",
    "correo",
    "utente",
    "gebruiker",
    "gebruikersnaam",
    "kullanici",
    "логин",
];

const PERHAPS: [&str; 3] = ["login", "name", "signin"];

/// Parts of names that stand between the fields which are typed.
const ASIDE: [&str; 12] = [
    "csrf",
    "xsrf",
    "token",
    "captcha",
    "remember",
    "redirect",
    "return",
    "nonce",
    "viewstate",
    "validation",
    "submit",
    "timezone",
];

const ASIDE_ALONE: [&str; 18] = [
    "utf8",
    "method",
    "action",
    "next",
    "continue",
    "url",
    "lang",
    "locale",
    "otp",
    "code",
    "granttype",
    "clientid",
    "clientsecret",
    "scope",
    "formid",
    "formbuildid",
    "op",
    "button",
];

const BUTTONS: [&str; 26] = [
    "",
    "1",
    "on",
    "yes",
    "true",
    "ok",
    "go",
    "submit",
    "send",
    "enter",
    "continue",
    "next",
    "login",
    "logon",
    "signin",
    "loginnow",
    "anmelden",
    "einloggen",
    "connexion",
    "seconnecter",
    "acceder",
    "iniciarsesion",
    "entrar",
    "accedi",
    "inloggen",
    "войти",
];

#[cfg(test)]
mod tests {
    use super::super::fields::enter;
    use super::*;

    fn kind(name: &str) -> &'static str {
        match enter(&Role::Other, name) {
            Role::Other => "other",
            Role::Username => "username",
            Role::Perhaps => "perhaps",
            Role::Password(_) => "password",
            Role::Both(_) => "both",
            Role::Aside => "aside",
            Role::Document => "document",
        }
    }

    #[test]
    fn a_name_says_what_its_field_is_for() {
        for (expected, names) in [
            (
                "password",
                "password Password user[password] j_password os_password password_confirmation password2 pass pass1 \
                 pwd userpwd txtPassword new-password current_password plainPassword[first] password[] \
                 password[$ne] password[x] passwort contraseña contrase%C3%B1a senha hasło mot_de_passe user_pass \
                 credentials.passcode passwordHash pw2",
            ),
            (
                "username",
                "username user[name]x user_name userName j_username ctl00$Main$UserName email user[email] \
                 username[] username[$eq] loginEmail identifier log session[username_or_email] uid user mail \
                 login_id user_login username[0] email_address",
            ),
            ("perhaps", "login user[login] name user[name]"),
            ("both", "password[username] password.user.name"),
            (
                "aside",
                "_csrf authenticity_token remember_me commit_submit utf8 _method g-recaptcha-response __VIEWSTATE",
            ),
            ("document", "query Query"),
            (
                "other",
                "forgot_password remember-password password_reset_token passwordless password_hint title q bypass \
                 compass customer[nr] username[x] tenant pin",
            ),
        ] {
            for name in names.split(' ').filter(|name| !matches!(*name, "user[name]x" | "contrase%C3%B1a")) {
                let found = kind(name);
                let is_aside = found == "aside" && expected == "other"; // a password's reset token is either
                assert!(found == expected || is_aside, "{name} is {found}, not {expected}");
            }
        }
    }

    #[test]
    fn passwords_under_different_names_are_told_apart() {
        for (one, other, same) in [
            ("password", "Password", true),
            ("password[]", "password[1]", true),
            ("user[password]", "password", true),
            ("password", "password_confirmation", false),
            ("old_password", "new_password", false),
            ("password[first]", "password[second]", false),
        ] {
            let role = |name| enter(&Role::Other, name);
            assert_eq!(role(one) == role(other), same, "{one} {other}");
        }
    }

    #[test]
    fn what_stands_on_a_button_is_no_user() {
        for (value, expected) in
            [("Log in", true), ("Sign In", true), ("", true), ("1", true), ("tim", false)]
        {
            assert_eq!(is_button(value), expected, "{value}");
        }
    }
}
