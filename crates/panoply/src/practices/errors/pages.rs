use Shape::{Begins, Between, Holds, Route, Whole};

/// Whose default page `text` is.
///
/// These are told by how they begin and end. Those that merely hold an unmistakable sentence are in
/// [`marks`](super::marks).
pub(super) fn named(text: &[u8]) -> Option<&'static str> {
    let text = text.trim_ascii();
    PAGES.iter().find(|(_, shape)| shape.is(text)).map(|(by, _)| *by)
}

enum Shape {
    Whole(&'static str),
    Begins(&'static str),
    Between(&'static str, &'static str),
    /// A beginning, and what follows somewhere, in any order.
    Holds(&'static str, &'static [&'static str]),
    /// `Cannot GET /where`, and nothing else.
    Route,
}

impl Shape {
    fn is(&self, text: &[u8]) -> bool {
        match self {
            Whole(whole) => text == whole.as_bytes(),
            Begins(head) => text.starts_with(head.as_bytes()),
            Between(head, tail) => text.starts_with(head.as_bytes()) && text.ends_with(tail.as_bytes()),
            Holds(head, parts) => {
                text.starts_with(head.as_bytes())
                    && parts
                        .iter()
                        .all(|part| text.windows(part.len()).any(|window| window == part.as_bytes()))
            }
            Route => is_route(text),
        }
    }
}

fn is_route(text: &[u8]) -> bool {
    let Some(rest) = text.strip_prefix(b"Cannot ") else { return false };
    let method = rest.iter().take_while(|byte| byte.is_ascii_uppercase() || **byte == b'-').count();
    let path = rest.get(method..).unwrap_or_default();
    method > 0 && path.starts_with(b" /") && !path.iter().skip(1).any(u8::is_ascii_whitespace)
}

/// Compared with the body without blanks at either end.
///
/// Not here, on purpose: a bare reason phrase (`Not Found`, from Koa as from Express's `sendStatus`) and an
/// empty body, which name nobody; Next.js's pages, which stand in the site's own layout, and whose every other
/// page names Next.js too; the 400s to 422s of Fastify, Nest and Spring, whose JSON is what their clients read.
#[rustfmt::skip]
static PAGES: &[(&str, Shape)] = &[
    // Whatever ends in finalhandler or send: Express, Connect, serve-static. In development <pre> has the stack.
    ("Express", Between(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Error</title>\n</head>\n<body>\n<pre>",
        "</pre>\n</body>\n</html>",
    )),
    ("Express before 4.15", Route),
    ("Fastify", Between(r#"{"message":"Route "#, r#" not found","error":"Not Found","statusCode":404}"#)),
    ("Fastify", Begins(r#"{"statusCode":500,"error":"Internal Server Error","message":"#)),
    ("Fastify", Begins(r#"{"statusCode":500,"code":""#)),
    ("hapi", Whole(r#"{"statusCode":404,"error":"Not Found","message":"Not Found"}"#)),
    ("NestJS", Between(r#"{"message":"Cannot "#, r#"","error":"Not Found","statusCode":404}"#)),
    ("NestJS", Between(r#"{"statusCode":404,"message":"Cannot "#, r#"","error":"Not Found"}"#)),
    ("NestJS", Whole(r#"{"statusCode":500,"message":"Internal server error"}"#)),
    ("restify", Between(r#"{"code":"ResourceNotFound","message":"/"#, r#" does not exist"}"#)),

    ("Django", Begins("<!doctype html>\n<html lang=\"en\">\n<head>\n  <title>Not Found</title>\n</head>")),
    ("Django", Begins("<!doctype html>\n<html lang=\"en\">\n<head>\n  <title>Server Error (500)</title>\n</head>")),
    ("Django", Begins("<!doctype html>\n<html lang=\"en\">\n<head>\n  <title>403 Forbidden</title>\n</head>")),
    ("Django", Begins("<!doctype html>\n<html lang=\"en\">\n<head>\n  <title>Bad Request (400)</title>\n</head>")),
    ("Flask", Begins("<!doctype html>\n<html lang=en>\n<title>40")),
    ("Flask", Begins("<!doctype html>\n<html lang=en>\n<title>50")),
    ("Flask before 2.1", Begins("<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 3.2 Final//EN\">\n<title>")),
    ("FastAPI", Whole(r#"{"detail":"Not Found"}"#)),
    ("FastAPI", Whole(r#"{"detail":"Method Not Allowed"}"#)),
    ("gunicorn", Begins("<html>\n  <head>\n    <title>Internal Server Error</title>\n  </head>\n  <body>\n    <h1><p>")),
    ("Tornado", Begins("<html><title>404: Not Found</title><body>404: Not Found")),
    ("Tornado", Begins("<html><title>500: Internal Server Error</title><body>500: ")),
    ("aiohttp", Whole("404: Not Found")),

    ("Spring Boot", Holds(r#"{"timestamp":"#, &[r#""status":404"#, r#""error":""#, r#""path":""#])),
    ("Spring Boot", Holds(r#"{"timestamp":"#, &[r#""status":405"#, r#""error":""#, r#""path":""#])),
    ("Spring Boot", Holds(r#"{"timestamp":"#, &[r#""status":5"#, r#""error":""#, r#""path":""#])),
    ("Tomcat", Begins("<!doctype html><html lang=\"en\"><head><title>HTTP Status ")),
    ("Tomcat", Begins("<html><head><title>Apache Tomcat/")),
    ("Undertow", Whole("<html><head><title>Error</title></head><body>Not Found</body></html>")),
    ("Undertow", Whole("<html><head><title>Error</title></head><body>404 - Not Found</body></html>")),
    ("Undertow", Whole("<html><head><title>Error</title></head><body>Internal Server Error</body></html>")),

    ("nginx", Begins("<html>\r\n<head><title>40")),
    ("nginx", Begins("<html>\r\n<head><title>50")),
    // A document type of 1995, which nobody writes by hand.
    ("Apache or Bottle", Begins("<!DOCTYPE HTML PUBLIC \"-//IETF//DTD HTML 2.0//EN\">\n<html>")),
    // The missing blank between the two strings is Windows' own.
    ("IIS", Begins("<!DOCTYPE HTML PUBLIC \"-//W3C//DTD HTML 4.01//EN\"\"http://www.w3.org/TR/html4/strict.dtd\">")),
    ("HAProxy", Between("<html><body><h1>503 Service Unavailable</h1>", "to handle this request.\n</body></html>")),
    ("Envoy", Begins("upstream connect error or disconnect/reset before headers")),
    ("Envoy", Whole("no healthy upstream")),
    ("PHP", Begins("<!doctype html><html><head><title>404 Not Found</title><style>\nbody { background-color: #fcfcfc;")),

    ("Go", Whole("404 page not found")),
    ("Laravel", Whole("{\n    \"message\": \"Server Error\"\n}")),
    ("Laravel", Between("{\n    \"message\": \"The route ", " could not be found.\"\n}")),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_default_page_is_known_by_its_maker() {
        let express = |text: &str| {
            format!(
                "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Error</title>\n\
                 </head>\n<body>\n<pre>{text}</pre>\n</body>\n</html>\n"
            )
        };
        for (by, page) in [
            ("Express", &*express("Cannot GET /nope")),
            ("Express", &express("Internal Server Error")),
            ("Express", &express("Error: boom<br> &nbsp; &nbsp;at f (/app/a.js:1:2)")),
            ("Express before 4.15", "Cannot DELETE /a/b\n"),
            ("Express before 4.15", "Cannot M-SEARCH /"),
            ("Fastify", r#"{"message":"Route GET:/x not found","error":"Not Found","statusCode":404}"#),
            (
                "Fastify",
                r#"{"statusCode":500,"error":"Internal Server Error","message":"connect ECONNREFUSED"}"#,
            ),
            ("NestJS", r#"{"message":"Cannot GET /x","error":"Not Found","statusCode":404}"#),
            (
                "Spring Boot",
                r#"{"timestamp":"2024-05-01T10:00:00.000+00:00","status":404,"error":"Not Found","path":"/x"}"#,
            ),
            ("nginx", "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center>…"),
            (
                "Flask",
                "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n<p>The …</p>\n",
            ),
            (
                "Django",
                "\n<!doctype html>\n<html lang=\"en\">\n<head>\n  <title>Not Found</title>\n</head>\n<body>…",
            ),
            ("Go", "404 page not found\n"),
        ] {
            assert_eq!(named(page.as_bytes()), Some(by), "{page}");
        }
    }

    #[test]
    fn what_an_app_wrote_on_purpose_is_nobodys_default() {
        for page in [
            "",
            "Not Found",
            "Internal Server Error\n",
            "Cannot GET that: ask the owner",
            "Cannot GET /x because it moved",
            "Cannot get /x",
            r#"{"error":"not found"}"#,
            r#"{"detail":"No such user"}"#,
            r#"{"message":"Cannot find that user","error":"gone","statusCode":404}"#,
            r#"{"statusCode":400,"code":"FST_ERR_VALIDATION","error":"Bad Request","message":"body/name is missing"}"#,
            r#"{"timestamp":"2024-05-01","status":400,"error":"Bad Request","path":"/x","errors":[]}"#,
            r#"{"timestamp":1,"status":503,"reason":"closed for the night"}"#,
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n<title>Error</title>\n</head>\n\
             <body>\n<h1>Sorry</h1>\n</body>\n</html>\n",
            "<html><head><title>Error</title></head><body><h1>Our till is on fire</h1></body></html>",
            "<html><body><h1>503 Service Unavailable</h1>Back at nine.</body></html>",
            "<html><head><title>404 Not Found</title></head><body>…</body></html>",
        ] {
            assert_eq!(named(page.as_bytes()), None, "{page}");
        }
    }
}
