use panoply_gateway::proxy_protocol::{Step, read};

/// Reading ends, within what a header may be, and never takes a byte that is behind its end.
pub fn proxy_header(input: &[u8]) {
    let mut at = 0;
    while let Some(there) = input.get(..at) {
        match read(there) {
            Err(_) => return,
            Ok(Step::More(more)) => {
                assert!(more > 0, "it asks for nothing after {at}");
                at += more;
                assert!(at <= 16 + 4096, "it asks for {at}");
            }
            Ok(Step::Whole(_)) => {
                let whole = input.get(..at);
                assert!(whole.is_some_and(|whole| whole.ends_with(b"\r\n") || whole.starts_with(b"\r\n")));
                assert!(input.get(..=at).is_none_or(|longer| read(longer).is_err()), "it ends in two places");
                return;
            }
        }
    }
}
