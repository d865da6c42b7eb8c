use crate::audit::graph::Source;

/// Where the address in a lockfile leads: to a registry, a repository or a tarball elsewhere.
///
/// A registry's tarballs lie below `/-/`; GitHub's at `/download/@scope/name`.
pub(super) fn of(resolved: Option<&str>) -> Source {
    let Some(address) = resolved else { return Source::Registry(None) };
    let git = ["git+", "git:", "git@", "ssh:", "github:", "gitlab:", "bitbucket:", "gist:"];
    if git.iter().any(|scheme| address.starts_with(scheme)) {
        return Source::Git(address.to_owned());
    }
    let web = address.starts_with("https://") || address.starts_with("http://");
    let place = address.split(['#', '?']).next().unwrap_or(address);
    if web && place.ends_with(".git") {
        Source::Git(address.to_owned())
    } else if web && (place.contains("/-/") || place.contains("/download/@")) {
        Source::Registry(Some(address.to_owned()))
    } else {
        Source::Tarball(address.to_owned())
    }
}

/// Whether a path is that of a tarball and not of a folder.
pub(super) fn is_tarball(path: &str) -> bool {
    [".tgz", ".tar.gz", ".tar"].iter().any(|ending| path.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_tells_what_it_leads_to() {
        let registry = |address: &str| Source::Registry(Some(address.to_owned()));
        let git = |address: &str| Source::Git(address.to_owned());
        let tarball = |address: &str| Source::Tarball(address.to_owned());
        for (address, source) in [
            ("https://registry.npmjs.org/a/-/a-1.0.0.tgz", registry as fn(&str) -> Source),
            ("http://localhost:4873/@s/a/-/a-1.0.0.tgz", registry),
            ("https://npm.pkg.github.com/download/@s/a/1.0.0/0a1b", registry),
            ("git+ssh://git@github.com/o/r.git#0a1b", git),
            ("https://github.com/o/r.git#0a1b", git),
            ("github:o/r#0a1b", git),
            ("https://codeload.github.com/o/r/tar.gz/0a1b", tarball),
            ("file:../a.tgz", tarball),
        ] {
            assert_eq!(of(Some(address)), source(address), "{address}");
        }
        assert_eq!(of(None), Source::Registry(None));
    }
}
