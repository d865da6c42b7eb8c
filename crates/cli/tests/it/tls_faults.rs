//! What can be wrong with the files of a certificate: each is one error, with the file and the mend.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::authority::{Authority, Issued, write};
use crate::gateway::{Gateway, panoply};
use crate::recorder::{OK, Recorder};
use crate::scratch::Scratch;
use crate::visitor::Visitor;

/// `change` spoils a good pair; what panoply says of it, with the folder taken out.
fn said(change: impl Fn(&Authority, &Path)) -> String {
    let (authority, folder) = (Authority::new("shops"), Scratch::new());
    let folder = folder.path();
    authority.issue(&["shop.example"]).write(folder, "shop");
    change(&authority, folder);
    let path = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let (cert, key) = (path("shop.pem"), path("shop.key"));
    let arguments =
        ["serve", "--to", "http://127.0.0.1:1", "--https", "127.0.0.1:0", "--host", "shop.example"];
    let (code, _, stderr) = panoply(&[&arguments[..], &["--cert", &cert, "--key", &key]].concat());
    assert_eq!(code, Some(2), "{stderr}");
    stderr.replace(&format!("{}/", folder.display()), "")
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_its_mend() {
    type Change = Box<dyn Fn(&Authority, &Path)>;
    fn chain(text: &'static [u8]) -> Change {
        Box::new(move |_, folder| write(&folder.join("shop.pem"), text))
    }
    fn issued(make: impl Fn(&Authority) -> Issued + 'static) -> Change {
        Box::new(move |authority, folder| {
            make(authority).write(folder, "shop");
        })
    }
    let rows: Vec<(&str, Change, &str, &str)> = vec![
        (
            "empty",
            chain(b""),
            "`shop.pem` is empty",
            "write it anew; whoever renews it may have been cut short",
        ),
        (
            "no PEM",
            chain(b"certificate\n"),
            "`shop.pem` holds no certificate in PEM form",
            "give the chain that the authority sent, beginning `-----BEGIN CERTIFICATE-----`",
        ),
        (
            "DER",
            Box::new(|_, folder| openssl(folder, "x509 -in shop.pem -outform der", "shop.pem")),
            "`shop.pem` holds a certificate in binary (DER), but PEM was expected",
            "convert it: `openssl x509 -inform der -in shop.pem -out chain.pem`",
        ),
        (
            "a key in DER",
            Box::new(|_, folder| openssl(folder, "pkey -in shop.key -outform der", "shop.key")),
            "`shop.key` holds a private key in binary (DER), but PEM was expected",
            "convert it: `openssl pkey -inform der -in shop.key -out key.pem`",
        ),
        (
            "PKCS #12",
            Box::new(|_, folder| {
                openssl(folder, "pkcs12 -export -in shop.pem -inkey shop.key -passout pass:x", "shop.pem");
            }),
            "`shop.pem` is a PKCS #12 bundle, but PEM was expected",
            "unpack it: `openssl pkcs12 -in shop.pem -nodes -out both.pem`",
        ),
        (
            "the two are swapped",
            Box::new(|_, folder| {
                fs::rename(folder.join("shop.key"), folder.join("x")).unwrap();
                fs::rename(folder.join("shop.pem"), folder.join("shop.key")).unwrap();
                fs::rename(folder.join("x"), folder.join("shop.pem")).unwrap();
            }),
            "`shop.pem` holds a private key, but a certificate was expected",
            "give the chain that the authority sent, beginning `-----BEGIN CERTIFICATE-----`",
        ),
        (
            "a key with a password",
            Box::new(|_, folder| openssl(folder, "pkey -in shop.key -aes256 -passout pass:x", "shop.key")),
            "`shop.key` holds a private key with a password, which nobody is there to type in",
            "take the password off: `openssl pkey -in shop.key -out key.pem`, then `chmod 600 key.pem`",
        ),
        (
            "a key with a password, as of old",
            Box::new(|_, folder| {
                openssl(folder, "pkey -in shop.key -traditional -aes256 -passout pass:x", "shop.key");
            }),
            "`shop.key` holds a private key with a password, which nobody is there to type in",
            "take the password off: `openssl pkey -in shop.key -out key.pem`, then `chmod 600 key.pem`",
        ),
        (
            "the key of another certificate",
            Box::new(|authority, folder| {
                write(&folder.join("shop.key"), authority.issue(&["shop.example"]).key.as_bytes());
            }),
            "`shop.key` holds the key of another certificate than `shop.pem`",
            "give the key that the certificate was asked for with; a renewal may have made a new one",
        ),
        (
            "expired",
            issued(|authority| {
                authority.issue_as(&["shop.example"], |params| {
                    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
                    params.not_after = rcgen::date_time_ymd(2020, 4, 1);
                })
            }),
            "`shop.pem` holds a certificate that ended at 2020-04-01 00:00:00 UTC",
            "renew it; if it is new, check this machine's clock",
        ),
        (
            "not yet valid",
            issued(|authority| {
                authority.issue_as(&["shop.example"], |params| {
                    params.not_before = rcgen::date_time_ymd(2090, 1, 1);
                    params.not_after = rcgen::date_time_ymd(2090, 4, 1);
                })
            }),
            "`shop.pem` holds a certificate that is valid only from 2090-01-01 00:00:00 UTC",
            "wait, or check this machine's clock",
        ),
        (
            "for other names",
            issued(|authority| authority.issue(&["other.example", "www.shop.example"])),
            "`shop.pem` holds a certificate for `other.example`, `www.shop.example`, but the site is `shop.example`",
            "ask the authority for one with `shop.example` in it, or take `shop.example` out of the site's hosts",
        ),
        (
            "certificates that have nothing to do with each other",
            Box::new(|authority, folder| {
                let both = [authority.issue(&["shop.example"]).chain, authority.issue(&["b.example"]).chain];
                write(&folder.join("shop.pem"), both.concat().as_bytes());
            }),
            "`shop.pem` holds certificates that do not make one chain",
            "leave only the site's own certificate and, below it, each one's issuer",
        ),
        (
            "a key that others can read",
            Box::new(|_, folder| {
                fs::set_permissions(folder.join("shop.key"), fs::Permissions::from_mode(0o644)).unwrap();
            }),
            "`shop.key` holds a private key that others can read (mode 644)",
            "run `chmod 600 shop.key`",
        ),
        (
            "a hundred megabytes",
            Box::new(|_, folder| {
                fs::File::create(folder.join("shop.pem")).unwrap().set_len(100 << 20).unwrap();
            }),
            "`shop.pem` is larger than 1 MiB, which no chain and no key is",
            "check that the path is right",
        ),
        (
            "a file that never ends",
            Box::new(|_, folder| {
                fs::remove_file(folder.join("shop.pem")).unwrap();
                std::os::unix::fs::symlink("/dev/zero", folder.join("shop.pem")).unwrap();
            }),
            "`shop.pem` is larger than 1 MiB, which no chain and no key is",
            "check that the path is right",
        ),
    ];
    for (name, change, error, hint) in rows {
        assert_eq!(said(change), format!("error: {error}\nhint: {hint}\n"), "{name}");
    }
}

#[tokio::test]
async fn a_chain_in_the_wrong_order_is_mended_and_said() {
    let root = Authority::new("root");
    let below = root.below("between");
    let issued = below.issue(&["shop.example"]);
    let folder = Scratch::new();
    let (cert, key) =
        Issued { chain: [below.pem(), root.pem(), issued.chain.clone()].concat(), ..issued.clone() }
            .write(folder.path(), "shop");
    let app = Recorder::answering(OK);
    let gateway = Gateway::serve(
        app.address(),
        &["--host", "shop.example", "--cert", cert.to_str().unwrap(), "--key", key.to_str().unwrap()],
    );
    gateway.logged("the certificates of the chain stand in the wrong order");
    let met =
        Visitor::new(gateway.https(), &root, None).ask("shop.example", "shop.example", "").await.unwrap();
    assert_eq!((met.status, met.shown), (200, issued.der()));
}

/// Runs openssl, whose output takes the place of a file that it reads.
fn openssl(folder: &Path, arguments: &str, place: &str) {
    let ran = Command::new("openssl")
        .args(arguments.split(' '))
        .args(["-out", "made"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .expect("openssl is installed: run scripts/test");
    assert!(ran.success(), "openssl {arguments}");
    fs::rename(folder.join("made"), folder.join(place)).unwrap();
}
