//! Reads what the configuration only names: secrets in variables and in files of their own.

use std::fs::File;
use std::io::Read;

use crate::GatewayError;
use crate::config::Secret;

/// The secret, without white space around it. `what` it is for stands in errors, and the secret never.
///
/// # Errors
/// When the variable is not set or is empty, when the file cannot be read, is empty, or has more than 4 KiB.
pub fn read(secret: &Secret, what: &str) -> Result<String, GatewayError> {
    let setting = |message: String, hint: String| GatewayError::Setting { message, hint };
    let text = match secret {
        Secret::Here(text) => text.clone(),
        Secret::Variable(name) => std::env::var(name).map_err(|_| {
            setting(
                format!("{what}: the environment variable `{name}` is not set"),
                format!("export {name}=…"),
            )
        })?,
        Secret::File(path) => {
            let unreadable = |source| GatewayError::File { verb: "read", path: path.clone(), source };
            let mut text = String::new();
            let file = File::open(path).map_err(unreadable)?;
            file.take(LARGEST + 1).read_to_string(&mut text).map_err(unreadable)?;
            text
        }
    };
    let text = text.trim();
    if text.is_empty() || text.len() as u64 > LARGEST {
        return Err(setting(
            format!("{what}: nothing that could be one was found"),
            "write it on a line by itself, and nothing else".to_owned(),
        ));
    }
    Ok(text.to_owned())
}

/// In bytes.
const LARGEST: u64 = 4 * 1024;
