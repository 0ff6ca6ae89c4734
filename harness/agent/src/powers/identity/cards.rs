//! The node's network cards.
//!
//! A fork's card still has the address with which its template was made. QEMU knows the fork's own
//! and gives it at the card's next reset; so the driver is bound anew, which resets the card. (An
//! address that is only set leaves the template's in view: `ip link` shows it as `permaddr`.)

use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use fs_err as fs;
use model::message::Card;

use crate::rtnetlink::{Address, Rtnetlink};

/// The number of network cards among virtio's devices (virtio 1.2, chapter 5).
const NETWORK_CARD: &str = "0x0001";

/// Gives the machine's cards their addresses and brings them up. They are eth0, eth1 and so on in
/// the order of the machine's slots: the kernel has found them in it.
pub(super) fn take(cards: &[Card]) -> anyhow::Result<()> {
    if cards.is_empty() {
        return Ok(());
    }
    let devices = in_order(Path::new("/sys/bus/virtio/devices"));
    ensure!(
        cards.len() <= devices.len(),
        "the machine has {} network cards and should have {}",
        devices.len(),
        cards.len()
    );
    let kernel = Rtnetlink::open().context("cannot reach rtnetlink")?;
    for (device, card) in devices.iter().zip(cards) {
        if shown(card.mac) != address_of(&interface_of(device)?)? {
            bind_anew(device).with_context(|| format!("cannot reset {}", device.display()))?;
        }
        let interface = interface_of(device)?;
        set_up(&kernel, &interface, card)
            .with_context(|| format!("cannot set up {}", interface.display()))?;
    }
    Ok(())
}

/// One that was up before is taken down for another hardware address, since IPv6 makes its own
/// address from that when the card comes up.
fn set_up(kernel: &Rtnetlink, interface: &Path, card: &Card) -> anyhow::Result<()> {
    let read = |name: &str| fs::read_to_string(interface.join(name));
    let index = read("ifindex")?.trim().parse()?;
    // A machine whose QEMU was not told the address gets it here.
    let mac = (address_of(interface)? != shown(card.mac)).then_some(card.mac);
    let was_up = is_up(&read("flags")?);
    let wanted: Vec<Address> =
        card.addresses.iter().map(|text| text.parse()).collect::<anyhow::Result<_>>()?;
    if was_up && mac.is_some() {
        kernel.take_down(index).context("take it down")?;
    }
    kernel.bring_up(index, mac).context("bring it up")?;
    if was_up {
        remove_others(kernel, index, &wanted)?;
    }
    for address in wanted {
        kernel.add(index, address).with_context(|| format!("add {address:?}"))?;
    }
    Ok(())
}

fn remove_others(kernel: &Rtnetlink, index: u32, wanted: &[Address]) -> anyhow::Result<()> {
    let had = kernel.addresses(index).context("list its addresses")?;
    for address in had.into_iter().filter(|address| !wanted.contains(address)) {
        kernel.remove(index, address).with_context(|| format!("remove {address:?}"))?;
    }
    Ok(())
}

/// The cards in the order of their places on the PCI bus, which their paths in sysfs are.
fn in_order(devices: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(devices).into_iter().flatten().flatten();
    let is_card = |device: &PathBuf| {
        fs::read_to_string(device.join("device")).is_ok_and(|kind| kind.trim() == NETWORK_CARD)
    };
    let places = entries.filter_map(|entry| fs::canonicalize(entry.path()).ok());
    let mut cards: Vec<_> = places.filter(is_card).collect();
    cards.sort();
    cards
}

fn interface_of(device: &Path) -> anyhow::Result<PathBuf> {
    let mut interfaces = fs::read_dir(device.join("net"))?;
    let interface = interfaces.next().context("the driver made no interface")??;
    Ok(interface.path())
}

fn address_of(interface: &Path) -> anyhow::Result<String> {
    Ok(fs::read_to_string(interface.join("address"))?.trim().to_owned())
}

/// Takes the card from its driver and gives it back.
fn bind_anew(device: &Path) -> anyhow::Result<()> {
    let name = device.file_name().context("it has no name")?.to_string_lossy().into_owned();
    let driver = fs::canonicalize(device.join("driver"))?;
    fs::write(driver.join("unbind"), &name)?;
    Ok(fs::write(driver.join("bind"), &name)?)
}

/// By the hexadecimal `flags` of an interface.
fn is_up(flags: &str) -> bool {
    let flags = flags.trim().strip_prefix("0x").and_then(|it| u32::from_str_radix(it, 16).ok());
    flags.is_some_and(|flags| flags & libc::IFF_UP.cast_unsigned() != 0)
}

fn shown(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_come_in_the_order_of_their_slots() {
        let folder = tempfile::tempdir().expect("a folder");
        let bus = folder.path().join("bus");
        fs::create_dir(&bus).expect("made");
        for (slot, name, kind) in [
            ("04.0", "virtio0", "0x0001"),
            ("03.0", "virtio1", "0x0001"),
            ("02.0", "virtio2", "0x0002"),
        ] {
            let place = folder.path().join("pci0000:00").join(slot).join(name);
            fs::create_dir_all(&place).expect("made");
            fs::write(place.join("device"), format!("{kind}\n")).expect("written");
            std::os::unix::fs::symlink(&place, bus.join(name)).expect("linked");
        }
        let cards = in_order(&bus);
        assert!(cards[0].ends_with("03.0/virtio1") && cards[1].ends_with("04.0/virtio0"));
        assert_eq!(cards.len(), 2);
    }

    #[test]
    fn an_interface_is_read_as_the_kernel_shows_it() {
        assert!(is_up("0x1003\n") && !is_up("0x1002\n"));
        assert_eq!(shown([0x52, 0x54, 0, 0xab, 1, 0xff]), "52:54:00:ab:01:ff");
    }
}
