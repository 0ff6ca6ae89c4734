//! The words of NBD, as far as this server speaks it (`doc/proto.md` of the NBD project).
//!
//! Numbers are big-endian. What a client may send is parsed from arrays of known length; nothing
//! here reads or allocates.

/// What the server says first.
pub(super) const GREETING: [u8; 18] = *b"NBDMAGICIHAVEOPT\0\x03";
const _: () = assert!(GREETING[17] as u16 == FIXED_NEWSTYLE | NO_ZEROES);

const FIXED_NEWSTYLE: u16 = 1;
const NO_ZEROES: u16 = 2;

/// Smallest unit of a request; also where an offset may lie.
pub(super) const LEAST_BYTES: u32 = 512;
/// What a client should prefer.
const PREFERRED_BYTES: u32 = 4096;
/// Most bytes of a read or a write; QEMU sends no more either.
pub(super) const MOST_BYTES: u32 = 32 << 20;

/// The flags with which a client begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClientFlags {
    /// Whether it can do without 124 zero bytes after the answer to `EXPORT_NAME`.
    pub(super) no_zeroes: bool,
}

impl ClientFlags {
    /// None when the client wants something that was not offered.
    pub(super) fn parse(bytes: [u8; 4]) -> Option<ClientFlags> {
        let flags = u32::from_be_bytes(bytes);
        let offered = u32::from(FIXED_NEWSTYLE | NO_ZEROES);
        let no_zeroes = flags & u32::from(NO_ZEROES) != 0;
        (flags & !offered == 0).then_some(ClientFlags { no_zeroes })
    }
}

/// What a client asks for before the transmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OptionHeader {
    pub(super) option: u32,
    /// Bytes that follow.
    pub(super) length: u32,
}

pub(super) const EXPORT_NAME: u32 = 1;
pub(super) const ABORT: u32 = 2;
pub(super) const INFO: u32 = 6;
pub(super) const GO: u32 = 7;

impl OptionHeader {
    /// None when it does not begin as an option does.
    pub(super) fn parse(bytes: [u8; 16]) -> Option<OptionHeader> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (option, length) = rest.split_first_chunk::<4>()?;
        let length = u32::from_be_bytes(*length.first_chunk()?);
        (magic == b"IHAVEOPT")
            .then_some(OptionHeader { option: u32::from_be_bytes(*option), length })
    }
}

/// Whether this is what comes with `INFO` or `GO`: a name, and a list of wishes, both ignored.
pub(super) fn is_info_request(data: &[u8]) -> bool {
    let wishes = || {
        let (length, rest) = data.split_first_chunk()?;
        let rest = rest.get(u32::from_be_bytes(*length) as usize..)?;
        let (count, wishes) = rest.split_first_chunk()?;
        Some(wishes.len() == 2 * usize::from(u16::from_be_bytes(*count)))
    };
    wishes() == Some(true)
}

pub(super) const ACK: u32 = 1;
const REPLY_INFO: u32 = 3;
pub(super) const UNSUPPORTED: u32 = (1 << 31) + 1;
pub(super) const INVALID: u32 = (1 << 31) + 3;
pub(super) const TOO_BIG: u32 = (1 << 31) + 9;

/// The answer to an option.
pub(super) fn option_reply(option: u32, reply: u32, data: &[u8]) -> Vec<u8> {
    let mut bytes = 0x0003_e889_0455_65a9_u64.to_be_bytes().to_vec();
    for number in [option, reply, data.len() as u32] {
        bytes.extend(number.to_be_bytes());
    }
    bytes.extend(data);
    bytes
}

/// The answer to `INFO` and `GO`.
pub(super) fn description(option: u32, disk_bytes: u64) -> Vec<u8> {
    let mut export = 0_u16.to_be_bytes().to_vec();
    export.extend(self::export(disk_bytes));
    let mut sizes = 3_u16.to_be_bytes().to_vec();
    for size in [LEAST_BYTES, PREFERRED_BYTES, MOST_BYTES] {
        sizes.extend(size.to_be_bytes());
    }
    let mut bytes = option_reply(option, REPLY_INFO, &export);
    bytes.extend(option_reply(option, REPLY_INFO, &sizes));
    bytes.extend(option_reply(option, ACK, &[]));
    bytes
}

/// Size of the disk, and what can be done with it.
pub(super) fn export(disk_bytes: u64) -> Vec<u8> {
    const HAS_FLAGS: u16 = 1;
    const SEND_FLUSH: u16 = 1 << 2;
    const SEND_FUA: u16 = 1 << 3;
    const SEND_TRIM: u16 = 1 << 5;
    const SEND_WRITE_ZEROES: u16 = 1 << 6;
    let flags = HAS_FLAGS | SEND_FLUSH | SEND_FUA | SEND_TRIM | SEND_WRITE_ZEROES;
    let mut bytes = disk_bytes.to_be_bytes().to_vec();
    bytes.extend(flags.to_be_bytes());
    bytes
}

/// A request of the transmission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Request {
    pub(super) flags: u16,
    pub(super) command: u16,
    pub(super) cookie: [u8; 8],
    pub(super) offset: u64,
    pub(super) length: u32,
}

pub(super) const READ: u16 = 0;
pub(super) const WRITE: u16 = 1;
pub(super) const DISCONNECT: u16 = 2;
pub(super) const FLUSH: u16 = 3;
pub(super) const TRIM: u16 = 4;
pub(super) const WRITE_ZEROES: u16 = 6;

pub(super) const FUA: u16 = 1;
/// Asks for zeroes that are allocated: not obeyed, the file is sparse anyhow.
pub(super) const NO_HOLE: u16 = 2;

impl Request {
    const MAGIC: [u8; 4] = 0x2560_9513_u32.to_be_bytes();

    /// None when it does not begin as a request does.
    pub(super) fn parse(bytes: [u8; 28]) -> Option<Request> {
        let (magic, rest) = bytes.split_first_chunk::<4>()?;
        let (flags, rest) = rest.split_first_chunk()?;
        let (command, rest) = rest.split_first_chunk()?;
        let (&cookie, rest) = rest.split_first_chunk()?;
        let (offset, rest) = rest.split_first_chunk()?;
        let (flags, command) = (u16::from_be_bytes(*flags), u16::from_be_bytes(*command));
        let offset = u64::from_be_bytes(*offset);
        let length = u32::from_be_bytes(*rest.first_chunk()?);
        (*magic == Request::MAGIC).then_some(Request { flags, command, cookie, offset, length })
    }
}

/// Why a request was not carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// The host could not read or write.
    Failed = 5,
    /// It makes no sense.
    Invalid = 22,
    /// It would write behind the end, or the host's file system is full.
    NoSpace = 28,
}

/// Bytes of a simple reply; the data of a read follow.
pub(super) const REPLY_BYTES: usize = 16;

/// The header of a simple reply.
pub(super) fn reply(cookie: [u8; 8], outcome: Result<(), Refusal>) -> [u8; REPLY_BYTES] {
    let error = outcome.map_or_else(|refusal| refusal as u32, |()| 0);
    let mut bytes = [0; REPLY_BYTES];
    bytes[..4].copy_from_slice(&0x6744_6698_u32.to_be_bytes());
    bytes[4..8].copy_from_slice(&error.to_be_bytes());
    bytes[8..].copy_from_slice(&cookie);
    bytes
}
