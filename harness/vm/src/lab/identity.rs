//! Who a node is: all of it drawn from the lab's seed and the node's name.

use model::message::{Card, KnownHost};

/// The network of a lab.
const NETWORK: &str = "10.77.0";

pub(super) fn address(number: u8) -> String {
    format!("{NETWORK}.{number}")
}

/// The node's card, with a hardware address that says that nobody has assigned it.
pub(super) fn card(seed: u64, name: &str, number: u8) -> Card {
    let drawn: [u8; 4] = draw(seed, name, "mac", 0);
    let mac = [0x02, drawn[0], drawn[1], drawn[2], drawn[3], number];
    Card { mac, addresses: vec![format!("{}/24", address(number))] }
}

pub(super) fn host(name: &str, number: u8) -> KnownHost {
    KnownHost { address: address(number), name: name.to_owned() }
}

/// Stays the same over reboots.
pub(super) fn machine_id(seed: u64, name: &str) -> String {
    format!("{:032x}", u128::from_le_bytes(draw(seed, name, "machine-id", 0)))
}

/// Random bytes that are different at each start.
pub(super) fn entropy(seed: u64, name: &str, start: u32) -> Vec<u8> {
    draw::<64>(seed, name, "entropy", start).to_vec()
}

/// A random number that is different at each start.
pub(super) fn number(seed: u64, name: &str, start: u32) -> u64 {
    u64::from_le_bytes(draw(seed, name, "seed", start))
}

fn draw<const BYTES: usize>(seed: u64, name: &str, what: &str, start: u32) -> [u8; BYTES] {
    let mut hasher = blake3::Hasher::new();
    for part in [&seed.to_le_bytes(), &start.to_le_bytes()[..], what.as_bytes(), b"\0"] {
        hasher.update(part);
    }
    let mut drawn = [0; BYTES];
    hasher.update(name.as_bytes()).finalize_xof().fill(&mut drawn);
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_and_labs_have_nothing_in_common_and_a_seed_draws_the_same_again() {
        let drawn =
            |seed, name| (machine_id(seed, name), card(seed, name, 1), entropy(seed, name, 1));
        assert_eq!(drawn(7, "a"), drawn(7, "a"));
        for (seed, name) in [(8, "a"), (7, "b")] {
            let (id, card, entropy) = drawn(seed, name);
            let other = drawn(7, "a");
            assert!(id != other.0 && card.mac != other.1.mac && entropy != other.2);
        }
        assert_ne!(entropy(7, "a", 1), entropy(7, "a", 2));
        assert_eq!(machine_id(7, "a").len(), 32);
    }

    #[test]
    fn a_card_is_locally_administered_and_no_group() {
        let card = card(3, "a", 9);
        assert_eq!(card.mac[0] & 3, 2);
        assert_eq!(card.addresses, ["10.77.0.9/24"]);
    }
}
