//! One page out of the images of a dump.
//!
//! Private pages are where `pagemap-PID.img` says, those of memory that is shared where the pagemap
//! of the shared object does, which the mappings in `mm-PID.img` lead to. A page that did not change
//! since a round before is in the images of that one, to which the link `parent` leads. A page that was never
//! written to since it was mapped from a file is in no image: it is still in that file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;

use criu::image::field::{each_message, message, number};
use criu::image::{Image, PageAt, Pagemap, Schema, decode, read_page};
use prost_reflect::DynamicMessage;

use super::mapped::{ANON_SHARED, FILE_PRIVATE, FILE_SHARED, MEMFD, SYSV};
use crate::memory::PAGE;

/// Longest image that is read for the sake of a page: a pagemap of a million runs.
const LONGEST_IMAGE: u64 = 32 << 20;

/// The link to the images before.
const PARENT: &str = "parent";

/// Most images before others that are looked into.
const MOST_PARENTS: usize = 32;

/// A page as a dump has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dumped {
    /// In an image.
    Page {
        /// All of it.
        bytes: Vec<u8>,
        /// Where it was read.
        place: String,
    },
    /// In no image, since it is still what is at this offset of the file that is mapped there.
    InFile {
        /// Offset in the file, in bytes.
        offset: u64,
    },
}

/// Why a page cannot be had, naming the image where one is at fault.
pub(crate) type Why = String;

/// A mapping of shared or private memory, as an image has it.
#[derive(Clone, Copy, Debug)]
struct Mapping {
    start: u64,
    end: u64,
    offset: u64,
    shmid: u64,
    status: u64,
}

/// The images of one container, as far as pages are concerned.
#[derive(Debug)]
pub(crate) struct Pages<'s> {
    folder: PathBuf,
    schema: &'s Schema,
    pagemaps: BTreeMap<String, Pagemap>,
    mappings: BTreeMap<i32, Vec<Mapping>>,
    /// How many images come after these.
    depth: usize,
    parent: Option<Box<Pages<'s>>>,
}

impl<'s> Pages<'s> {
    pub(crate) fn new(folder: PathBuf, schema: &'s Schema) -> Self {
        Pages::at_depth(folder, schema, 0)
    }

    fn at_depth(folder: PathBuf, schema: &'s Schema, depth: usize) -> Self {
        let (pagemaps, mappings) = (BTreeMap::new(), BTreeMap::new());
        Pages { folder, schema, pagemaps, mappings, depth, parent: None }
    }

    /// A page of a task's own, by its address. `pid` is that in the container.
    pub(crate) fn private(&mut self, pid: i32, address: u64) -> Result<Dumped, Why> {
        let name = format!("pagemap-{pid}.img");
        if let Some(found) = self.at(&name, address)? {
            return Ok(found);
        }
        let covers = |it: &&Mapping| it.start <= address && address < it.end;
        match self.mappings(pid)?.iter().find(covers) {
            Some(it) if it.status & FILE_PRIVATE != 0 => {
                Ok(Dumped::InFile { offset: it.offset.saturating_add(address - it.start) })
            }
            Some(_) => Err(format!("not in the images: {name} has no page at {address:#x}")),
            None => Err(format!("not in the images: mm-{pid}.img maps nothing at {address:#x}")),
        }
    }

    /// A page of an object that the task maps at `start`, by its offset in the object.
    pub(crate) fn shared(&mut self, pid: i32, start: u64, offset: u64) -> Result<Dumped, Why> {
        let mapping = self.mappings(pid)?.iter().find(|it| it.start == start).copied();
        let mapping = mapping.ok_or_else(|| {
            format!("not in the images: mm-{pid}.img maps nothing from {start:#x}")
        })?;
        let id = match mapping.status {
            status if status & MEMFD != 0 => self.memfd(mapping.shmid)?,
            status if status & (ANON_SHARED | SYSV) != 0 => mapping.shmid,
            status if status & FILE_SHARED != 0 => {
                let why = "not in the images: it is of a file that is mapped shared";
                return Err(why.to_owned());
            }
            status => {
                return Err(format!("mm-{pid}.img: status {status:#x} says no shared memory"));
            }
        };
        let name = format!("pagemap-shmem-{id}.img");
        let found = self.at(&name, offset)?;
        found.ok_or_else(|| format!("not in the images: {name} has no page at {offset:#x}"))
    }

    /// What a pagemap knows of a page; nothing where it has none.
    fn at(&mut self, name: &str, address: u64) -> Result<Option<Dumped>, Why> {
        let pagemap = self.pagemap(name)?;
        let pages = format!("pages-{}.img", pagemap.pages_id);
        match pagemap.locate(address, PAGE) {
            PageAt::Byte(byte) => {
                let path = self.folder.join(&pages);
                let file = File::open(&path).map_err(|error| format!("{pages}: {error}"))?;
                let bytes =
                    read_page(&pages, file, byte, PAGE).map_err(|error| error.to_string())?;
                Ok(Some(Dumped::Page { bytes, place: format!("{pages} at byte {byte}") }))
            }
            PageAt::Parent => self.in_parent(name, address),
            PageAt::Later => Err(format!("not in the images: {name} leaves it for later")),
            PageAt::Nowhere => Ok(None),
        }
    }

    /// A page that did not change since the images before.
    fn in_parent(&mut self, name: &str, address: u64) -> Result<Option<Dumped>, Why> {
        let (folder, depth) = (self.folder.join(PARENT), self.depth + 1);
        if depth > MOST_PARENTS || !folder.exists() {
            return Err(format!("not in these images: {name} leaves it to a parent's"));
        }
        let schema = self.schema;
        let fresh = || Box::new(Pages::at_depth(folder, schema, depth));
        let found = self.parent.get_or_insert_with(fresh).at(name, address)?;
        match found {
            Some(Dumped::Page { bytes, place }) => {
                Ok(Some(Dumped::Page { bytes, place: format!("{PARENT}/{place}") }))
            }
            _ => Err(format!("not in the images: {PARENT}/{name} has no page at {address:#x}")),
        }
    }

    fn pagemap(&mut self, name: &str) -> Result<&Pagemap, Why> {
        if !self.pagemaps.contains_key(name) {
            let pagemap = self.image(name)?.pagemap();
            let pagemap = pagemap.ok_or_else(|| format!("{name}: it is no pagemap"))?;
            self.pagemaps.insert(name.to_owned(), pagemap);
        }
        self.pagemaps.get(name).ok_or_else(|| format!("{name}: it is gone"))
    }

    fn mappings(&mut self, pid: i32) -> Result<&[Mapping], Why> {
        if !self.mappings.contains_key(&pid) {
            let image = self.image(&format!("mm-{pid}.img"))?;
            let found = image.entries.first().map(|entry| mappings(&entry.message));
            self.mappings.insert(pid, found.unwrap_or_default());
        }
        Ok(self.mappings.get(&pid).map(Vec::as_slice).unwrap_or_default())
    }

    /// The id of a memfd's content, by the id of the open file that is mapped.
    fn memfd(&self, file: u64) -> Result<u64, Why> {
        let files = self.image("files.img")?;
        let entry = files.entries.iter().find(|it| number(&it.message, "id") == file);
        let inode = entry.and_then(|it| message(&it.message, "memfd"));
        let inode = inode.map(|it| number(&it, "inode_id"));
        let inode = inode.ok_or_else(|| format!("files.img: file {file} is no memfd"))?;
        let all = self.image("memfd.img")?;
        let found = all.entries.iter().find(|it| number(&it.message, "inode_id") == inode);
        let found = found.map(|it| number(&it.message, "shmid"));
        found.ok_or_else(|| format!("memfd.img: no inode {inode}"))
    }

    fn image(&self, name: &str) -> Result<Image, Why> {
        let file =
            File::open(self.folder.join(name)).map_err(|error| format!("{name}: {error}"))?;
        let length = file.metadata().map_err(|error| format!("{name}: {error}"))?.len();
        if length > LONGEST_IMAGE {
            return Err(format!("{name}: {length} bytes, at most {LONGEST_IMAGE} are read"));
        }
        decode(self.schema, name, BufReader::new(file)).map_err(|error| error.to_string())
    }
}

fn mappings(mm: &DynamicMessage) -> Vec<Mapping> {
    let mut mappings = Vec::new();
    each_message(mm, "vmas", |vma| {
        mappings.push(Mapping {
            start: number(vma, "start"),
            end: number(vma, "end"),
            offset: number(vma, "pgoff"),
            shmid: number(vma, "shmid"),
            status: number(vma, "status"),
        });
    });
    mappings
}
