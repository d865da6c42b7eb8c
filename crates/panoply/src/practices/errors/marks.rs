use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

/// What in `text` only a crash, a debugger or somebody's default page says.
///
/// One pass over the text finds the words; a proof then looks at no more than [`NEAR`] bytes around each.
pub(super) fn found(text: &[u8]) -> Option<&'static str> {
    let words = WORDS.as_ref()?;
    words.find_overlapping_iter(text).find_map(|found| {
        let mark = MARKS.get(found.pattern().as_usize())?;
        let before = text.get(found.start().saturating_sub(NEAR)..found.start())?;
        let after = text.get(found.end()..text.len().min(found.end() + NEAR))?;
        (mark.proof)(before, after).then_some(mark.shows)
    })
}

/// `None` only where these words could not be compiled, which a test rules out.
static WORDS: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| AhoCorasick::new(MARKS.iter().map(|mark| mark.word)).ok());

/// The longest line of a stack that is looked at.
const NEAR: usize = 512;

struct Mark {
    word: &'static str,
    shows: &'static str,
    /// Whether the bytes before and after the word make it what it seems to be.
    proof: fn(&[u8], &[u8]) -> bool,
}

const fn mark(word: &'static str, shows: &'static str, proof: fn(&[u8], &[u8]) -> bool) -> Mark {
    Mark { word, shows, proof }
}

static MARKS: &[Mark] = &[
    // Stack frames
    mark("at ", "a JavaScript stack", is_javascript_frame),
    mark("at ", "a .NET or Java stack", is_managed_frame),
    mark("Traceback (most recent call last)", "a Python stack", anywhere),
    mark(", line ", "a Python stack", is_python_frame),
    mark(".java:", "a Java stack", is_java_frame),
    mark(".kt:", "a Java stack", is_java_frame),
    mark(".scala:", "a Java stack", is_java_frame),
    mark(".groovy:", "a Java stack", is_java_frame),
    mark(":line ", "a .NET stack", |before, after| number(after).is_some() && holds(before, b" in ")),
    mark("goroutine ", "a Go stack", |_, after| number(after).is_some_and(|rest| rest.starts_with(b" ["))),
    mark(".go:", "a Go stack", |_, after| number(after).is_some_and(|rest| rest.starts_with(b" +0x"))),
    mark(".rb:", "a Ruby stack", |_, after| number(after).is_some_and(|rest| rest.starts_with(b":in "))),
    mark(".erb:", "a Ruby stack", |_, after| number(after).is_some_and(|rest| rest.starts_with(b":in "))),
    mark(".php(", "a PHP stack", |_, after| number(after).is_some_and(|rest| rest.starts_with(b")"))),
    mark(".php:", "a PHP error", is_php_place),
    mark(".php on line ", "a PHP error", |_, after| number(after).is_some()),
    mark(".php</b> on line ", "a PHP error", |_, after| after.starts_with(b"<b>")),
    mark("panicked at ", "a Rust panic", |_, after| holds(after, b".rs:")),
    mark(".pl line ", "a Perl error", |_, after| number(after).is_some()),
    mark(".pm line ", "a Perl error", |_, after| number(after).is_some()),
    mark(".ex:", "an Elixir stack", |_, after| number(after).is_some_and(|rest| rest.starts_with(b": "))),
    // What databases and drivers say
    mark("You have an error in your SQL syntax; check the manual", "an SQL error", anywhere),
    mark("SQLSTATE[", "an SQL error", anywhere),
    mark("ORA-", "an SQL error", |_, after| number(after).is_some_and(|rest| after.len() == rest.len() + 5)),
    mark("psycopg2.errors.", "an SQL error", anywhere),
    mark("sqlite3.OperationalError", "an SQL error", anywhere),
    mark("SQLITE_ERROR: ", "an SQL error", anywhere),
    mark("Unclosed quotation mark after the character string", "an SQL error", anywhere),
    mark("syntax error at or near ", "an SQL error", |_, after| is_quote(after)),
    mark("PG::SyntaxError", "an SQL error", anywhere),
    mark("org.postgresql.util.PSQLException", "an SQL error", anywhere),
    mark("java.sql.SQL", "an SQL error", anywhere),
    mark("System.Data.SqlClient.SqlException", "an SQL error", anywhere),
    mark("Microsoft OLE DB Provider for", "an SQL error", anywhere),
    mark("[ODBC SQL Server Driver]", "an SQL error", anywhere),
    mark("PrismaClientKnownRequestError", "an SQL error", anywhere),
    mark("SequelizeDatabaseError", "an SQL error", anywhere),
    mark("MongoServerError: ", "a database error", anywhere),
    mark("ENOENT: no such file or directory, ", "a path of the machine", anywhere),
    // Pages for developers
    mark("<title>Action Controller: Exception caught", "Rails in development", anywhere),
    mark("// Werkzeug Debugger</title>", "Flask in development", anywhere),
    mark("because you have <code>DEBUG = True</code>", "Django in development", anywhere),
    mark("Sinatra doesn&rsquo;t know this ditty", "Sinatra in development", anywhere),
    mark("have enabled the <code>show_exceptions</code>", "Sinatra in development", anywhere),
    mark("Server Error in '/", "ASP.NET in development", anywhere),
    mark("Detailed Error - ", "IIS in development", |before, _| holds(before, b"<title>IIS ")),
    // Default pages whose head varies
    mark("<h1>Whitelabel Error Page</h1>", "Spring Boot's page", anywhere),
    mark("rails-default-error-page", "Rails's page", anywhere),
    mark("<h1>Oops! An Error Occurred</h1>", "Symfony's page", anywhere),
    mark("text-lg text-gray-500 border-r border-gray-400 tracking-wider", "Laravel's page", anywhere),
    mark("<small>Rocket</small>", "Rocket's page", anywhere),
    mark("<h2>HTTP ERROR ", "Jetty's page", |_, after| number(after).is_some()),
    mark("<TITLE>Error 404--Not Found</TITLE>", "WebLogic's page", anywhere),
    mark("<div id=\"header\"><h1>Server Error</h1></div>", "IIS's page", anywhere),
    mark("<p>Varnish cache server</p>", "Varnish's page", anywhere),
    mark("<ADDRESS>\n     WEBrick/", "WEBrick's page", anywhere),
    mark("Puma caught this error: ", "Puma's page", anywhere),
    mark("<h1>Error response</h1>\n        <p>Error code: ", "Python's page", anywhere),
    mark("CSRF verification failed. Request aborted.", "Django's page", anywhere),
];

fn anywhere(_: &[u8], _: &[u8]) -> bool {
    true
}

/// `at f (/app/a.js:1:2)`, `at node:internal/x:1:2`, also with `<br>`, `&nbsp;` or JSON's `\n` around it.
fn is_javascript_frame(before: &[u8], after: &[u8]) -> bool {
    if !begins_a_word(before) {
        return false;
    }
    let line = line(after);
    let place = line.iter().enumerate().filter(|(_, byte)| **byte == b':').find_map(|(at, _)| {
        let (place, position) = line.split_at_checked(at)?;
        let rest = number(position.get(1..)?)?;
        let rest = number(rest.strip_prefix(b":")?)?;
        let ends = rest.first().is_none_or(|byte| b"), \t\\\"".contains(byte));
        (ends && place.last()?.is_ascii_alphabetic()).then_some(place) // no time of day: 12:30:45
    });
    place.is_some_and(|place| [&b"/"[..], b"\\", b"node:"].iter().any(|part| holds(place, part)))
}

/// `   at Shop.Till.Open(String[] args)` on a line of its own.
fn is_managed_frame(before: &[u8], after: &[u8]) -> bool {
    let mut start = before;
    while let Some(rest) = BLANKS.iter().find_map(|blank| start.strip_suffix(*blank)) {
        start = rest;
    }
    let alone = start.len() < before.len() && LINE_ENDS.iter().any(|end| start.ends_with(end));
    let name = after.iter().take_while(|byte| is_name(**byte)).count();
    let Some((name, rest)) = after.split_at_checked(name) else { return false };
    alone && name.contains(&b'.') && rest.starts_with(b"(") && holds(line(rest), b")")
}

/// `File "/app/a.py", line 3, in f`, its quotes as they are, or escaped for HTML or JSON.
fn is_python_frame(before: &[u8], after: &[u8]) -> bool {
    number(after).is_some_and(|rest| rest.starts_with(b", in ")) && holds(before, b"File ")
}

/// `(Till.java:12)`
fn is_java_frame(before: &[u8], after: &[u8]) -> bool {
    let file = before.iter().rev().take_while(|byte| is_name(**byte)).count();
    let before = before.get(..before.len() - file).unwrap_or_default();
    file > 0 && before.ends_with(b"(") && number(after).is_some_and(|rest| rest.starts_with(b")"))
}

/// `in /app/a.php:12`, but not `https://shop.example/a.php:12`
fn is_php_place(before: &[u8], after: &[u8]) -> bool {
    let path = before.iter().rev().take_while(|byte| !byte.is_ascii_whitespace()).count();
    let Some((before, path)) = before.split_at_checked(before.len() - path) else { return false };
    before.ends_with(b"in ")
        && (path.starts_with(b"/") || path.get(1) == Some(&b':'))
        && number(after).is_some()
}

/// `at` is not the end of another word.
fn begins_a_word(before: &[u8]) -> bool {
    match before {
        [] => true,
        [.., b'\\', b'n' | b't'] => true, // escaped in JSON
        [.., last] => b" \t\r\n;>\"".contains(last),
    }
}

/// Up to where the line ends, in text, HTML or a JSON string, or where the next frame may begin: what follows
/// is looked at from there, and not twice.
fn line(after: &[u8]) -> &[u8] {
    let ends = |at: &usize| {
        after.get(*at..).is_none_or(|rest| {
            matches!(rest, [b'\r' | b'\n' | b'<' | b'"', ..] | [b' ', b'a', b't', b' ', ..])
        })
    };
    (0..after.len()).find(ends).and_then(|end| after.get(..end)).unwrap_or(after)
}

/// What follows a number; `None` where there is none.
fn number(text: &[u8]) -> Option<&[u8]> {
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit()).count();
    text.get(digits..).filter(|_| digits > 0)
}

fn holds(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// Before a frame, as text, HTML and JSON write them.
static BLANKS: [&[u8]; 4] = [b" ", b"\t", b"&nbsp;", b"\\t"];
static LINE_ENDS: [&[u8]; 4] = [b"\n", b"\\n", b"<br>", b"<br />"];

fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"._$`<>+".contains(&byte)
}

fn is_quote(text: &[u8]) -> bool {
    [&b"\""[..], b"\\\"", b"&quot;", b"&#34;"].iter().any(|quote| text.starts_with(quote))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_compile() {
        assert!(WORDS.is_some());
    }

    #[test]
    fn a_stack_is_known_whatever_wrote_it_and_however_it_is_wrapped() {
        for (shows, text) in [
            ("a JavaScript stack", "Error: boom\n    at /app/server.js:14:9\n    at next (/app/r.js:1:2)"),
            ("a JavaScript stack", "<pre>Error: boom<br> &nbsp; &nbsp;at f (C:\\app\\a.ts:3:11)</pre>"),
            ("a JavaScript stack", r#"{"stack":"Error: boom\n    at f (file:///app/a.mjs:3:11)"}"#),
            ("a JavaScript stack", r#"{"stack":["Error","at f (/app/a.js:3:11)"]}"#),
            ("a JavaScript stack", "at Server.emit (node:events:524:28)"),
            ("a JavaScript stack", "at /app/server.js:14:9\n"),
            ("a JavaScript stack", "at eval (eval at f (/app/a.js:1:2), <anonymous>:1:1)"),
            ("a JavaScript stack", "    at decode (<anonymous>)\n    at g (/app/a.cjs:1:1)"),
            ("a Python stack", "Traceback (most recent call last):\n  …"),
            ("a Python stack", "  File \"/app/a.py\", line 3, in f\n"),
            ("a Python stack", "File &quot;/app/a.py&quot;, line 3, in f"),
            ("a Python stack", r#"{"detail":"File \"/app/a.py\", line 3, in f"}"#),
            ("a Java stack", "\tat com.shop.Till.open(Till.java:12)"),
            ("Java stack", r#""trace":"java.lang.Error\n\tat com.shop.Till.open(Till.kt:12)\n""#),
            (".NET", "   at Shop.Till.Open() in C:\\src\\Till.cs:line 12"),
            (".NET", "<br>   at Shop.Till.Open(String[] args)<br>"),
            ("a Go stack", "goroutine 12 [running]:\nmain.main()"),
            ("a Go stack", "\t/app/main.go:12 +0x1d"),
            ("a Ruby stack", "app/models/till.rb:12:in `open'"),
            ("a PHP stack", "#0 /app/till.php(12): open()"),
            ("a PHP error", "PHP Fatal error:  Uncaught Error: boom in /app/till.php:12"),
            ("a PHP error", "<b>Warning</b>: x in <b>/app/till.php</b> on line <b>12</b><br />"),
            ("a Rust panic", "thread 'main' panicked at src/main.rs:4:5:\nboom"),
            ("a Perl error", "boom at /app/till.pl line 12."),
            ("an Elixir stack", "(till 0.1.0) lib/till.ex:12: Till.open/1"),
            ("an SQL error", "You have an error in your SQL syntax; check the manual that corresponds"),
            ("an SQL error", "ERROR: syntax error at or near &quot;'&quot;"),
            ("an SQL error", "ORA-01756: quoted string not properly terminated"),
            ("a path of the machine", "ENOENT: no such file or directory, open '/app/x'"),
            ("Spring Boot's page", "<html><body><h1>Whitelabel Error Page</h1><p>…"),
        ] {
            let found = found(text.as_bytes());
            assert!(found.is_some_and(|found| found.contains(shows)), "{shows}: {found:?} in {text}");
        }
    }

    #[test]
    fn what_people_write_is_no_stack() {
        for text in [
            "We are closed at 12:30:45 today",
            "Failed at 2024/01/01 12:30:45",
            "Look at /help/errors:1 or at https://shop.example:8080/x",
            "The server at shop.example/index.js:80 is down",
            "Repeat:1:2",
            "Meet us at the Café (open)",
            "\n  at home (call first)",
            "Row 3, line 4, in the list",
            "The file Main.java: not found",
            "See https://shop.example/a.php:443",
            "A goroutine leaked",
            "The SQL you sent has a syntax error at or near the end",
            "ORA-12 is a train",
            "He panicked at the sight",
            r#"{"error":"invalid_request","error_description":"line 4, column 2"}"#,
            r#"{"errors":[{"field":"time","message":"must be at 10:00:00 or later"}]}"#,
            "",
        ] {
            assert_eq!(found(text.as_bytes()), None, "{text}");
        }
    }
}
