use std::fmt::{Debug, Display};
use std::str::FromStr;

use panoply::{Exemption, Network, Origin, Period, Rate, SettingError, Size};
use panoply_gateway::Config;

use crate::text;

/// A file is understood, or the error names the place and the mend.
pub fn config(input: &[u8]) {
    if let Err(error) = Config::parse(text(input)) {
        let told = error.to_string();
        assert!(told.starts_with("error: panoply.toml") && told.contains("\nhint: "), "{told}");
    }
}

/// An origin prints as browsers send it, and is itself.
pub fn origin(input: &[u8]) {
    if let Ok(origin) = text(input).parse::<Origin>() {
        assert!(origin.is(origin.as_str().as_bytes()), "{origin}");
        assert_eq!(origin.to_string().parse(), Ok(origin));
    }
}

/// What is short to write prints as what it was read from, or its like.
pub fn rate(input: &[u8]) {
    prints_what_it_reads::<Rate>(input);
    prints_what_it_reads::<Period>(input);
    prints_what_it_reads::<Size>(input);
    prints_what_it_reads::<Network>(input);
    prints_what_it_reads::<Exemption>(input);
}

pub(crate) fn prints_what_it_reads<S>(input: &[u8])
where
    S: FromStr<Err = SettingError> + Display + Debug + PartialEq,
{
    if let Ok(setting) = text(input).parse::<S>() {
        assert_eq!(setting.to_string().parse::<S>().ok(), Some(setting));
    }
}
