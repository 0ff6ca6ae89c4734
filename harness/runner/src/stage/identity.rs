//! A pod that comes back as somebody else: what of capture A must then read otherwise.
//!
//! The engine gives a pod its hostname, its link and the places of its state on the node. Facts about
//! these are not left out of the comparison: they must be exactly what was asked for. All others must
//! be as they were.

use model::pod::PodIdentity;
use model::{Capture, Value};

/// Facts that a pod's link makes.
const OF_LINK: [&str; 3] = ["pod.addr.", "pod.link.", "pod.route."];

/// Facts about places that are called after the pod.
const OF_PLACES: [&str; 2] = ["image.cgroup.", "image.mountpoints."];

/// The end of facts that are the length of a cgroup's path.
const PREFIX_LENGTH: &str = ".cgns_prefix";

/// The fact that is the pod's hostname.
const HOSTNAME: &str = "pod.uts.hostname";

/// Texts that stand where others stood, in the facts that begin with one of `facts`.
struct Renaming {
    facts: &'static [&'static str],
    texts: Vec<(String, String)>,
}

/// What a capture of the pod must be when it is somebody else and all else is as it was.
pub(super) fn expected(capture: &Capture, was: &PodIdentity, is: &PodIdentity) -> Capture {
    let renamings = renamings(was, is);
    let facts = capture.facts.iter().map(|(fact, value)| {
        let of = |renaming: &&Renaming| renaming.facts.iter().any(|of| is_about(fact, of));
        match (renamings.iter().find(of), value) {
            (Some(_), Value::Exact(length)) if fact.ends_with(PREFIX_LENGTH) => {
                (fact.clone(), Value::Exact(longer(length, was, is)))
            }
            (Some(renaming), Value::Exact(text)) => {
                (renaming.apply(fact), Value::Exact(renaming.apply(text)))
            }
            (Some(renaming), other) => (renaming.apply(fact), other.clone()),
            (None, other) => (fact.clone(), other.clone()),
        }
    });
    Capture { facts: facts.collect(), ..capture.clone() }
}

/// Whether a fact of the pod, or of one of its containers whose name stands in front, begins so.
fn is_about(fact: &str, beginning: &str) -> bool {
    let rest = fact.split_once('.').map_or("", |(_, rest)| rest);
    fact.starts_with(beginning) || beginning.starts_with("image.") && rest.starts_with(beginning)
}

/// The length of a path in which the pod's name stands once.
fn longer(length: &str, was: &PodIdentity, is: &PodIdentity) -> String {
    match length.parse::<usize>() {
        Ok(length) if length >= was.name.len() => {
            (length - was.name.len() + is.name.len()).to_string()
        }
        _ => length.to_owned(),
    }
}

impl Renaming {
    fn apply(&self, text: &str) -> String {
        self.texts.iter().fold(text.to_owned(), |text, (was, is)| text.replace(was, is))
    }
}

fn renamings(was: &PodIdentity, is: &PodIdentity) -> [Renaming; 3] {
    let places = [format!("/cryolab/{}/", was.name), format!("/cryolab/pods/{}/", was.name)];
    let places = places.map(|place| {
        let other = place.replace(&format!("/{}/", was.name), &format!("/{}/", is.name));
        (place, other)
    });
    let mut link = Vec::new();
    if let (Some(was), Some(is)) = (&was.link, &is.link) {
        link.push((network(&was.address), network(&is.address)));
        link.push((was.mac.clone(), is.mac.clone()));
    }
    let hostname = vec![(was.hostname.clone(), is.hostname.clone())];
    [
        Renaming { facts: &OF_LINK, texts: link },
        Renaming { facts: &OF_PLACES, texts: places.to_vec() },
        Renaming { facts: &[HOSTNAME], texts: hostname },
    ]
}

/// The part that all addresses of a pod's network have: `10.88.0.` of `10.88.0.2/24`.
fn network(address: &str) -> String {
    address.rsplit_once('.').map_or(address, |(network, _)| network).to_owned() + "."
}

#[cfg(test)]
mod tests {
    use model::pod::Link;

    use super::*;

    fn identity(name: &str, number: u8) -> PodIdentity {
        PodIdentity {
            name: name.to_owned(),
            hostname: format!("{name}-host"),
            link: Some(Link {
                address: format!("10.88.{number}.2/24"),
                gateway: format!("10.88.{number}.1/24"),
                mac: format!("0a:58:0a:58:0{number}:02"),
            }),
        }
    }

    #[test]
    fn only_what_was_given_reads_otherwise() {
        let exact = |text: &str| Value::Exact(text.to_owned());
        let before = [
            ("pod.addr.eth0 10.88.0.2/24.local", exact("10.88.0.2")),
            ("pod.link.eth0.address", exact("0a:58:0a:58:00:02")),
            ("pod.uts.hostname", exact("redis-host")),
            ("image.cgroup.sets.core.1.path", exact("/cryolab/redis/main")),
            ("image.cgroup.sets.core.1.cgns_prefix", exact("19")),
            ("back.image.cgroup.sets.core.1.path", exact("/cryolab/redis/back")),
            ("task.1.environ", exact("HOSTNAME=redis-host ADDRESS=10.88.0.2")),
        ];
        let facts = before.map(|(fact, value)| (fact.to_owned(), value)).into();
        let before = Capture { facts, ..Capture::default() };
        let after = expected(&before, &identity("redis", 0), &identity("redis-3", 3));
        let told: Vec<String> =
            after.facts.iter().map(|(fact, value)| format!("{fact} {value:?}")).collect();
        assert_eq!(
            told,
            [
                r#"back.image.cgroup.sets.core.1.path Exact("/cryolab/redis-3/back")"#,
                r#"image.cgroup.sets.core.1.cgns_prefix Exact("21")"#,
                r#"image.cgroup.sets.core.1.path Exact("/cryolab/redis-3/main")"#,
                r#"pod.addr.eth0 10.88.3.2/24.local Exact("10.88.3.2")"#,
                r#"pod.link.eth0.address Exact("0a:58:0a:58:03:02")"#,
                r#"pod.uts.hostname Exact("redis-3-host")"#,
                r#"task.1.environ Exact("HOSTNAME=redis-host ADDRESS=10.88.0.2")"#,
            ]
        );
    }
}
