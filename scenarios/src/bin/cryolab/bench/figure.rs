//! Figures: what was measured of ours and of a peer beside it, as a table and as JSON.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::{Value, json};

/// Values of the same thing, each from a run of its own.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample(Vec<f64>);

impl Sample {
    /// Adds a run.
    pub(crate) fn push(&mut self, value: f64) {
        let place = self.0.partition_point(|other| *other < value);
        self.0.insert(place, value);
    }

    /// Number of runs.
    pub(crate) fn runs(&self) -> usize {
        self.0.len()
    }

    /// The value that half of the runs do not exceed; zero without any run.
    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The middle half of the runs lies between these.
    pub(crate) fn quartiles(&self) -> [f64; 2] {
        [self.quantile(0.25), self.quantile(0.75)]
    }

    /// Interpolated linearly between the two nearest runs.
    fn quantile(&self, share: f64) -> f64 {
        let Some(last) = self.0.len().checked_sub(1) else { return 0.0 };
        let place = share * last as f64;
        let below = place.floor() as usize;
        let above = (below + 1).min(last);
        self.0[below] + (self.0[above] - self.0[below]) * place.fract()
    }
}

impl FromIterator<f64> for Sample {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut sample = Sample::default();
        values.into_iter().for_each(|value| sample.push(value));
        sample
    }
}

/// What is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Better {
    /// Times, sizes.
    Less,
    /// Throughput.
    More,
}

/// What is measured.
#[derive(Clone, Debug)]
pub(crate) struct What {
    /// Its name, such as `first answer`.
    pub(crate) name: Cow<'static, str>,
    /// The unit of all its values.
    pub(crate) unit: &'static str,
    /// Which values win.
    pub(crate) better: Better,
}

impl What {
    /// A time in milliseconds.
    pub(crate) const fn ms(name: &'static str) -> What {
        What { name: Cow::Borrowed(name), unit: "ms", better: Better::Less }
    }

    /// A size in MiB.
    pub(crate) const fn mib(name: &'static str) -> What {
        What { name: Cow::Borrowed(name), unit: "MiB", better: Better::Less }
    }
}

/// Somebody else who does the same.
#[derive(Clone, Debug)]
pub(crate) struct Peer {
    /// Its name, such as `own boot`.
    pub(crate) name: &'static str,
    /// What it came to, or why it could not be had.
    pub(crate) sample: Result<Sample, String>,
}

/// What was measured of ours, beside a peer if there is one.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    /// What.
    pub(crate) what: What,
    /// Ours.
    pub(crate) ours: Sample,
    /// The peer's.
    pub(crate) peer: Option<Peer>,
}

impl Figure {
    /// One of ours alone.
    pub(crate) fn alone(what: What, ours: &Sample) -> Figure {
        Figure { what, ours: ours.clone(), peer: None }
    }

    /// One beside a peer's, or beside the reason why that could not be had.
    pub(crate) fn beside(
        what: What,
        ours: &Sample,
        name: &'static str,
        theirs: Result<Sample, String>,
    ) -> Figure {
        Figure { what, ours: ours.clone(), peer: Some(Peer { name, sample: theirs }) }
    }

    /// How many times better than the peer.
    fn ratio(&self) -> Option<f64> {
        let theirs = self.theirs()?.median();
        let ours = self.ours.median();
        let (above, below) = match self.what.better {
            Better::Less => (theirs, ours),
            Better::More => (ours, theirs),
        };
        (below > 0.0).then(|| above / below)
    }

    fn theirs(&self) -> Option<&Sample> {
        self.peer.as_ref()?.sample.as_ref().ok()
    }

    /// The peer's name and why it could not be had, where that is so.
    fn lacking(&self) -> Option<(&'static str, &str)> {
        let peer = self.peer.as_ref()?;
        Some((peer.name, peer.sample.as_ref().err()?))
    }

    fn as_json(&self, bench: &str) -> Value {
        let rounded = |value: f64| (value * 1000.0).round() / 1000.0;
        let quartiles = |sample: &Sample| sample.quartiles().map(rounded);
        let theirs = self.theirs();
        json!({
            "bench": bench,
            "figure": self.what.name,
            "ours": rounded(self.ours.median()),
            "peer": theirs.map(|it| rounded(it.median())),
            "peer_name": self.peer.as_ref().map(|it| it.name),
            "ratio": self.ratio().map(rounded),
            "unit": self.what.unit,
            "runs": theirs.map_or(self.ours.runs(), |it| it.runs().min(self.ours.runs())),
            "ours_runs": self.ours.runs(),
            "ours_quartiles": quartiles(&self.ours),
            "peer_runs": theirs.map(Sample::runs),
            "peer_quartiles": theirs.map(quartiles),
        })
    }
}

/// One object a line. A peer that could not be had has no line: see [`lacking`].
pub(crate) fn json_lines(bench: &str, figures: &[Figure]) -> String {
    let had = figures.iter().filter(|figure| figure.lacking().is_none());
    had.map(|figure| figure.as_json(bench).to_string() + "\n").collect()
}

/// A line for each peer that could not be had, with the reason.
pub(crate) fn lacking(figures: &[Figure]) -> String {
    let mut lines: Vec<String> = Vec::new();
    for (name, why) in figures.iter().filter_map(Figure::lacking) {
        let line = format!("{name} could not be had: {why}\n");
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
    lines.concat()
}

const HEADER: [&str; 9] =
    ["figure", "ours", "quartiles", "runs", "peer", "theirs", "quartiles", "runs", "ratio"];

/// Columns of words; all others are numbers.
const WORDS: [usize; 2] = [0, 4];

/// A table for people.
pub(crate) fn table(figures: &[Figure]) -> String {
    let rows: Vec<[String; HEADER.len()]> = figures.iter().map(row).collect();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([HEADER[column].len()]).max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..HEADER.len()).map(width).collect();
    let mut text = String::new();
    for row in [&HEADER.map(str::to_owned)].into_iter().chain(&rows) {
        let mut line = String::new();
        for (column, (cell, &width)) in row.iter().zip(&widths).enumerate() {
            // Writing to a text cannot fail.
            let _ = match WORDS.contains(&column) {
                true => write!(line, "{cell:<width$}  "),
                false => write!(line, "{cell:>width$}  "),
            };
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn row(figure: &Figure) -> [String; HEADER.len()] {
    let What { name, unit, .. } = &figure.what;
    let [ours, between, runs] = cells(&figure.ours);
    let [peer, theirs, theirs_between, theirs_runs] = match &figure.peer {
        None => ["-"; 4].map(str::to_owned),
        Some(Peer { name, sample: Err(_) }) => [*name, "-", "-", "-"].map(str::to_owned),
        Some(Peer { name, sample: Ok(sample) }) => {
            let [median, between, runs] = cells(sample);
            [(*name).to_owned(), median, between, runs]
        }
    };
    let ratio = figure.ratio().map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}x"));
    let what = format!("{name} ({unit})");
    [what, ours, between, runs, peer, theirs, theirs_between, theirs_runs, ratio]
}

/// Median, quartiles and number of runs.
fn cells(sample: &Sample) -> [String; 3] {
    let [lower, upper] = sample.quartiles().map(short);
    [short(sample.median()), format!("{lower} .. {upper}"), sample.runs().to_string()]
}

/// Three digits that count.
fn short(value: f64) -> String {
    match value {
        _ if value >= 100.0 => format!("{value:.0}"),
        _ if value >= 10.0 => format!("{value:.1}"),
        _ if value >= 0.1 => format!("{value:.2}"),
        _ => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const THROUGHPUT: What =
        What { name: Cow::Borrowed("throughput"), unit: "MiB/s", better: Better::More };

    fn sample(values: &[f64]) -> Sample {
        values.iter().copied().collect()
    }

    fn figures() -> Vec<Figure> {
        let answer = What::ms("first answer");
        let ours = sample(&[150.0, 140.0, 145.0, 190.0, 141.0]);
        let boot = sample(&[6000.0, 5800.0, 7000.0]);
        let why = Err("pip: no such package".to_owned());
        let [over_switch, past_it] = [[60.0, 50.0, 70.0], [80.0, 75.0, 85.0]];
        vec![
            Figure::beside(answer.clone(), &ours, "own boot", Ok(boot)),
            Figure::beside(answer, &ours, "vng", why),
            Figure::alone(What::ms("next answer"), &sample(&[2.25])),
            Figure::beside(THROUGHPUT, &sample(&over_switch), "qemu socket", Ok(sample(&past_it))),
        ]
    }

    #[test]
    fn quartiles_lie_between_the_runs() {
        let four = sample(&[4.0, 1.0, 3.0, 2.0]);
        assert_eq!((four.median(), four.quartiles()), (2.5, [1.75, 3.25]));
        assert_eq!(sample(&[]).median(), 0.0);
    }

    #[test]
    fn the_ratio_says_how_many_times_better_whatever_is_better() {
        let ratios: Vec<_> = figures().iter().map(Figure::ratio).collect();
        assert_eq!(ratios, [Some(6000.0 / 145.0), None, None, Some(0.75)]);
    }

    #[test]
    fn figures_as_a_table() {
        insta::assert_snapshot!(table(&figures()), @r"
        figure              ours     quartiles  runs  peer         theirs     quartiles  runs   ratio
        first answer (ms)    145    141 .. 150     5  own boot       6000  5900 .. 6500     3  41.38x
        first answer (ms)    145    141 .. 150     5  vng               -             -     -       -
        next answer (ms)    2.25  2.25 .. 2.25     1  -                 -             -     -       -
        throughput (MiB/s)  60.0  55.0 .. 65.0     3  qemu socket    80.0  77.5 .. 82.5     3   0.75x
        ");
    }

    #[test]
    fn figures_as_json() {
        insta::assert_snapshot!(json_lines("vm", &figures()), @r#"
        {"bench":"vm","figure":"first answer","ours":145.0,"ours_quartiles":[141.0,150.0],"ours_runs":5,"peer":6000.0,"peer_name":"own boot","peer_quartiles":[5900.0,6500.0],"peer_runs":3,"ratio":41.379,"runs":3,"unit":"ms"}
        {"bench":"vm","figure":"next answer","ours":2.25,"ours_quartiles":[2.25,2.25],"ours_runs":1,"peer":null,"peer_name":null,"peer_quartiles":null,"peer_runs":null,"ratio":null,"runs":1,"unit":"ms"}
        {"bench":"vm","figure":"throughput","ours":60.0,"ours_quartiles":[55.0,65.0],"ours_runs":3,"peer":80.0,"peer_name":"qemu socket","peer_quartiles":[77.5,82.5],"peer_runs":3,"ratio":0.75,"runs":3,"unit":"MiB/s"}
        "#);
    }

    #[test]
    fn a_peer_that_could_not_be_had_is_named_with_the_reason() {
        insta::assert_snapshot!(lacking(&figures()), @"vng could not be had: pip: no such package");
    }
}
