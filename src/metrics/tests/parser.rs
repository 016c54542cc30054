//! A strict reader of the Prometheus text format 0.0.4: whatever a scraper could stumble over fails
//! the test.

use std::collections::{BTreeMap, HashSet};

/// A page that was read.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// `name{label="value",…}`, labels sorted → value.
    pub(super) samples: BTreeMap<String, f64>,
    /// Family → kind.
    pub(super) kinds: BTreeMap<String, String>,
}

impl Page {
    /// Reads a page; panics with the line that is wrong.
    pub(super) fn parse(text: &str) -> Page {
        assert!(
            text.is_empty() || text.ends_with('\n'),
            "the last line is complete"
        );
        let mut page = Page::default();
        let mut family = String::new();
        let mut lines = text.lines();
        while let Some(line) = lines.next() {
            if let Some(header) = line.strip_prefix("# HELP ") {
                let (name, help) = header.split_once(' ').expect("a name and a help text");
                assert!(is_name(name) && !help.is_empty(), "{line}");
                family = name.to_owned();
                let kind = lines.next().and_then(|line| line.strip_prefix("# TYPE "));
                let (typed, kind) = kind
                    .and_then(|kind| kind.split_once(' '))
                    .expect("a TYPE line");
                assert_eq!(typed, name, "HELP and TYPE name the same family");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{kind}");
                let first = page.kinds.insert(family.clone(), kind.to_owned()).is_none();
                assert!(
                    first,
                    "{name} has one header, and all of its samples below it"
                );
            } else {
                page.sample(line, &family);
            }
        }
        page.check_histograms();
        page
    }

    fn sample(&mut self, line: &str, family: &str) {
        let end_of_name = line.find(['{', ' ']).expect("a name");
        let (name, rest) = line.split_at(end_of_name);
        let kind = self
            .kinds
            .get(family)
            .unwrap_or_else(|| panic!("no header above {line}"));
        let suffixes: &[&str] = match &**kind {
            "histogram" => &["_bucket", "_sum", "_count"],
            _ => &[""],
        };
        let belongs = name
            .strip_prefix(family)
            .is_some_and(|suffix| suffixes.contains(&suffix));
        assert!(belongs, "{name} is below the header of {family}");
        let (labels, rest) = match rest.strip_prefix('{') {
            Some(rest) => read_labels(rest),
            None => (BTreeMap::new(), rest),
        };
        let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
        let value: f64 = value.parse().unwrap_or_else(|_| panic!("{line}"));
        assert!(value.is_finite(), "{line}");
        assert!(
            kind == "gauge" || value >= 0.0,
            "what counts is not negative: {line}"
        );
        let key = series(name, labels.iter().map(|(name, value)| (&**name, &**value)));
        assert!(self.samples.insert(key, value).is_none(), "twice: {line}");
    }

    /// Buckets ascend, are cumulative, and end with `+Inf`, which is the count.
    fn check_histograms(&self) {
        let histograms = self.kinds.iter().filter(|(_, kind)| *kind == "histogram");
        for (family, _) in histograms {
            let mut buckets: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
            for (key, &count) in &self.samples {
                let Some(labels) = key.strip_prefix(&format!("{family}_bucket")) else {
                    continue;
                };
                let (mut labels, rest) = read_labels(&labels[1..]);
                assert!(rest.is_empty());
                let bound = labels.remove("le").expect("a bucket has a bound");
                let bound = if bound == "+Inf" {
                    f64::INFINITY
                } else {
                    bound.parse().unwrap()
                };
                let labels = labels.iter().map(|(name, value)| (&**name, &**value));
                buckets
                    .entry(series("", labels))
                    .or_default()
                    .push((bound, count));
            }
            for (labels, mut buckets) in buckets {
                buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
                assert!(
                    buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1),
                    "{family}{labels}"
                );
                let (last, count) = buckets[buckets.len() - 1];
                assert_eq!(last, f64::INFINITY, "{family}{labels}");
                assert_eq!(self.samples[&format!("{family}_count{labels}")], count);
                assert!(self.samples.contains_key(&format!("{family}_sum{labels}")));
            }
        }
    }

    /// The value of a series, if there is one.
    pub(super) fn get(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels: BTreeMap<_, _> = labels.iter().copied().collect();
        self.samples.get(&series(name, labels)).copied()
    }

    /// How many series a name has.
    pub(super) fn series_of(&self, name: &str) -> usize {
        let with_labels = format!("{name}{{");
        self.samples
            .keys()
            .filter(|key| *key == name || key.starts_with(&with_labels))
            .count()
    }
}

fn series<'a>(name: &str, labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let escaped = |value: &str| {
        value
            .replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    };
    let labels: Vec<String> = labels
        .into_iter()
        .map(|(name, value)| format!("{name}=\"{}\"", escaped(value)))
        .collect();
    if labels.is_empty() {
        name.to_owned()
    } else {
        format!("{name}{{{}}}", labels.join(","))
    }
}

/// Reads labels up to the brace that closes them, and gives what comes after it.
fn read_labels(text: &str) -> (BTreeMap<String, String>, &str) {
    let mut labels = BTreeMap::new();
    let mut names = HashSet::new();
    let mut rest = text;
    loop {
        let (name, value) = rest.split_once("=\"").unwrap_or_else(|| panic!("{rest}"));
        assert!(is_name(name) && !name.contains(':'), "{name}");
        assert!(names.insert(name), "{name} twice in {text}");
        let mut unescaped = String::new();
        let mut characters = value.char_indices();
        let end = loop {
            match characters.next().expect("a value ends") {
                (end, '"') => break end,
                (_, '\\') => match characters.next().expect("an escape ends").1 {
                    'n' => unescaped.push('\n'),
                    escaped @ ('"' | '\\') => unescaped.push(escaped),
                    other => panic!("\\{other} in {text}"),
                },
                (_, '\n') => unreachable!("lines were split"),
                (_, other) => unescaped.push(other),
            }
        };
        labels.insert(name.to_owned(), unescaped);
        rest = &value[end + 1..];
        match rest.strip_prefix('}') {
            Some(after) => return (labels, after),
            None => rest = rest.strip_prefix(',').unwrap_or_else(|| panic!("{text}")),
        }
    }
}

fn is_name(name: &str) -> bool {
    let starts = name.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
    starts
        && name
            .chars()
            .all(|rest| rest.is_ascii_alphanumeric() || "_:".contains(rest))
}
