//! What of a project's settings goes with the copy in which its package manager writes.
//!
//! Those that say where packages are, and what the lockfile is like. Others name programs that the manager would start,
//! or send a secret of the environment to whoever the project likes. A setting that nobody knows here stays behind.

use toml::{Table, Value};

use panoply_inspect::audit::fix::manager::Manager;

/// A file of settings, and what is left of its text; `None` where it is not what it should be.
pub(super) type Settings = (&'static str, fn(&str) -> Option<String>);

/// The files of settings that `manager` reads in a project's folder.
pub(super) const fn of(manager: Manager) -> &'static [Settings] {
    match manager {
        Manager::Npm => &[(".npmrc", npmrc)],
        Manager::Pnpm => &[(".npmrc", npmrc), ("pnpm-workspace.yaml", pnpm_workspace)],
        Manager::Yarn => &[(".npmrc", npmrc), (".yarnrc", yarnrc)],
        Manager::Berry => &[(".yarnrc.yml", yarnrc_yml)],
        Manager::Bun => &[(".npmrc", npmrc), ("bunfig.toml", bunfig)],
        Manager::Cargo => &[(".cargo/config.toml", cargo_config), (".cargo/config", cargo_config)],
        _ => &[],
    }
}

/// What runs programs of its own while the lockfile is made, and cannot be left out without another lockfile.
pub(super) const fn programs(manager: Manager) -> &'static [&'static str] {
    if matches!(manager, Manager::Pnpm) { &[".pnpmfile.cjs", ".pnpmfile.mjs"] } else { &[] }
}

fn npmrc(text: &str) -> Option<String> {
    Some(lines(text, |line| {
        let key = line.split('=').next().unwrap_or_default().trim();
        is_place(key) || key.starts_with("//") || OF_NPMRC.contains(&key)
    }))
}

fn yarnrc(text: &str) -> Option<String> {
    Some(lines(text, |line| is_place(line.split_whitespace().next().unwrap_or_default().trim_matches('"'))))
}

fn yarnrc_yml(text: &str) -> Option<String> {
    Some(blocks(text, OF_YARNRC_YML))
}

fn pnpm_workspace(text: &str) -> Option<String> {
    Some(blocks(text, OF_PNPM_WORKSPACE))
}

fn bunfig(text: &str) -> Option<String> {
    let written: Table = text.parse().ok()?;
    let install = written.get("install").and_then(Value::as_table);
    let kept: Table = install
        .into_iter()
        .flatten()
        .filter(|(key, value)| OF_BUNFIG.contains(&key.as_str()) && !value.to_string().contains('$'))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    Some(Table::from_iter([("install".to_owned(), Value::Table(kept))]).to_string())
}

/// `credential-provider` and `token` are the user's own, if he has any.
fn cargo_config(text: &str) -> Option<String> {
    let mut written: Table = text.parse().ok()?;
    written.retain(|key, _| matches!(key, "source" | "registries" | "registry"));
    let registries = written.get_mut("registries").and_then(Value::as_table_mut);
    let each = registries.into_iter().flat_map(Table::iter_mut).map(|(_, registry)| registry);
    each.filter_map(Value::as_table_mut).for_each(|registry| registry.retain(|key, _| key == "index"));
    if let Some(registry) = written.get_mut("registry").and_then(Value::as_table_mut) {
        registry.retain(|key, _| key == "index" || key == "default");
    }
    Some(written.to_string())
}

fn is_place(key: &str) -> bool {
    key == "registry" || key.ends_with(":registry")
}

fn lines(text: &str, is_harmless: impl Fn(&str) -> bool) -> String {
    let kept = plain(text).lines().filter(|line| is_harmless(line) && !says_more(line));
    kept.flat_map(|line| [line, "\n"]).collect()
}

/// Package managers decode what is quoted, and only then look for names of variables, which may be secrets: so a line
/// with either sign goes.
fn says_more(line: &str) -> bool {
    line.contains(['$', '\\'])
}

/// Nothing of a text in which a carriage return stands alone: to YAML and npm it ends a line, here it does not.
fn plain(text: &str) -> &str {
    if text.replace("\r\n", "").contains('\r') { "" } else { text }
}

/// The blocks of these keys, each with the lines that are indented below it.
fn blocks(text: &str, keys: &[&str]) -> String {
    let mut kept = false;
    let of_kept = |line: &&str| {
        if !line.starts_with([' ', '\t', '#', '-']) && !line.trim().is_empty() {
            let key = line.split(':').next().unwrap_or_default().trim_matches(['"', '\'']);
            kept = keys.contains(&key);
        }
        kept && !says_more(line)
    };
    plain(text).lines().filter(of_kept).flat_map(|line| [line, "\n"]).collect()
}

const OF_NPMRC: &[&str] = &[
    "auto-install-peers",
    "dedupe-peer-dependents",
    "exclude-links-from-lockfile",
    "inject-workspace-packages",
    "legacy-peer-deps",
    "link-workspace-packages",
    "lockfile-version",
    "peers-suffix-max-length",
    "prefer-workspace-packages",
    "resolution-mode",
    "strict-peer-deps",
];
/// `compressionLevel` is in the checksums.
const OF_YARNRC_YML: &[&str] = &[
    "checksumBehavior",
    "compressionLevel",
    "defaultProtocol",
    "enableTransparentWorkspaces",
    "npmMinimalAgeGate",
    "npmPreapprovedPackages",
    "npmRegistries",
    "npmRegistryServer",
    "npmScopes",
    "packageExtensions",
    "supportedArchitectures",
];
/// With `patchedDependencies` pnpm looks for patches, which are not in the copy, and says so.
const OF_PNPM_WORKSPACE: &[&str] = &[
    "autoInstallPeers",
    "blockExoticSubdeps",
    "catalog",
    "catalogs",
    "dedupePeerDependents",
    "excludeLinksFromLockfile",
    "ignoredOptionalDependencies",
    "injectWorkspacePackages",
    "linkWorkspacePackages",
    "minimumReleaseAge",
    "minimumReleaseAgeExclude",
    "overrides",
    "packageExtensions",
    "packages",
    "patchedDependencies",
    "peerDependencyRules",
    "peersSuffixMaxLength",
    "preferWorkspacePackages",
    "resolutionMode",
    "supportedArchitectures",
    "trustPolicy",
];
const OF_BUNFIG: &[&str] =
    &["linkWorkspacePackages", "linker", "minimumReleaseAge", "peer", "registry", "scopes"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_program_and_no_secret_goes_along() {
        for (manager, file, text, kept) in [
            (
                Manager::Npm,
                ".npmrc",
                "registry=https://r.example/\n//r.example/:_authToken=${TOKEN}\ngit=./evil\nlegacy-peer-deps=true\n@s:registry=https://s.example/\n",
                "registry=https://r.example/\nlegacy-peer-deps=true\n@s:registry=https://s.example/\n",
            ),
            // What is decoded later, or is two lines to others.
            (
                Manager::Npm,
                ".npmrc",
                "registry=\"https://e.example/\\u0024{TOKEN}\"\nlegacy-peer-deps=true\n",
                "legacy-peer-deps=true\n",
            ),
            (Manager::Npm, ".npmrc", "registry=https://r.example/\rgit=./evil\n", ""),
            (
                Manager::Berry,
                ".yarnrc.yml",
                "npmRegistryServer: \"https://e.example/\\x24{TOKEN}\"\ncompressionLevel: 0\n",
                "compressionLevel: 0\n",
            ),
            (
                Manager::Berry,
                ".yarnrc.yml",
                "npmRegistryServer: https://r.example\rplugins:\r  - path: ./evil\n",
                "",
            ),
            (
                Manager::Yarn,
                ".yarnrc",
                "registry \"https://r.example/\"\nyarn-path \"./evil.js\"\n\"@s:registry\" https://s.example/\n",
                "registry \"https://r.example/\"\n\"@s:registry\" https://s.example/\n",
            ),
            (
                Manager::Berry,
                ".yarnrc.yml",
                "yarnPath: evil.cjs\nplugins:\n  - path: evil.cjs\nnpmScopes:\n  s:\n    npmRegistryServer: https://s.example\n    npmAuthToken: ${TOKEN}\ncompressionLevel: 0\n",
                "npmScopes:\n  s:\n    npmRegistryServer: https://s.example\ncompressionLevel: 0\n",
            ),
            (
                Manager::Pnpm,
                "pnpm-workspace.yaml",
                "packages:\n- web\n\nconfigDependencies:\n  evil: 1.0.0\n'catalog':\n  a: ^1\npnpmfile: evil.cjs\n",
                "packages:\n- web\n\n'catalog':\n  a: ^1\n",
            ),
            (
                Manager::Bun,
                "bunfig.toml",
                "preload = [\"./evil.ts\"]\n[install]\nregistry = \"https://r.example/\"\n[install.scopes]\ns = { url = \"https://s.example/\", token = \"$TOKEN\" }\n[install.security]\nscanner = \"evil\"\n",
                "[install]\nregistry = \"https://r.example/\"\n",
            ),
            (
                Manager::Cargo,
                ".cargo/config.toml",
                "[build]\nrustc-wrapper = \"./evil\"\n[registries.r]\nindex = \"sparse+https://r.example/\"\ntoken = \"t\"\ncredential-provider = \"./evil\"\n[registry]\ndefault = \"r\"\ncredential-provider = \"./evil\"\n",
                "[registries.r]\nindex = \"sparse+https://r.example/\"\n\n[registry]\ndefault = \"r\"\n",
            ),
        ] {
            let (_, harmless) = of(manager).iter().find(|(name, _)| *name == file).unwrap();
            assert_eq!(harmless(text).as_deref(), Some(kept), "{file}");
        }
        assert_eq!(bunfig("[install"), None);
        assert_eq!(cargo_config("[source"), None);
    }
}
