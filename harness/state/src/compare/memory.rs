//! Pages, object by object.

use std::collections::BTreeSet;
use std::ops::Range;

use model::{Memory, PageLabel, PageObject, PageRun};

use super::page::{DifferingPage, Page};
use super::{Difference, MemoryLevel};
use crate::kernel::{self, Replaced};
use crate::tolerance;

/// So many runs of differing pages are told one by one.
const TOLD: usize = 64;

/// Compares memory; of the pages that are `replaced` with the kernel it is told, and no more.
pub(super) fn compare(before: &Memory, after: &Memory, replaced: &Replaced) -> MemoryLevel {
    let mut level = MemoryLevel::default();
    let page_bytes = u64::from(before.page_bytes.max(after.page_bytes));
    let none = PageObject::default();
    let names: BTreeSet<&String> = before.objects.keys().chain(after.objects.keys()).collect();
    let mut untold = 0;
    for name in names {
        let was = before.objects.get(name).unwrap_or(&none);
        let is = after.objects.get(name).unwrap_or(&none);
        let ranges = replaced.of(name);
        for run in differing(was, is, ranges, &mut level.pages) {
            let difference = run.told(name, was, is, page_bytes);
            if run.rule.is_some() {
                level.tolerated.push(difference);
                continue;
            }
            level.differing = level.differing.saturating_add(run.count);
            if level.differences.len() < TOLD {
                level.first_pages.push(run.first_page(&difference.fact, name, was, is));
                level.differences.push(difference);
            } else {
                untold += 1;
            }
        }
    }
    if untold > 0 {
        level.differences.push(Difference {
            fact: "memory".to_owned(),
            before: format!("{TOLD} runs of pages are listed above"),
            after: format!("and {untold} more"),
            rule: None,
        });
    }
    level.bytes = level.pages.saturating_mul(page_bytes);
    level
}

/// Pages next to each other that differ in the same way.
#[derive(Clone, Copy, Debug)]
struct DifferingRun {
    first: u64,
    count: u64,
    before: Page,
    after: Page,
    /// Why it may differ so.
    rule: Option<&'static str>,
}

impl DifferingRun {
    /// Whether the next differing page continues this run.
    fn takes(&self, next: &DifferingRun, labels: &[PageLabel]) -> bool {
        let alike = |a: Page, b: Page| std::mem::discriminant(&a) == std::mem::discriminant(&b);
        self.first.saturating_add(self.count) == next.first
            && alike(self.before, next.before)
            && alike(self.after, next.after)
            && self.rule == next.rule
            && label(labels, self.first) == label(labels, next.first)
    }

    /// What a person calls the mapping that it is in.
    fn mapping<'o>(&self, was: &'o PageObject, is: &'o PageObject) -> &'o str {
        let name = label(&was.labels, self.first).or_else(|| label(&is.labels, self.first));
        name.map_or("memory", |label| label.text.as_str())
    }

    fn first_page(
        &self,
        fact: &str,
        object: &str,
        was: &PageObject,
        is: &PageObject,
    ) -> DifferingPage {
        DifferingPage {
            fact: fact.to_owned(),
            object: object.to_owned(),
            index: self.first,
            mapping: self.mapping(was, is).to_owned(),
            before: self.before,
            after: self.after,
        }
    }

    fn told(&self, object: &str, was: &PageObject, is: &PageObject, page_bytes: u64) -> Difference {
        let name = self.mapping(was, is);
        let pages = match self.count {
            1 => "1 page".to_owned(),
            count => format!("{count} pages"),
        };
        Difference {
            fact: format!("{object}.{:x}", self.first.saturating_mul(page_bytes)),
            before: format!("{pages} of {name}: {}", self.before.words(self.count)),
            after: self.after.words(self.count),
            rule: self.rule.map(str::to_owned),
        }
    }
}

impl Page {
    fn words(self, count: u64) -> String {
        match self {
            Page::Absent => "not mapped".to_owned(),
            Page::Zero => "zero".to_owned(),
            Page::Content(digest) if count == 1 => format!("digest {digest}"),
            Page::Content(digest) => format!("digests from {digest} on"),
        }
    }
}

fn label(labels: &[PageLabel], page: u64) -> Option<&PageLabel> {
    let at = labels.partition_point(|label| label.first.saturating_add(label.count) <= page);
    labels.get(at).filter(|label| label.first <= page)
}

/// Walks both objects in lockstep. Counts pages that have content on either side.
fn differing(
    was: &PageObject,
    is: &PageObject,
    replaced: &[Range<u64>],
    pages: &mut u64,
) -> Vec<DifferingRun> {
    let mut runs: Vec<DifferingRun> = Vec::new();
    let (mut a, mut b) = (Cursor::new(&was.runs), Cursor::new(&is.runs));
    while let Some(at) = [a.next_page(), b.next_page()].into_iter().flatten().min() {
        let ((before, n), (after, m)) = (a.at(at), b.at(at));
        let count = n.min(m);
        if matches!(before, Page::Content(_)) || matches!(after, Page::Content(_)) {
            *pages = pages.saturating_add(count);
        }
        if before != after {
            let may_drop = label(&was.labels, at).is_some_and(|label| label.droppable);
            let rule = if may_drop && after == Page::Zero {
                Some(tolerance::DROPPABLE)
            } else {
                let is_replaced = replaced.iter().any(|pages| pages.contains(&at));
                is_replaced.then_some(kernel::REPLACED)
            };
            let next = DifferingRun { first: at, count, before, after, rule };
            match runs.last_mut() {
                Some(last) if last.takes(&next, &was.labels) => {
                    last.count = last.count.saturating_add(count);
                }
                _ => runs.push(next),
            }
        }
        a.skip_to(at.saturating_add(count));
        b.skip_to(at.saturating_add(count));
    }
    runs
}

/// A place in the runs of an object.
#[derive(Debug)]
struct Cursor<'a> {
    runs: &'a [PageRun],
    at: u64,
}

impl<'a> Cursor<'a> {
    fn new(runs: &'a [PageRun]) -> Self {
        let mut cursor = Cursor { runs, at: 0 };
        cursor.skip_to(0);
        cursor
    }

    /// The next page that the object has, from here on.
    fn next_page(&self) -> Option<u64> {
        self.runs.first().map(|run| first(run).max(self.at))
    }

    /// What a page is, and for how many pages from there it is the same.
    fn at(&self, page: u64) -> (Page, u64) {
        match self.runs.first() {
            None => (Page::Absent, u64::MAX),
            Some(run) if first(run) > page => (Page::Absent, first(run) - page),
            Some(PageRun::Zero { first, count }) => {
                (Page::Zero, first.saturating_add(*count) - page)
            }
            Some(PageRun::Pages { first, digests }) => {
                (Page::Content(digests[(page - first) as usize]), 1)
            }
        }
    }

    /// Goes on to a page. Runs that are empty or stand behind it are passed over: a capture comes
    /// from a guest, and need not be in order.
    fn skip_to(&mut self, page: u64) {
        self.at = page;
        while self.runs.first().is_some_and(|run| end(run) <= page || end(run) == first(run)) {
            self.runs = &self.runs[1..];
        }
    }
}

fn first(run: &PageRun) -> u64 {
    match run {
        PageRun::Zero { first, .. } | PageRun::Pages { first, .. } => *first,
    }
}

fn end(run: &PageRun) -> u64 {
    match run {
        PageRun::Zero { first, count } => first.saturating_add(*count),
        PageRun::Pages { first, digests } => first.saturating_add(digests.len() as u64),
    }
}
