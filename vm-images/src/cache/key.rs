//! What an entry is made from, as its name.

use std::path::Path;

use fs_err as fs;

use crate::Error;

/// What an entry is made from; its digest is part of the entry's name.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    label: String,
    hasher: blake3::Hasher,
}

impl Key {
    /// A key whose entries begin with `label`, for people who look into the cache.
    pub(crate) fn new(label: &str, recipe: u32) -> Self {
        let readable =
            |c: char| if c.is_ascii_alphanumeric() || ".+-".contains(c) { c } else { '_' };
        let label: String = label.trim_start_matches('.').chars().map(readable).take(80).collect();
        Key { label, hasher: blake3::Hasher::new() }.with(recipe.to_string())
    }

    /// Adds something that the entry depends on.
    pub(crate) fn with(mut self, input: impl AsRef<[u8]>) -> Self {
        let input = input.as_ref();
        self.hasher.update(&(input.len() as u64).to_le_bytes()).update(input);
        self
    }

    /// Adds the content of a file.
    pub(crate) fn with_file(self, path: &Path) -> Result<Self, Error> {
        let mut hasher = blake3::Hasher::new();
        hasher.update_reader(fs::File::open(path)?)?;
        Ok(self.with(hasher.finalize().as_bytes()))
    }

    pub(crate) fn name(&self) -> String {
        format!("{}-{}", self.label, &self.hasher.finalize().to_hex()[..16])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_depends_on_every_input_and_on_their_borders() {
        let names = [
            Key::new("a", 1).with("xy").with("z").name(),
            Key::new("a", 1).with("x").with("yz").name(),
            Key::new("a", 2).with("xy").with("z").name(),
            Key::new("b", 1).with("xy").with("z").name(),
        ];
        let distinct: std::collections::BTreeSet<_> = names.iter().collect();
        assert_eq!(distinct.len(), names.len());
        assert!(Key::new("a thing/1", 1).name().starts_with("a_thing_1-"));
    }
}
