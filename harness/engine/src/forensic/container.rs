//! A container's images, read with bounds; what is beyond a bound is told.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use criu::image::{Entry, Image, Pagemap, Schema, decode};

use super::analysis::{
    Analysis, ChangedFile, DeletedFile, FORMAT, Mapping, OpenFile, Process, Socket, Source, Unread,
};
use super::memory::{self, Search};
use super::search::Patterns;
use super::table::Table;
use super::{deleted, files, mappings, processes, root, sockets};
use crate::archive;

/// Longest image that is read as a whole.
const LONGEST_IMAGE: u64 = 64 << 20;

/// Most rows of all lists together.
const MOST_ROWS: usize = 400_000;

/// Most bytes of texts out of memory and of files' content.
const MOST_TEXT: usize = 64 << 20;

/// Most remarks about what could not be read.
const MOST_UNREAD: usize = 1000;

/// What is found, list by list, and what it may still cost.
#[derive(Debug)]
pub(super) struct Looker<'s> {
    schema: &'s Schema,
    pub(super) processes: Vec<Process>,
    pub(super) files: Vec<OpenFile>,
    pub(super) deleted: Vec<DeletedFile>,
    pub(super) changed: Vec<ChangedFile>,
    pub(super) sockets: Vec<Socket>,
    pub(super) mappings: Vec<Mapping>,
    pub(super) search: Search,
    unread: Vec<Unread>,
    rows_left: usize,
    text_left: usize,
    text_is_cut: bool,
}

impl<'s> Looker<'s> {
    pub(super) fn new(schema: &'s Schema, patterns: Patterns) -> Self {
        Looker {
            schema,
            processes: Vec::new(),
            files: Vec::new(),
            deleted: Vec::new(),
            changed: Vec::new(),
            sockets: Vec::new(),
            mappings: Vec::new(),
            search: Search::new(patterns),
            unread: Vec::new(),
            rows_left: MOST_ROWS + 1,
            text_left: MOST_TEXT,
            text_is_cut: false,
        }
    }

    /// Looks at a container, whose members stand in `folder` under their names.
    pub(super) fn container(&mut self, name: &str, folder: &Path) {
        let images = folder.join(archive::image_folder(name));
        let mut images = Images { looker: self, name: name.to_owned(), folder: images };
        let table = Table::read(&mut images);
        let tasks = processes::read(&mut images, &table);
        files::read(&mut images, &table, &tasks);
        deleted::read(&mut images, &table);
        sockets::read(&mut images, &table, &tasks);
        let objects = mappings::read(&mut images, &table, &tasks);
        memory::read(&mut images, objects);
        let member = archive::root_member(name);
        root::read(self, Some(name), "", &folder.join(&member), &member);
    }

    /// Looks at the pod's `/dev/shm`.
    pub(super) fn shm(&mut self, folder: &Path) {
        root::read(self, None, "/dev/shm", &folder.join(archive::SHM), archive::SHM);
    }

    /// Whether there is room for another row; that there is none is told once.
    pub(super) fn row(&mut self) -> bool {
        let left = self.rows_left;
        if left == 1 {
            self.told(None, "all lists", format!("more than {MOST_ROWS} rows: left out"));
        }
        self.rows_left = left.saturating_sub(1);
        left > 1
    }

    /// How many of these bytes there is room for; that there is none is told once.
    pub(super) fn text(&mut self, wanted: usize) -> usize {
        let given = wanted.min(self.text_left);
        self.text_left -= given;
        if given < wanted && !self.text_is_cut {
            self.text_is_cut = true;
            self.told(None, "all texts", format!("more than {MOST_TEXT} bytes: left out"));
        }
        given
    }

    /// Says what could not be read.
    pub(super) fn told(&mut self, container: Option<&str>, image: &str, why: impl Into<String>) {
        if self.unread.len() < MOST_UNREAD {
            let container = container.map(str::to_owned);
            self.unread.push(Unread { container, image: image.to_owned(), why: why.into() });
        }
    }

    /// All that was found.
    pub(super) fn done(self, source: Source) -> Analysis {
        Analysis {
            format: FORMAT,
            source,
            processes: self.processes,
            files: self.files,
            deleted: self.deleted,
            changed: self.changed,
            sockets: self.sockets,
            mappings: self.mappings,
            memory: self.search.done(),
            differences: None,
            chain: Vec::new(),
            unread: self.unread,
        }
    }
}

/// The images of one container.
pub(super) struct Images<'a, 's> {
    pub(super) looker: &'a mut Looker<'s>,
    /// Name of the container.
    pub(super) name: String,
    folder: PathBuf,
}

impl Images<'_, '_> {
    /// The entries of an image; none where there is no such file, or where it cannot be read, which
    /// is told.
    pub(super) fn entries(&mut self, image: &str) -> Vec<Entry> {
        if self.folder.join(image).exists() { self.needed(image) } else { Vec::new() }
    }

    /// The entries of an image that has to be there.
    pub(super) fn needed(&mut self, image: &str) -> Vec<Entry> {
        self.image(image).map(|image| image.entries).unwrap_or_default()
    }

    /// A pagemap; nothing where there is none, or where it makes no sense, which is told.
    pub(super) fn pagemap(&mut self, image: &str) -> Option<Pagemap> {
        if !self.folder.join(image).exists() {
            return None;
        }
        let pagemap = self.image(image)?.pagemap();
        if pagemap.is_none() {
            self.told(image, "it is no pagemap");
        }
        pagemap
    }

    /// An image that has to be there; that it cannot be read is told.
    fn image(&mut self, image: &str) -> Option<Image> {
        let read = self.open(image).and_then(|(file, length)| {
            if length > LONGEST_IMAGE {
                return Err(format!("{length} bytes, at most {LONGEST_IMAGE} are read"));
            }
            let read = decode(self.looker.schema, image, BufReader::new(file));
            read.map_err(|error| format!("{}: {}", error.place, error.problem))
        });
        read.map_err(|why| self.told(image, why)).ok()
    }

    /// A file of the images and its length.
    pub(super) fn open(&self, image: &str) -> Result<(File, u64), String> {
        let file = File::open(self.folder.join(image)).map_err(|error| error.to_string())?;
        let length = file.metadata().map_err(|error| error.to_string())?.len();
        Ok((file, length))
    }

    /// Names of the images that begin so.
    pub(super) fn names(&self, stem: &str) -> Vec<String> {
        let listed = std::fs::read_dir(&self.folder).into_iter().flatten().flatten();
        let names = listed.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| name.starts_with(stem)).collect();
        names.sort();
        names
    }

    /// Whether there is room for another row.
    pub(super) fn row(&mut self) -> bool {
        self.looker.row()
    }

    /// Says what could not be read.
    pub(super) fn told(&mut self, image: &str, why: impl Into<String>) {
        let name = self.name.clone();
        self.looker.told(Some(&name), image, why);
    }
}
