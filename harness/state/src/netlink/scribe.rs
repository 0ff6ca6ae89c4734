//! Writes attributes down as facts.

use std::collections::BTreeMap;

use super::attributes::{Attribute, are_attributes, attributes};
use super::shape::{Field, Shape, address, hex, named, number, signed, text};
use super::socket::u32_at;
use crate::facts::Facts;

/// Names of the links of a network namespace, by their numbers.
pub(crate) type Links = BTreeMap<u32, String>;

/// Writes down what belongs to one row of a table.
#[derive(Debug)]
pub(crate) struct Scribe<'a> {
    /// What the names of the row's facts begin with.
    pub(crate) name: String,
    pub(crate) links: &'a Links,
    pub(crate) facts: &'a mut Facts,
}

impl<'a> Scribe<'a> {
    /// Begins a row. Rows that have the same name are numbered.
    pub(crate) fn row(name: &str, links: &'a Links, facts: &'a mut Facts) -> Self {
        let name = facts.unused(name, "row");
        facts.put(format!("{name}.row"), "there");
        Scribe { name, links, facts }
    }

    /// Writes down something that is no attribute.
    pub(crate) fn put(&mut self, name: &str, value: impl ToString) {
        self.facts.put(format!("{}.{name}", self.name), value);
    }

    /// Writes down all attributes in some bytes.
    pub(crate) fn attributes(&mut self, bytes: &[u8], table: &[Field]) {
        self.attributes_but(&[], bytes, table);
    }

    /// The same but for some, which the row tells in another way.
    pub(crate) fn attributes_but(&mut self, other: &[u16], bytes: &[u8], table: &[Field]) {
        let name = std::mem::take(&mut self.name);
        let wanted = attributes(bytes).filter(|attribute| !other.contains(&attribute.number));
        wanted.for_each(|attribute| self.below(&name, attribute, table));
        self.name = name;
    }

    fn below(&mut self, name: &str, attribute: Attribute<'_>, table: &[Field]) {
        let known = table.iter().find(|field| field.number == attribute.number);
        let name = match known {
            Some(field) => format!("{name}.{}", field.name),
            None => format!("{name}.attribute_{}", attribute.number),
        };
        let name = self.numbered(name);
        self.one(&name, attribute, known.map_or(Shape::Opaque, |field| field.shape));
    }

    /// Lists repeat a number.
    fn numbered(&self, name: String) -> String {
        if !self.taken(&name) {
            return name;
        }
        let mut names = (2u32..).map(|number| format!("{name}#{number}"));
        names.find(|name| !self.taken(name)).unwrap_or(name)
    }

    fn taken(&self, name: &str) -> bool {
        let mut from = self.facts.facts.range(name.to_owned()..);
        let rest = from.next().and_then(|(next, _)| next.strip_prefix(name));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
    }

    fn one(&mut self, name: &str, attribute: Attribute<'_>, shape: Shape) {
        let value = attribute.value;
        match shape {
            Shape::Nested(table) => self.nest(name, value, table),
            Shape::Opaque if attribute.nested || are_list(value) => self.nest(name, value, &[]),
            plain => self.facts.put(name, self.plain(value, plain)),
        }
    }

    fn nest(&mut self, name: &str, value: &[u8], table: &[Field]) {
        if value.is_empty() {
            self.facts.put(name, "empty");
        }
        attributes(value).for_each(|attribute| self.below(name, attribute, table));
    }

    fn plain(&self, value: &[u8], shape: Shape) -> String {
        let told = match shape {
            Shape::Number => number(value, false).map(|number| number.to_string()),
            Shape::Network => number(value, true).map(|number| number.to_string()),
            Shape::Signed => signed(value).map(|number| number.to_string()),
            Shape::Bits => number(value, false).map(|number| format!("{number:#x}")),
            Shape::Named(names) => number(value, false)
                .and_then(|number| u32::try_from(number).ok())
                .map(|number| named(names, number)),
            Shape::Link => Some(self.link(u32_at(value, 0))),
            Shape::Text => Some(text(value)),
            Shape::Address => Some(address(value)),
            Shape::Flag if value.is_empty() => Some("true".to_owned()),
            _ => None,
        };
        told.unwrap_or_else(|| hex(value))
    }

    /// The name of a link, or the number of one that is elsewhere.
    pub(crate) fn link(&self, index: u32) -> String {
        self.links.get(&index).cloned().unwrap_or_else(|| index.to_string())
    }
}

/// What no table knows: an attribute that is long enough to be a list of others and looks so.
fn are_list(value: &[u8]) -> bool {
    value.len() >= 8 && are_attributes(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::field;

    const TABLE: &[Field] = &[
        field(1, "ifname", Shape::Text),
        field(2, "mtu", Shape::Number),
        field(3, "linkinfo", Shape::Nested(&[field(1, "info_kind", Shape::Text)])),
    ];

    fn attribute(number: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = [(4 + value.len() as u16).to_ne_bytes(), number.to_ne_bytes()].concat();
        bytes.extend_from_slice(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn what_no_table_knows_is_written_down_under_its_number() {
        let bytes = [
            attribute(1, b"eth0\0"),
            attribute(2, &1500u32.to_ne_bytes()),
            attribute(3, &attribute(1, b"veth\0")),
            attribute(77, &[1, 2, 3]),
            attribute(78, &[attribute(5, &[9; 4]), attribute(5, &[8; 4])].concat()),
        ];
        let (mut facts, links) = (Facts::default(), Links::default());
        Scribe::row("pod.link.eth0", &links, &mut facts).attributes(&bytes.concat(), TABLE);
        let told: Vec<String> = facts
            .facts
            .iter()
            .filter(|(name, _)| !name.ends_with(".row"))
            .map(|(name, value)| format!("{name} {value:?}"))
            .collect();
        assert_eq!(
            told,
            [
                "pod.link.eth0.attribute_77 Text(\"010203\")",
                "pod.link.eth0.attribute_78.attribute_5 Text(\"09090909\")",
                "pod.link.eth0.attribute_78.attribute_5#2 Text(\"08080808\")",
                "pod.link.eth0.ifname Text(\"eth0\")",
                "pod.link.eth0.linkinfo.info_kind Text(\"veth\")",
                "pod.link.eth0.mtu Text(\"1500\")",
            ]
        );
    }
}
