//! What is asked, and what is expected of the answer.

/// How a request comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Http1,
    Http2,
    Upgrade,
}

/// What it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Site,
    Address,
    Stranger,
}

pub(super) const HOSTS: [Host; 3] = [Host::Site, Host::Address, Host::Stranger];

/// Which gateway it meets: they differ in what is behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Behind {
    /// The app, at two places.
    App,
    /// Nothing listens.
    Nobody,
    /// The app is worked on.
    Maintenance,
}

/// What happens to a request. A status of 0: it cannot come in this way, for the reason in `except`.
pub(super) struct Row {
    pub(super) what: &'static str,
    pub(super) behind: Behind,
    pub(super) asks: Asks,
    /// By [`Way`], for the site's own name.
    pub(super) status: [u16; 3],
    /// Why a way is left out.
    pub(super) except: &'static str,
    pub(super) cells: Cells,
}

/// A request.
#[derive(Clone, Copy)]
pub(super) struct Asks {
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) headers: &'static [(&'static str, &'static str)],
    pub(super) body: &'static str,
    /// How often the same is sent before, so that a limit is used up, and the app gets it.
    pub(super) before: usize,
}

/// What is expected of the answer.
pub(super) struct Cells {
    /// Helmet's headers.
    pub(super) headers: Cell,
    /// Nothing names the software.
    pub(super) fingerprint: Cell,
    /// No stack and no default page; [`Cell::Apps`]: what the app wrote on purpose is there to the byte.
    pub(super) errors: Cell,
    /// The app's cookie has its flags.
    pub(super) cookies: Cell,
    /// The cookie that leads to the same place.
    pub(super) sticky: Cell,
    /// The app got the request, and its trace.
    pub(super) app: Cell,
    /// Who refused, as the access log says.
    pub(super) refused: &'static str,
    /// The page has the request's id, and it is the log's.
    pub(super) id: Cell,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cell {
    Holds,
    /// Nothing of the kind may be there.
    None,
    /// It is the app's, as it is.
    Apps,
}
pub(super) use Cell::{Apps, Holds, None as Nothing};

pub(super) const fn get(path: &'static str) -> Asks {
    Asks { method: "GET", path, headers: &[], body: "", before: 0 }
}

pub(super) const fn post(
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
) -> Asks {
    Asks { method: "POST", path, headers, body, before: 0 }
}

/// The app has answered, and it shows.
pub(super) const ANSWERED: Cells = Cells {
    headers: Holds,
    fingerprint: Holds,
    errors: Apps,
    cookies: Holds,
    sticky: Holds,
    app: Holds,
    refused: "",
    id: Nothing,
};
/// The app has answered, and its page is not shown.
pub(super) const MASKED: Cells = Cells { errors: Holds, id: Holds, ..ANSWERED };
/// The app never heard of it.
pub(super) const REFUSED: Cells =
    Cells { errors: Holds, cookies: Nothing, sticky: Nothing, app: Nothing, id: Holds, ..ANSWERED };

pub(super) const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
pub(super) const COOKIE: (&str, &str) = ("cookie", "theme=dark");
pub(super) const EVIL: (&str, &str) = ("origin", "https://evil.example");
pub(super) const CROSS: (&str, &str) = ("sec-fetch-site", "cross-site");
pub(super) const LONG_FORM: &str = "text=aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
pub(super) const A_BODY: &str = "a request to change the protocol has no body that could be judged";

pub(super) fn table() -> Vec<Row> {
    let long = format!("/{}", "a".repeat(9_000)).leak();
    let row = |what, behind, asks, status, cells| Row { what, behind, asks, status, except: "", cells };
    let mut rows = vec![
        row("the app answers", Behind::App, get("/ok"), [200, 200, 101], ANSWERED),
        row("the app refuses", Behind::App, get("/refused"), [401, 401, 401], ANSWERED),
        row("the app's own error page", Behind::App, get("/own"), [500, 500, 500], ANSWERED),
        row("the app throws", Behind::App, get("/throws"), [500, 500, 500], MASKED),
        row("Express knows no such page", Behind::App, get("/missing"), [404, 404, 404], MASKED),
        row(
            "the app is too slow",
            Behind::App,
            get("/slow"),
            [504, 504, 504],
            Cells { app: Holds, refused: "app", ..REFUSED },
        ),
        row(
            "the app is dead",
            Behind::Nobody,
            get("/ok"),
            [502, 502, 502],
            Cells { refused: "app", ..REFUSED },
        ),
        row(
            "the app is worked on",
            Behind::Maintenance,
            get("/ok"),
            [503, 503, 503],
            Cells { refused: "app", ..REFUSED },
        ),
        row(
            "redirects: off the site, since the query says so",
            Behind::App,
            get("/away?to=https://evil.example/x"),
            [400, 400, 400],
            Cells { app: Holds, refused: "redirects", ..REFUSED },
        ),
        row(
            "limits: the address is too long",
            Behind::App,
            get(long),
            [414, 414, 414],
            Cells { refused: "limits", ..REFUSED },
        ),
        row(
            "rate_limit: too often",
            Behind::App,
            Asks { before: 2, ..get("/tight") },
            [429, 429, 429],
            Cells { refused: "rate_limit", ..REFUSED },
        ),
        row(
            "csrf: a page of another site opens a socket",
            Behind::App,
            Asks { headers: &[COOKIE, EVIL, CROSS], ..get("/ok") },
            [200, 200, 403],
            ANSWERED,
        ),
        row(
            "csrf: another site writes",
            Behind::App,
            post(
                "/write",
                &[COOKIE, EVIL, CROSS, ("sec-fetch-mode", "no-cors"), ("content-type", "text/plain")],
                "a",
            ),
            [403, 403, 403],
            Cells { refused: "csrf", ..REFUSED },
        ),
    ];
    for (what, asks, status, refused) in [
        ("limits: the form is too long", post("/write", &[FORM], LONG_FORM), 413, "limits"),
        (
            "brute_force: wrong too often",
            Asks { before: 3, ..post("/login", &[FORM], "username=ann&password=guess") },
            429,
            "brute_force",
        ),
    ] {
        let status = [status, status, 0];
        rows.push(Row {
            what,
            behind: Behind::App,
            asks,
            status,
            except: A_BODY,
            cells: Cells { refused, ..REFUSED },
        });
    }
    rows
}
