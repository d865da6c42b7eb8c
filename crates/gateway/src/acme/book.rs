use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::record::{Book, DAY, HOUR, Record};
use super::trouble::Trouble;
use super::{Kept, Name};

/// A name with what is remembered of it.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) name: Name,
    pub(super) record: Record,
}

impl Page {
    pub(super) async fn load(kept: &Kept, name: &Name, now: u64) -> Result<Self, Trouble> {
        let careful = Record { wait_until: now + DAY, ..Record::default() };
        Ok(Self { name: name.clone(), record: load(kept, &file(name), careful).await? })
    }

    pub(super) async fn save(&self, kept: &Kept) -> Result<(), Trouble> {
        save(kept, &file(&self.name), &self.record).await
    }
}

impl Book {
    pub(super) async fn load(kept: &Kept, now: u64) -> Result<Self, Trouble> {
        load(kept, BOOK, Self { wait_until: now + 3 * HOUR, ..Self::default() }).await
    }

    pub(super) async fn save(&self, kept: &Kept) -> Result<(), Trouble> {
        save(kept, BOOK, self).await
    }
}

/// The names that visitors asked for, and that are kept in order since.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Roll {
    pub(super) names: Vec<String>,
}

impl Roll {
    /// One that is damaged is begun anew: each name is entered again when it is asked for.
    pub(super) async fn load(kept: &Kept) -> Result<Self, Trouble> {
        load(kept, ROLL, Self::default()).await
    }

    /// In this machine's folder as well, for a start at which the store is away.
    pub(super) async fn save(names: &[Name], kept: &Kept) -> Result<(), Trouble> {
        let roll = Self { names: names.iter().map(Name::to_string).collect() };
        save(kept, ROLL, &roll).await
    }
}

/// What is kept. Where it is damaged, what was counted is not known, and `careful` takes its place: to begin with nothing
/// would be to forget the limits.
async fn load<T>(kept: &Kept, file: &str, careful: T) -> Result<T, Trouble>
where
    T: Default + DeserializeOwned + Serialize,
{
    let text = kept.read(file).await.map_err(|reason| Trouble::Unkept { reason })?;
    let Some(text) = text else { return Ok(T::default()) };
    // serde would take a list for a value of which all is left out.
    if let Some(value) = text.starts_with(b"{").then(|| serde_json::from_slice(&text).ok()).flatten() {
        return Ok(value);
    }
    tracing::warn!(
        file,
        hint = "nothing has to be done: orders go on after it",
        "what is known of orders is damaged, and a pause takes its place"
    );
    save(kept, file, &careful).await?;
    Ok(careful)
}

async fn save(kept: &Kept, file: &str, value: &impl Serialize) -> Result<(), Trouble> {
    let text = serde_json::to_vec(value).map_err(|error| Trouble::Unkept { reason: error.to_string() })?;
    kept.write(file, &text).await.map_err(|reason| Trouble::Unkept { reason })
}

pub(super) fn file(name: &Name) -> String {
    format!("{}.json", name.file())
}

pub(super) const ROLL: &str = "on-demand.json";

const BOOK: &str = "authority.json";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_damaged_is_a_pause_once_and_no_other_names_trouble() {
        let folder = std::env::temp_dir().join(format!("panoply-book-{}", std::process::id()));
        let kept = Kept::open(Some(&folder), None, String::new()).unwrap();
        let (shop, other) = (Name::parse("shop.example"), Name::parse("other.example"));
        for damaged in ["", "{", "[]", "{\"begun\": -1}", "\0"] {
            kept.write(&file(&shop), damaged.as_bytes()).await.unwrap();
            let page = Page::load(&kept, &shop, 1_000).await.unwrap();
            assert_eq!(page.record.wait_until, 1_000 + DAY, "{damaged}");
            let again = Page::load(&kept, &shop, 2_000).await.unwrap();
            assert_eq!(again.record, page.record, "{damaged}: the pause ends");
        }
        assert_eq!(Page::load(&kept, &other, 1_000).await.unwrap().record, Record::default());
        kept.write(BOOK, b"{").await.unwrap();
        assert_eq!(Book::load(&kept, 1_000).await.unwrap().wait_until, 1_000 + 3 * HOUR);
        std::fs::remove_dir_all(folder).unwrap();
    }
}
