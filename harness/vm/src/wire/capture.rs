//! Writes what is sent on a wire to a file that Wireshark reads: pcapng, an interface for each
//! direction, and a comment at each frame that does not simply arrive.

use std::borrow::Cow;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use pcap_file::pcapng::PcapNgWriter;
use pcap_file::pcapng::blocks::enhanced_packet::{EnhancedPacketBlock, EnhancedPacketOption};
use pcap_file::pcapng::blocks::interface_description::{
    InterfaceDescriptionBlock, InterfaceDescriptionOption,
};
use pcap_file::{DataLink, PcapError};

use super::error::Error;
use super::fabric::{Fate, NodeId, Sighting};

/// Nanoseconds: ten to the minus ninth.
const RESOLUTION: u8 = 9;

/// The file of one wire.
pub(super) struct Capture {
    path: PathBuf,
    ends: [NodeId; 2],
    writer: PcapNgWriter<BufWriter<File>>,
    /// The first failure; nothing is written after it.
    failure: Option<io::Error>,
}

impl Capture {
    /// Begins a file for the wire between two nodes of these names.
    pub(super) fn create(path: &Path, ends: [(NodeId, &str); 2]) -> Result<Capture, Error> {
        let [(a, name_a), (b, name_b)] = ends;
        let begin = || {
            let mut writer =
                PcapNgWriter::new(BufWriter::new(File::create(path)?)).map_err(as_io)?;
            for (from, to) in [(name_a, name_b), (name_b, name_a)] {
                writer.write_pcapng_block(interface(format!("{from}-{to}"))).map_err(as_io)?;
            }
            writer.get_mut().flush()?;
            Ok(Capture { path: path.to_owned(), ends: [a, b], writer, failure: None })
        };
        begin().map_err(Error::host(format!("write the capture {}", path.display())))
    }

    pub(super) fn is_between(&self, a: NodeId, b: NodeId) -> bool {
        self.ends == [a, b] || self.ends == [b, a]
    }

    /// Writes a frame that was sent at this time since 1970, when it belongs here.
    pub(super) fn write(&mut self, time: Duration, seen: &Sighting) {
        if !self.is_between(seen.from, seen.to) || self.failure.is_some() {
            return;
        }
        let interface = u32::from(seen.from != self.ends[0]);
        let written = remarks(seen.fate).try_for_each(|remark| {
            let block = packet(interface, time, seen.frame.bytes(), remark);
            self.writer.write_pcapng_block(block).map(drop)
        });
        self.failure = written.map_err(as_io).err();
    }

    /// Makes the file whole for whoever reads it now.
    pub(super) fn flush(&mut self) {
        if self.failure.is_none() {
            self.failure = self.writer.get_mut().flush().err();
        }
    }

    /// Ends the file.
    pub(super) fn finish(mut self) -> Result<(), Error> {
        self.flush();
        let what = format!("write the capture {}", self.path.display());
        self.failure.map_or(Ok(()), |failure| Err(Error::host(what)(failure)))
    }
}

impl std::fmt::Debug for Capture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Capture({})", self.path.display())
    }
}

fn interface(name: String) -> InterfaceDescriptionBlock<'static> {
    InterfaceDescriptionBlock {
        linktype: DataLink::ETHERNET,
        snaplen: 0,
        options: vec![
            InterfaceDescriptionOption::IfName(Cow::Owned(name)),
            InterfaceDescriptionOption::IfTsResol(RESOLUTION),
        ],
    }
}

fn packet<'a>(
    interface_id: u32,
    timestamp: Duration,
    frame: &'a [u8],
    remark: Option<&'a str>,
) -> EnhancedPacketBlock<'a> {
    EnhancedPacketBlock {
        interface_id,
        timestamp,
        original_len: u32::try_from(frame.len()).unwrap_or(u32::MAX),
        data: Cow::Borrowed(frame),
        options: remark.map(|it| EnhancedPacketOption::Comment(it.into())).into_iter().collect(),
    }
}

/// A remark for each time that the frame is written.
fn remarks(fate: Fate) -> impl Iterator<Item = Option<&'static str>> {
    let (first, second) = match fate {
        Fate::Passes { twice, held_back, .. } => {
            (held_back.then_some("reordered: held back"), twice.then_some("duplicate"))
        }
        Fate::Lost => (Some("lost"), None),
        Fate::Cut => (Some("lost: the wire is cut"), None),
        Fate::Dropped => (Some("dropped: the queue before the wire is full"), None),
    };
    [Some(first), second.map(Some)].into_iter().flatten()
}

fn as_io(error: PcapError) -> io::Error {
    match error {
        PcapError::IoError(error) => error,
        other => io::Error::other(other.to_string()),
    }
}
