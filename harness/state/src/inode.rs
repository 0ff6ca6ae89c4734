//! One way to write an inode, whichever file of the kernel shows it.

/// `fe:00:1234`: device in hexadecimal as `maps` writes it, then the inode.
pub(crate) fn name(major: u64, minor: u64, inode: u64) -> String {
    format!("{major:02x}:{minor:02x}:{inode}")
}

/// From the device number as the kernel holds it inside (`sdev:` in fdinfo): 12 bits of major,
/// 20 of minor.
pub(crate) fn from_kernel_device(device: u64, inode: u64) -> String {
    name(device >> 20, device & 0xf_ffff, inode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_written_as_in_maps() {
        assert_eq!(from_kernel_device(0xfe0_0001, 7), name(0xfe, 1, 7));
        assert_eq!(name(0, 0x2a, 9), "00:2a:9");
    }
}
