//! Reading the host's apt sources, to find the Debian mirror that it uses.

use std::path::{Path, PathBuf};

use fs_err as fs;

use crate::Error;

/// The setting that names a mirror.
const SETTING: &str = "CRYOLAB_MIRROR";

/// Names of releases; an entry for one of these is the archive itself, not an addition to it.
const RELEASES: [&str; 13] = [
    "buster",
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
    "experimental",
];

/// One entry of `sources.list`, or one stanza of a `.sources` file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Source {
    types: Vec<String>,
    uris: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
}

/// A mirror of Debian's archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mirror {
    pub(super) uri: String,
    /// Whether the user set it. It may be a snapshot then, whose indexes have run out; that they
    /// are older than the newest ones is what a snapshot is for.
    pub(super) set: bool,
}

/// The mirror to use: the setting `CRYOLAB_MIRROR`, else what the host's apt uses.
pub(super) fn mirror() -> Result<Mirror, Error> {
    if let Some(set) = std::env::var(SETTING).ok().filter(|value| !value.is_empty()) {
        return Ok(Mirror { uri: set.trim_end_matches('/').to_owned(), set: true });
    }
    let of_host = debian_mirror(&host_sources(Path::new("/etc/apt"))?);
    of_host.map(|uri| Mirror { uri, set: false }).ok_or_else(|| {
        Error::Mirror(format!(
            "no Debian archive among the apt sources of this host; set {SETTING} to the URI of a \
             Debian mirror (the folder that contains `dists`)"
        ))
    })
}

fn debian_mirror(sources: &[Source]) -> Option<String> {
    let has = |list: &[String], known: &[&str]| list.iter().any(|word| known.contains(&&**word));
    let archive = sources.iter().find(|source| {
        has(&source.types, &["deb"])
            && has(&source.components, &["main"])
            && has(&source.suites, &RELEASES)
    })?;
    archive.uris.first().map(|uri| uri.trim_end_matches('/').to_owned())
}

fn host_sources(folder: &Path) -> Result<Vec<Source>, Error> {
    let mut sources = Vec::new();
    for path in source_files(folder)? {
        let text = fs::read_to_string(&path)?;
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("sources") => sources.extend(parse_stanzas(&text)),
            _ => sources.extend(text.lines().filter_map(parse_line)),
        }
    }
    Ok(sources)
}

fn source_files(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut files = Vec::new();
    let parts = folder.join("sources.list.d");
    if parts.is_dir() {
        for entry in fs::read_dir(&parts)? {
            files.push(entry?.path());
        }
    }
    let known = |path: &PathBuf| path.extension().is_some_and(|e| e == "list" || e == "sources");
    files.retain(known);
    files.sort();
    let list = folder.join("sources.list");
    if list.is_file() {
        files.insert(0, list);
    }
    Ok(files)
}

/// `deb [option=value ...] URI SUITE COMPONENT...`
fn parse_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let (kind, rest) = line.split_once(char::is_whitespace)?;
    let rest = rest.trim_start();
    let rest = match rest.strip_prefix('[') {
        Some(options) => options.split_once(']')?.1,
        None => rest,
    };
    let mut words = rest.split_whitespace().map(str::to_owned);
    Some(Source {
        types: vec![kind.to_owned()],
        uris: vec![words.next()?],
        suites: vec![words.next()?],
        components: words.collect(),
    })
}

/// Stanzas of `Types:`, `URIs:`, `Suites:`, `Components:`, without those that are disabled.
fn parse_stanzas(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut stanza = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if !line.trim().is_empty() {
            stanza.push(line);
        } else if !stanza.is_empty() {
            sources.extend(parse_stanza(&stanza));
            stanza.clear();
        }
    }
    sources
}

fn parse_stanza(lines: &[&str]) -> Option<Source> {
    let mut source = Source::default();
    let mut field = String::new();
    for line in lines {
        let mut words = *line;
        if !line.starts_with([' ', '\t']) {
            let (name, value) = line.split_once(':')?;
            field = name.trim().to_ascii_lowercase();
            words = value;
        }
        let words = words.split_whitespace().map(str::to_owned);
        match field.as_str() {
            "types" => source.types.extend(words),
            "uris" => source.uris.extend(words),
            "suites" => source.suites.extend(words),
            "components" => source.components.extend(words),
            "enabled" if words.into_iter().any(|word| word == "no" || word == "false") => {
                return None;
            }
            _ => {}
        }
    }
    Some(source)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const DEB822: &str = "\
# written by an installer
Types: deb
URIs: http://mirror.test/debian-security
Suites: trixie-security
Components: main

Types: deb deb-src
# a comment between fields
URIs: http://old.test/debian
Suites: trixie
Components: main
Enabled: no

Types: deb
URIs:
 http://mirror.test/debian/
Suites: trixie trixie-updates
Components: main contrib
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 xsFNBF
";

    #[test]
    fn the_archive_is_found_among_deb822_stanzas() {
        let sources = parse_stanzas(DEB822);
        assert_eq!(sources.len(), 2);
        assert_eq!(debian_mirror(&sources).as_deref(), Some("http://mirror.test/debian"));
    }

    #[rstest]
    #[case("deb http://m.test/debian trixie main", Some("http://m.test/debian"))]
    #[case("deb [arch=amd64 signed-by=/a.gpg] http://m.test/d/ sid main", Some("http://m.test/d"))]
    #[case("deb http://m.test/debian-security trixie-security main", None)]
    #[case("deb-src http://m.test/debian trixie main", None)]
    #[case("# deb http://m.test/debian trixie main", None)]
    #[case("deb https://apt.test vendor-trixie main", None)]
    #[case("deb http://m.test/flat ./", None)]
    fn the_archive_is_found_among_lines(#[case] line: &str, #[case] mirror: Option<&str>) {
        let sources: Vec<_> = parse_line(line).into_iter().collect();
        assert_eq!(debian_mirror(&sources).as_deref(), mirror);
    }
}
