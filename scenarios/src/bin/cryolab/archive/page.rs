//! An analysis for people at a terminal.

use std::fmt::{self, Display, Formatter};

use engine::forensic::{Analysis, Content, Process};
use runner::verdict::plain;

/// Most lines of a list; all of it is in the JSON and in the page for a browser.
const MOST_LINES: usize = 40;

/// Most letters of a text out of the pod.
const LONGEST_TEXT: usize = 160;

/// An analysis to be read. Its texts come from whoever ran in the pod.
pub(crate) struct Page<'a>(pub(crate) &'a Analysis);

impl Display for Page<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Page(analysis) = self;
        let source = &analysis.source;
        writeln!(f, "{}: pod {}", short(&source.archive), short(&source.pod))?;
        let (kernel, arch, criu) = (&source.kernel, &source.arch, &source.criu);
        let [kernel, arch, criu] = [kernel, arch, criu].map(|text| short(text));
        writeln!(f, "taken on Linux {kernel} ({arch}) by CRIU {criu}")?;
        writeln!(f, "SHA-256 {}", short(&source.sha256))?;
        processes(f, analysis)?;
        files(f, analysis)?;
        deleted(f, analysis)?;
        sockets(f, analysis)?;
        changed(f, analysis)?;
        memory(f, analysis)?;
        differences(f, analysis)?;
        list(f, "not read", analysis.unread.iter(), |it| {
            let container = it.container.as_deref().unwrap_or("pod");
            format!("{}: {}: {}", short(container), short(&it.image), short(&it.why))
        })
    }
}

/// A heading with a count, and as many lines as are read.
fn list<T>(
    f: &mut Formatter<'_>,
    title: &str,
    items: impl ExactSizeIterator<Item = T>,
    line: impl Fn(T) -> String,
) -> fmt::Result {
    let count = items.len();
    if count == 0 {
        return Ok(());
    }
    writeln!(f, "\n{title} ({count})")?;
    for item in items.take(MOST_LINES) {
        writeln!(f, "  {}", line(item))?;
    }
    match count.saturating_sub(MOST_LINES) {
        0 => Ok(()),
        more => writeln!(f, "  and {more} more: see --json or --html"),
    }
}

/// A text in one line, without orders to the terminal.
fn short(text: &str) -> String {
    let text = plain(text);
    match text.char_indices().nth(LONGEST_TEXT) {
        Some((end, _)) => format!("{} ...", &text[..end]),
        None => text,
    }
}

fn processes(f: &mut Formatter<'_>, analysis: &Analysis) -> fmt::Result {
    let tree = analysis.tree();
    list(f, "processes", tree.iter(), |(depth, process)| {
        format!("{}{}", "  ".repeat((*depth).min(20)), process_line(process))
    })
}

fn process_line(process: &Process) -> String {
    let Process { pid, uid, gid, state, .. } = process;
    let what = match process.command_line.is_empty() {
        true => format!("[{}]", process.comm),
        false => process.command_line.join(" "),
    };
    let (threads, variables) = (process.threads.len(), process.environment.len());
    let also = format!("{uid}:{gid}, {}, {threads} threads, {variables} variables", short(state));
    format!("{pid} {} ({also})", short(&what))
}

fn files(f: &mut Formatter<'_>, analysis: &Analysis) -> fmt::Result {
    list(f, "open files", analysis.files.iter(), |it| {
        let offset = it.offset.map(|offset| format!(" at {offset}")).unwrap_or_default();
        let gone = if it.deleted { " (deleted)" } else { "" };
        let (path, kind, flags) = (short(&it.path), short(&it.kind), short(&it.flags));
        format!("{}/{} {path}{gone} ({kind}, {flags}{offset})", it.pid, it.fd)
    })
}

fn deleted(f: &mut Formatter<'_>, analysis: &Analysis) -> fmt::Result {
    list(f, "deleted files that were still in use", analysis.deleted.iter(), |it| {
        let content = it.content.as_ref().map(content);
        format!("{}: {}", short(&it.path), content.unwrap_or_else(|| "no content".to_owned()))
    })
}

fn content(content: &Content) -> String {
    let start = content.text.as_deref().or(content.hex.as_deref()).unwrap_or_default();
    format!("{} bytes: {}", content.bytes, short(start))
}

fn sockets(f: &mut Formatter<'_>, analysis: &Analysis) -> fmt::Result {
    list(f, "sockets", analysis.sockets.iter(), |it| {
        let holders = it.holders.iter().map(|holder| format!("{}/{}", holder.pid, holder.fd));
        let holders: Vec<String> = holders.take(4).collect();
        let peer = it.peer_inode.map(|inode| format!("socket:[{inode}]"));
        let peer = it.peer.clone().or(peer).map(|peer| format!(" <-> {}", short(&peer)));
        let kind = format!("{} {} {}", it.family, it.kind, it.protocol);
        let (local, peer) = (short(&it.local), peer.unwrap_or_default());
        let (kind, state) = (short(kind.trim_end()), short(&it.state));
        let queues = format!("{} unread, {} unsent", it.receive_queue, it.send_queue);
        format!("{} {kind} {state} {local}{peer} ({queues})", holders.join(" "))
    })
}

fn changed(f: &mut Formatter<'_>, analysis: &Analysis) -> fmt::Result {
    list(f, "files that are not as in the image", analysis.changed.iter(), |it| {
        let bytes =
            if it.kind == "regular" { format!(", {} bytes", it.bytes) } else { String::new() };
        format!("{} ({}{bytes})", short(&it.path), short(&it.kind))
    })
}

fn memory(f: &mut Formatter<'_>, analysis: &Analysis) -> fmt::Result {
    let searched = &analysis.memory.searched;
    writeln!(f, "\nmemory: {} pages, {} bytes", searched.pages, searched.bytes)?;
    for sought in &searched.sought {
        writeln!(f, "  {} times: {}", sought.found, short(&sought.pattern))?;
    }
    list(f, "found in memory", analysis.memory.found.iter(), |it| {
        let pid = it.pid.map_or_else(|| "nobody".to_owned(), |pid| pid.to_string());
        let (mapping, around) = (short(&it.mapping), short(&it.around));
        format!("{pid} {} {mapping} |{around}|", short(&it.address))
    })
}

fn differences(f: &mut Formatter<'_>, analysis: &Analysis) -> fmt::Result {
    let Some(differences) = &analysis.differences else { return Ok(()) };
    let title = format!("what changed since {}", short(&differences.from.archive));
    list(f, &title, differences.changes.iter(), |it| {
        let field = it.field.as_deref().map(|field| format!(", {field}")).unwrap_or_default();
        let side = |text: &Option<String>| text.as_deref().map_or("not there".to_owned(), short);
        let (before, after) = (side(&it.before), side(&it.after));
        format!("{} {}{field}: {before} -> {after}", it.of, short(&it.what))
    })
}
