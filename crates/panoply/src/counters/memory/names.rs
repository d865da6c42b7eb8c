use crate::counters::Key;

/// What those who are kept out are called, as far as there is room.
#[derive(Default)]
pub(super) struct Names(Vec<(u64, Box<str>)>);

impl Names {
    /// Remembers the key, prefix and all. Where there is no room those go that are not `kept_out` any more; who finds
    /// none then, or is too long, is not listed.
    pub(super) fn keep(&mut self, id: u64, key: Key<'_>, kept_out: impl Fn(u64) -> bool) {
        let length = key.name.len() + if key.prefix.is_empty() { 0 } else { key.prefix.len() + 1 };
        if length > LONGEST_NAME || self.0.iter().any(|(known, _)| *known == id) {
            return;
        }
        if self.bytes() + length + BESIDE > ROOM {
            self.0.retain(|(id, _)| kept_out(*id));
        }
        if self.bytes() + length + BESIDE <= ROOM {
            self.0.push((id, key.to_string().into()));
        }
    }

    pub(super) fn forget(&mut self, id: u64) {
        self.0.retain(|(known, _)| *known != id);
    }

    /// Empty if it has none.
    pub(super) fn of(&self, id: u64) -> &str {
        self.iter().find(|(known, _)| *known == id).map_or("", |(_, name)| name)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, &str)> {
        self.0.iter().map(|(id, text)| (*id, text.as_ref()))
    }

    /// At most [`ROOM`].
    pub(super) fn bytes(&self) -> usize {
        self.0.iter().map(|(_, text)| text.len() + BESIDE).sum()
    }
}

/// In bytes, prefix and colon with it. Whose name is longer is kept out like others, but cannot be listed: a part of
/// it would lift nobody's block.
const LONGEST_NAME: usize = 256;

/// In bytes, for the names of a set: eight of 50 characters.
pub(super) const ROOM: usize = 1_024;

/// What a name takes beside its text: its entry, of which a vector may have as many again, and the allocator's part.
const BESIDE: usize = 2 * size_of::<(u64, Box<str>)>() + 16;
