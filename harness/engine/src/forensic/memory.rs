//! All pages of a container, once: counted and digested by mapping, and searched.

use std::collections::{BTreeMap, BTreeSet};

use xxhash_rust::xxh64::{Xxh64, xxh64};

use super::analysis::{Found, Mapping, Memory, Searched, Sought};
use super::container::Images;
use super::mappings::{Object, View};
use super::pages::{Layers, PAGE};
use super::search::{Hit, Patterns, Window};
use super::table::lossy;

/// Most matches of each pattern that are listed.
const MOST_LISTED: u64 = 200;

/// Most digests of pages that are kept: of 16 GiB.
const MOST_DIGESTS: usize = 4 << 20;

/// Longest part of a match that is shown.
const LONGEST_SHOWN: usize = 256;

/// The search of all containers.
#[derive(Debug)]
pub(super) struct Search {
    patterns: Patterns,
    sought: Vec<Sought>,
    pages: u64,
    digests_left: usize,
    found: Vec<(usize, Found)>,
}

impl Search {
    pub(super) fn new(patterns: Patterns) -> Self {
        let sought = patterns.sought();
        Search { patterns, sought, pages: 0, digests_left: MOST_DIGESTS, found: Vec::new() }
    }

    pub(super) fn done(mut self) -> Memory {
        self.found.sort_by_key(|(pattern, _)| *pattern);
        let searched = Searched {
            pages: self.pages,
            bytes: self.pages.saturating_mul(PAGE),
            sought: self.sought,
            most_listed: MOST_LISTED,
        };
        Memory { searched, found: self.found.into_iter().map(|(_, found)| found).collect() }
    }
}

/// Goes through all pages of a container.
pub(super) fn read(images: &mut Images<'_, '_>, objects: Vec<Object>) {
    let mut claimed = BTreeSet::new();
    for object in objects {
        let Some(layers) = Layers::read(images, &object.pagemap) else { continue };
        // So that all of it is no more than there are pages.
        let taken = layers.files().find(|file| !claimed.insert((*file).to_owned()));
        if let Some(file) = taken {
            let why = format!("{file} is another pagemap's already");
            images.told(&object.pagemap, why);
            continue;
        }
        let container = images.name.clone();
        let mut search =
            std::mem::replace(&mut images.looker.search, Search::new(Patterns::none()));
        let mut mappings = std::mem::take(&mut images.looker.mappings);
        let mut pass = Pass::new(&container, &object, &mut search, &mut mappings);
        let mut window = Window::new(pass.patterns);
        let streamed = layers.stream(images, |place, piece| {
            pass.tally(place, piece);
            window.feed(place, piece, &mut |hit| pass.found.hit(hit));
        });
        window.finish(&mut |hit| pass.found.hit(hit));
        pass.done();
        images.looker.search = search;
        images.looker.mappings = mappings;
        if let Err(why) = streamed {
            images.told(&object.pagemap, why);
        }
    }
}

/// A pass through the pages of one object.
struct Pass<'a> {
    object: &'a Object,
    patterns: &'a Patterns,
    pages: &'a mut u64,
    /// By row.
    tallies: BTreeMap<usize, Tally>,
    /// How many more digests of pages there is room for.
    digests_left: &'a mut usize,
    found: Finds<'a>,
}

/// What is counted of a mapping.
struct Tally {
    pages: u64,
    digest: Xxh64,
    each: Vec<(u64, u64)>,
}

impl Tally {
    fn new() -> Self {
        Tally { pages: 0, digest: Xxh64::new(0), each: Vec::new() }
    }
}

/// What is found in one object.
struct Finds<'a> {
    container: &'a str,
    object: &'a Object,
    mappings: &'a mut Vec<Mapping>,
    sought: &'a mut Vec<Sought>,
    found: &'a mut Vec<(usize, Found)>,
}

impl<'a> Pass<'a> {
    fn new(
        container: &'a str,
        object: &'a Object,
        search: &'a mut Search,
        mappings: &'a mut Vec<Mapping>,
    ) -> Self {
        let Search { patterns, sought, pages, digests_left, found } = search;
        let found = Finds { container, object, mappings, sought, found };
        Pass { object, patterns, pages, tallies: BTreeMap::new(), digests_left, found }
    }

    /// Counts the pages of a piece.
    fn tally(&mut self, place: u64, piece: &[u8]) {
        let mut place = place;
        for page in piece.chunks_exact(usize::try_from(PAGE).unwrap_or(1)) {
            *self.pages += 1;
            for view in self.object.views_of(place) {
                let tally = self.tallies.entry(view.row).or_insert_with(Tally::new);
                tally.pages += 1;
                tally.digest.update(&place.to_le_bytes());
                tally.digest.update(page);
                if *self.digests_left > 0 {
                    *self.digests_left -= 1;
                    tally.each.push((place, xxh64(page, 0)));
                }
            }
            place = place.wrapping_add(PAGE);
        }
    }

    /// Writes down what was counted.
    fn done(self) {
        for (row, tally) in self.tallies {
            let Some(mapping) = self.found.mappings.get_mut(row) else { continue };
            mapping.pages = tally.pages;
            mapping.xxh64 = Some(format!("{:016x}", tally.digest.digest()));
            // Some of them would tell less than none.
            let is_all = tally.each.len() as u64 == tally.pages;
            mapping.page_digests = if is_all { tally.each } else { Vec::new() };
        }
    }
}

impl Finds<'_> {
    fn hit(&mut self, hit: &Hit<'_>) {
        let Some(sought) = self.sought.get_mut(hit.pattern) else { return };
        sought.found += 1;
        if sought.found > MOST_LISTED {
            return;
        }
        let views: Vec<View> = self.object.views_of(hit.position).copied().collect();
        let first = views.first();
        let address = first.map_or(hit.position, |view| {
            view.address.wrapping_add(hit.position.wrapping_sub(view.place))
        });
        let mapping = first.and_then(|view| self.mappings.get(view.row));
        let mut shared_with: Vec<u64> = views.iter().skip(1).map(|view| view.pid).collect();
        shared_with.dedup();
        let shown = &hit.bytes[..hit.bytes.len().min(LONGEST_SHOWN)];
        let found = Found {
            text: lossy(shown),
            pattern: sought.pattern.clone(),
            container: self.container.to_owned(),
            pid: first.map(|view| view.pid),
            address: format!("{address:#x}"),
            mapping: mapping.map(|mapping| mapping.name.clone()).unwrap_or_default(),
            around: dotted(hit.around),
            shared_with,
        };
        self.found.push((hit.pattern, found));
    }
}

/// Bytes as text of one line, whatever they are.
fn dotted(bytes: &[u8]) -> String {
    let shown = &bytes[..bytes.len().min(LONGEST_SHOWN + 64)];
    let letter = |byte: &u8| if (0x20..0x7f).contains(byte) { char::from(*byte) } else { '.' };
    shown.iter().map(letter).collect()
}
