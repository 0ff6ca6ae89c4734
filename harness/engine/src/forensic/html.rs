//! An analysis as one page for people: no script, nothing fetched from elsewhere.
//!
//! Almost every text here was written by whoever ran in the pod. Each goes through [`escape`], and the
//! page forbids itself all but its own style.

use std::fmt::Write as _;

use super::analysis::{Analysis, Content, Differences, Memory};

const STYLE: &str = "\
body{font:14px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:90rem;padding:0 1rem}\
h1{margin-bottom:.2rem}h2{margin-top:2rem}\
table{border-collapse:collapse;width:100%}\
th,td{text-align:left;vertical-align:top;padding:.15rem .6rem .15rem 0;border-bottom:1px solid #8884}\
td,pre,code{font-family:ui-monospace,monospace;font-size:12px;overflow-wrap:anywhere}\
pre{white-space:pre-wrap;border:1px solid #8884;padding:.5rem}\
summary{cursor:pointer}.none{opacity:.6}.bad{color:#c22}\
@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}.bad{color:#f77}}";

/// Draws an analysis.
#[must_use]
pub fn html(analysis: &Analysis) -> String {
    let mut page = Page(String::new());
    page.head(analysis);
    page.unread(analysis);
    page.processes(analysis);
    page.files(analysis);
    page.deleted(analysis);
    page.sockets(analysis);
    page.memory(&analysis.memory);
    page.changed(analysis);
    page.differences(analysis.differences.as_ref());
    page.mappings(analysis);
    page.chain(analysis);
    page.0.push_str("</body></html>\n");
    page.0
}

/// Text that can stand anywhere in a page. Control characters, and those that turn the direction of
/// what is written, become visible.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            '\n' | '\t' => escaped.push(letter),
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => escaped.push('\u{fffd}'),
            _ if letter.is_control() => escaped.push('\u{fffd}'),
            _ => escaped.push(letter),
        }
    }
    escaped
}

struct Page(String);

impl Page {
    fn put(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing into a string cannot fail.
        let _ = self.0.write_fmt(text);
    }

    fn head(&mut self, analysis: &Analysis) {
        let source = &analysis.source;
        let [pod, archive, kernel, arch, criu] =
            [&source.pod, &source.archive, &source.kernel, &source.arch, &source.criu]
                .map(|text| escape(text));
        let (bytes, sha256) = (source.bytes, escape(&source.sha256));
        self.put(format_args!(
            "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
             <meta http-equiv=\"Content-Security-Policy\" \
             content=\"default-src 'none'; style-src 'unsafe-inline'\">\
             <title>{pod}</title><style>{STYLE}</style></head><body>\n\
             <h1>{pod}</h1><p>Out of {archive}, {bytes} bytes, SHA-256 <code>{sha256}</code>, taken on \
             Linux {kernel} ({arch}) by CRIU {criu}. Nothing was restored.</p>\n"
        ));
    }

    /// A table below a heading; its cells are not escaped yet.
    fn table(&mut self, title: &str, columns: &[&str], rows: impl Iterator<Item = Vec<String>>) {
        self.put(format_args!("<h2>{}</h2>\n", escape(title)));
        self.rows(columns, rows);
    }

    fn rows(&mut self, columns: &[&str], rows: impl Iterator<Item = Vec<String>>) {
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            self.0.push_str("<p class=\"none\">None.</p>\n");
            return;
        }
        self.0.push_str("<table><thead><tr>");
        for column in columns {
            self.put(format_args!("<th>{}</th>", escape(column)));
        }
        self.0.push_str("</tr></thead><tbody>\n");
        for row in rows {
            self.0.push_str("<tr>");
            for cell in row {
                self.put(format_args!("<td>{}</td>", escape(&cell)));
            }
            self.0.push_str("</tr>\n");
        }
        self.0.push_str("</tbody></table>\n");
    }

    fn unread(&mut self, analysis: &Analysis) {
        if analysis.unread.is_empty() {
            return;
        }
        self.0.push_str("<div class=\"bad\">\n");
        let rows = analysis.unread.iter().map(|it| {
            vec![it.container.clone().unwrap_or_default(), it.image.clone(), it.why.clone()]
        });
        self.table("Not read", &["container", "image", "why"], rows);
        self.0.push_str("</div>\n");
    }

    fn processes(&mut self, analysis: &Analysis) {
        let tree = analysis.tree();
        let columns = ["process", "name", "state", "user", "threads", "command line", "directory"];
        let rows = tree.iter().map(|(depth, it)| {
            vec![
                format!("{}{} {}", "\u{a0}\u{a0}".repeat((*depth).min(40)), it.container, it.pid),
                it.comm.clone(),
                it.state.clone(),
                format!("{}:{}", it.uid, it.gid),
                it.threads.len().to_string(),
                it.command_line.join(" "),
                it.directory.clone().unwrap_or_default(),
            ]
        });
        self.table("Processes", &columns, rows);
        for (_, it) in tree.iter().filter(|(_, it)| !it.environment.is_empty()) {
            let (name, environment) = (escape(&it.comm), escape(&it.environment.join("\n")));
            let pid = it.pid;
            self.put(format_args!(
                "<details><summary>Environment of {pid} ({name})</summary><pre>{environment}</pre>\
                 </details>\n"
            ));
        }
    }

    fn files(&mut self, analysis: &Analysis) {
        let columns = ["container", "process", "fd", "path", "kind", "flags", "offset"];
        let rows = analysis.files.iter().map(|it| {
            let gone = if it.deleted { " (deleted)" } else { "" };
            vec![
                it.container.clone(),
                it.pid.to_string(),
                it.fd.to_string(),
                format!("{}{gone}", it.path),
                it.kind.clone(),
                it.flags.clone(),
                it.offset.map(|offset| offset.to_string()).unwrap_or_default(),
            ]
        });
        self.table("Open files", &columns, rows);
    }

    fn deleted(&mut self, analysis: &Analysis) {
        self.0.push_str("<h2>Deleted files that were still in use</h2>\n");
        if analysis.deleted.is_empty() {
            self.0.push_str("<p class=\"none\">None.</p>\n");
        }
        for it in &analysis.deleted {
            let (path, owner) = (escape(&it.path), format!("{}:{}", it.uid, it.gid));
            let (mode, container) = (escape(&it.mode), escape(&it.container));
            self.put(format_args!(
                "<details><summary><code>{path}</code> in {container}, mode {mode}, owner {owner}\
                 </summary>"
            ));
            match &it.content {
                Some(content) => self.content(content),
                None => self.0.push_str("<p class=\"none\">It has no content.</p>"),
            }
            self.0.push_str("</details>\n");
        }
    }

    fn content(&mut self, content: &Content) {
        let Content { bytes, shown, .. } = content;
        let digest = escape(content.sha256.as_deref().unwrap_or("not made"));
        let text = content.text.as_deref().or(content.hex.as_deref()).unwrap_or_default();
        let how = if content.text.is_some() { "as text" } else { "in hexadecimal" };
        let text = escape(text);
        self.put(format_args!(
            "<p>{bytes} bytes, SHA-256 <code>{digest}</code>; the first {shown}, {how}:</p>\
             <pre>{text}</pre>"
        ));
    }

    fn sockets(&mut self, analysis: &Analysis) {
        let columns =
            ["container", "held by", "socket", "state", "local", "peer", "unread", "unsent"];
        let rows = analysis.sockets.iter().map(|it| {
            let holders: Vec<String> =
                it.holders.iter().map(|holder| format!("{}/{}", holder.pid, holder.fd)).collect();
            let peer = it.peer_inode.map(|inode| format!("socket:[{inode}]"));
            vec![
                it.container.clone(),
                holders.join(" "),
                format!("{} {} {}", it.family, it.kind, it.protocol),
                it.state.clone(),
                it.local.clone(),
                it.peer.clone().or(peer).unwrap_or_default(),
                it.receive_queue.to_string(),
                it.send_queue.to_string(),
            ]
        });
        self.table("Sockets (held by process/fd)", &columns, rows);
    }

    fn memory(&mut self, memory: &Memory) {
        let searched = &memory.searched;
        let rows = searched.sought.iter().map(|it| {
            let kind = if it.regex { "regular expression" } else { "text" };
            vec![it.pattern.clone(), kind.to_owned(), it.found.to_string()]
        });
        self.table("Memory", &["sought", "as", "found"], rows);
        let (pages, bytes, most) = (searched.pages, searched.bytes, searched.most_listed);
        self.put(format_args!(
            "<p>{pages} pages ({bytes} bytes) were looked through; at most {most} matches of each are \
             listed.</p>\n"
        ));
        let columns = ["found", "process", "address", "mapping", "around it"];
        let rows = memory.found.iter().map(|it| {
            vec![
                it.text.clone(),
                format!(
                    "{} {}",
                    it.container,
                    it.pid.map(|pid| pid.to_string()).unwrap_or_default()
                ),
                it.address.clone(),
                it.mapping.clone(),
                it.around.clone(),
            ]
        });
        self.rows(&columns, rows);
    }

    fn changed(&mut self, analysis: &Analysis) {
        let columns = ["container", "path", "kind", "bytes", "mode", "owner", "leads to"];
        let rows = analysis.changed.iter().map(|it| {
            vec![
                it.container.clone().unwrap_or_default(),
                it.path.clone(),
                it.kind.clone(),
                it.bytes.to_string(),
                it.mode.clone(),
                format!("{}:{}", it.uid, it.gid),
                it.target.clone().unwrap_or_default(),
            ]
        });
        self.table("Files that are not as in the image", &columns, rows);
    }

    fn differences(&mut self, differences: Option<&Differences>) {
        let Some(differences) = differences else { return };
        let rows = differences.changes.iter().map(|it| {
            vec![
                it.of.clone(),
                it.what.clone(),
                it.field.clone().unwrap_or_default(),
                it.before.clone().unwrap_or_else(|| "not there".to_owned()),
                it.after.clone().unwrap_or_else(|| "not there".to_owned()),
            ]
        });
        let title = format!("What changed since {}", differences.from.archive);
        self.table(&title, &["of", "which", "what", "before", "after"], rows);
        if differences.more > 0 {
            self.put(format_args!("<p>And {} more.</p>\n", differences.more));
        }
    }

    fn mappings(&mut self, analysis: &Analysis) {
        let columns = ["container", "process", "addresses", "permissions", "name", "pages"];
        let rows = analysis.mappings.iter().map(|it| {
            vec![
                it.container.clone(),
                it.pid.to_string(),
                format!("{}-{}", it.start, it.end),
                it.permissions.clone(),
                it.name.clone(),
                it.pages.to_string(),
            ]
        });
        self.0.push_str("<h2>Mappings</h2><details><summary>All of them</summary>\n");
        self.rows(&columns, rows);
        self.0.push_str("</details>\n");
    }

    fn chain(&mut self, analysis: &Analysis) {
        let rows = analysis
            .chain
            .iter()
            .map(|it| vec![it.archive.clone(), it.sha256.clone(), it.link.clone()]);
        self.table("Chain of archives", &["archive", "SHA-256", "link"], rows);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_wrote_is_never_markup() {
        let text = "<script>alert('x')</script>&\"\u{1b}[2J\u{202e}";
        let escaped =
            "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;\u{fffd}[2J\u{fffd}";
        assert_eq!(escape(text), escaped);
    }
}
