//! Fields read one by one, each with its line where it is not what the schema says.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use super::super::severity;
use super::{Complaint, Loss, MOST};

pub(super) struct Reader<'t> {
    pub(super) text: &'t str,
    pub(super) complaints: Vec<Complaint>,
}

impl<'t> Reader<'t> {
    pub(super) fn field<T: DeserializeOwned>(
        &mut self,
        name: &str,
        raw: Option<&'t RawValue>,
        loss: Loss,
    ) -> Option<T> {
        self.borrowed(name, raw?, loss)
    }

    pub(super) fn borrowed<T: Deserialize<'t>>(
        &mut self,
        name: &str,
        raw: &'t RawValue,
        loss: Loss,
    ) -> Option<T> {
        match serde_json::from_str(raw.get()) {
            Ok(value) => Some(value),
            Err(error) => {
                let line = self.line(raw) + error.line().saturating_sub(1);
                self.complain(line, format!("`{name}` is not what the schema says: {error}"), loss);
                None
            }
        }
    }

    /// A list whose entries are read one by one: what is wrong with one costs no other.
    pub(super) fn list<T: DeserializeOwned>(&mut self, name: &str, raw: Option<&'t RawValue>) -> Vec<T> {
        self.raw_list(name, raw, Loss::Detail)
            .into_iter()
            .filter_map(|entry| self.borrowed(name, entry, Loss::Detail))
            .collect()
    }

    pub(super) fn raw_list(
        &mut self,
        name: &str,
        raw: Option<&'t RawValue>,
        loss: Loss,
    ) -> Vec<&'t RawValue> {
        raw.and_then(|raw| self.borrowed(name, raw, loss)).unwrap_or_default()
    }

    pub(super) fn specific(&mut self, name: &str, raw: Option<&'t RawValue>) -> Specific<'t> {
        raw.and_then(|raw| self.borrowed(name, raw, Loss::Detail)).unwrap_or_default()
    }

    pub(super) fn score(&mut self, name: &str, raw: Option<&'t RawValue>) -> Option<f32> {
        let vectors: Vec<Vector> = self.list(name, raw);
        severity::score(vectors.iter().map(|vector| vector.score.as_str()))
    }

    pub(super) fn complain(&mut self, line: usize, text: String, loss: Loss) {
        if self.complaints.len() < MOST {
            self.complaints.push(Complaint { line, text, loss });
        } else if let Some(last) = self.complaints.last_mut() {
            last.loss = last.loss.max(loss);
        }
    }

    /// The line at which `raw`, a part of the text, begins.
    pub(super) fn line(&self, raw: &RawValue) -> usize {
        let offset = (raw.get().as_ptr() as usize).saturating_sub(self.text.as_ptr() as usize);
        1 + self.text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
    }
}

#[derive(Deserialize)]
struct Vector {
    score: String,
}

/// What makers add; each field may be of any type.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Specific<'t> {
    #[serde(borrow)]
    pub(super) severity: Option<&'t RawValue>,
    #[serde(borrow)]
    pub(super) cwe_ids: Option<&'t RawValue>,
    #[serde(borrow)]
    pub(super) last_known_affected_version_range: Option<&'t RawValue>,
    #[serde(borrow)]
    pub(super) informational: Option<&'t RawValue>,
    #[serde(borrow)]
    pub(super) categories: Option<&'t RawValue>,
    #[serde(borrow)]
    pub(super) cvss: Option<&'t RawValue>,
    #[serde(borrow)]
    pub(super) affected_functions: Option<&'t RawValue>,
    #[serde(borrow)]
    pub(super) affects: Option<&'t RawValue>,
}
