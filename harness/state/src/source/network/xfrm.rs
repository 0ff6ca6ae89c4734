//! IPsec: security associations and policies.

use crate::error::Result;
use crate::facts::Facts;
use crate::netlink::Shape::{Bits, Number, Opaque};
use crate::netlink::{Field, Links, Netlink, Scribe, attributes, field, hex};

const XFRM_MSG_GETSA: u16 = 18;
const XFRM_MSG_GETPOLICY: u16 = 21;

/// Length of `struct xfrm_usersa_info`.
const STATE: usize = 224;

/// Length of `struct xfrm_userpolicy_info`.
const POLICY: usize = 168;

/// Attributes with keys: told by their digest.
const KEYS: [u16; 4] = [1, 2, 18, 20];

/// `XFRMA_*` in include/uapi/linux/xfrm.h, with the older names of the fields.
const ATTRIBUTES: &[Field] = &[
    field(3, "compression", Opaque),
    field(4, "encap", Opaque),
    field(5, "templates", Opaque),
    field(8, "security_context", Opaque),
    field(9, "lifetime", Opaque),
    field(10, "replay", Opaque),
    field(11, "replay_threshold", Number),
    field(12, "timer_threshold", Number),
    field(14, "care_of_address", Opaque),
    field(15, "last_used", Number),
    field(16, "policy_type", Opaque),
    field(17, "migrate", Opaque),
    field(19, "kmaddress", Opaque),
    field(21, "mark", Opaque),
    field(22, "tfc_padding", Number),
    field(23, "replay_esn", Opaque),
    field(24, "extra_flags", Bits),
    field(27, "address_filter", Opaque),
    field(29, "output_mark", Bits),
    field(30, "output_mark_mask", Bits),
    field(31, "if_id", Number),
];

/// Everything of this kind.
pub(super) fn pod(links: &Links, facts: &mut Facts) -> Result<()> {
    let netlink = Netlink::open(libc::NETLINK_XFRM, "xfrm", &["pod.xfrm_*"], facts)?;
    let Some(mut netlink) = netlink else { return Ok(()) };
    for told in netlink
        .table(XFRM_MSG_GETSA, &[0; STATE], &["pod.xfrm_state.*"], facts)?
        .unwrap_or_default()
    {
        state(&told, links, facts);
    }
    for told in netlink
        .table(XFRM_MSG_GETPOLICY, &[0; 64], &["pod.xfrm_policy.*"], facts)?
        .unwrap_or_default()
    {
        policy(&told, links, facts);
    }
    Ok(())
}

/// A `struct xfrm_usersa_info` and its attributes; known by destination, SPI and protocol.
fn state(told: &[u8], links: &Links, facts: &mut Facts) {
    let Some((info, own)) = told.split_at_checked(STATE) else { return };
    let mut row = Scribe::row(&format!("pod.xfrm_state.{}", hex(&info[56..77])), links, facts);
    row.put("selector", hex(&info[..56]));
    row.put("source", hex(&info[80..96]));
    row.put("limits", hex(&info[96..160]));
    row.put("used", hex(&info[160..204]));
    row.put("rest", hex(&info[204..217]));
    of_both(&mut row, own);
}

/// A `struct xfrm_userpolicy_info` and its attributes; known by selector and direction.
fn policy(told: &[u8], links: &Links, facts: &mut Facts) {
    let Some((info, own)) = told.split_at_checked(POLICY) else { return };
    let name = format!("pod.xfrm_policy.{} {}", hex(&info[..56]), info[160]);
    let mut row = Scribe::row(&name, links, facts);
    row.put("limits", hex(&info[56..120]));
    row.put("used", hex(&info[120..152]));
    row.put("priority", hex(&info[152..156]));
    row.put("index", hex(&info[156..160]));
    row.put("rest", hex(&info[161..164]));
    of_both(&mut row, own);
}

fn of_both(row: &mut Scribe<'_>, own: &[u8]) {
    for key in attributes(own).filter(|attribute| KEYS.contains(&attribute.number)) {
        row.facts.content(format!("{}.algorithm_{}", row.name, key.number), key.value);
    }
    row.attributes_but(&KEYS, own, ATTRIBUTES);
}
