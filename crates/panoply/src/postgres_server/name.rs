use std::fmt;

use crate::SettingError;

/// A name that means the same to us and to PostgreSQL; its `Display` is quoted.
pub(crate) struct Name(String);

impl Name {
    /// One of our own, which is known to be well.
    pub(crate) fn plain(name: &'static str) -> Self {
        Self(name.to_owned())
    }

    pub(crate) fn parse(name: &str, longest: usize) -> Result<Self, SettingError> {
        if name.is_empty() || name.len() > longest || name.contains('\0') {
            return Err(SettingError::new(
                format!("`{}` is no name of a table or a schema", name.escape_debug()),
                format!("write one to {longest} bytes, without NUL; case counts, and so does a dot"),
            ));
        }
        Ok(Self(name.to_owned()))
    }

    pub(crate) fn with(&self, after: &str) -> Self {
        self.within("", after)
    }

    pub(crate) fn within(&self, before: &str, after: &str) -> Self {
        Self(format!("{before}{}{after}", self.0))
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.replace('"', "\"\""))
    }
}

/// With its schema, where there is one.
pub(crate) fn qualified(schema: Option<&Name>, table: &Name) -> String {
    schema.map_or_else(|| table.to_string(), |schema| format!("{schema}.{table}"))
}

/// PostgreSQL cuts what is longer, without an error.
pub(crate) const LONGEST_NAME: usize = 63;
