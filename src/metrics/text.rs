//! Families as Prometheus text, through the encoder of the `prometheus` crate.

use prometheus::TextEncoder;
use prometheus::proto::{
    Bucket, Counter, Gauge, Histogram as Buckets, LabelPair, Metric, MetricFamily, MetricType,
};

use super::families::Family;
use super::histogram::{self, Histogram};
use super::labels::{ByLabel, Label};

/// The text as far as it is written. Families are encoded one after the other, so that only one is
/// ever held beside its text.
#[derive(Default)]
pub(super) struct Text {
    written: String,
}

/// Every write fails only where the encoder does.
type Written = Result<(), prometheus::Error>;

impl Text {
    /// Everything that was written.
    pub(super) fn finish(self) -> String {
        self.written
    }

    /// A family of one series without labels.
    pub(super) fn figure(&mut self, family: &Family, figure: f64) -> Written {
        self.figures::<String, 0>(family, [], [([], figure)])
    }

    /// The same for a whole number.
    pub(super) fn count(&mut self, family: &Family, count: u64) -> Written {
        self.figure(family, count as f64)
    }

    /// A family by a label whose values are known beforehand; each has its series, also at 0.
    pub(super) fn by_label<L: Label>(
        &mut self,
        family: &Family,
        label: &str,
        counts: &ByLabel<L>,
    ) -> Written {
        self.counts(
            family,
            [label],
            counts
                .iter()
                .map(|(value, count)| ([value.as_str()], count)),
        )
    }

    /// A family of series of whole numbers; see [`Text::figures`].
    pub(super) fn counts<V: Into<String>, const N: usize>(
        &mut self,
        family: &Family,
        labels: [&str; N],
        series: impl IntoIterator<Item = ([V; N], u64)>,
    ) -> Written {
        let series = series
            .into_iter()
            .map(|(values, count)| (values, count as f64));
        self.figures(family, labels, series)
    }

    /// A family of series: the values of `labels`, and the figure. One that is not finite is not
    /// known, and left out.
    pub(super) fn figures<V: Into<String>, const N: usize>(
        &mut self,
        family: &Family,
        labels: [&str; N],
        series: impl IntoIterator<Item = ([V; N], f64)>,
    ) -> Written {
        let known = series.into_iter().filter(|(_, figure)| figure.is_finite());
        let metrics = known.map(|(values, figure)| {
            let mut metric = Metric::from_label(pairs(labels, values));
            if family.kind == MetricType::COUNTER {
                let mut counter = Counter::default();
                counter.set_value(figure);
                metric.set_counter(counter);
            } else {
                let mut gauge = Gauge::default();
                gauge.set_value(figure);
                metric.set_gauge(gauge);
            }
            metric
        });
        self.family(family, metrics.collect())
    }

    /// A family of histograms: the values of `labels`, and what was observed.
    pub(super) fn histograms<'a, B: histogram::Buckets + 'a, V: Into<String>, const N: usize>(
        &mut self,
        family: &Family,
        labels: [&str; N],
        series: impl IntoIterator<Item = ([V; N], &'a Histogram<B>)>,
    ) -> Written {
        let metrics = series.into_iter().map(|(values, observed)| {
            let buckets = observed.cumulative().map(|(upper_bound, count)| {
                let mut bucket = Bucket::default();
                bucket.set_upper_bound(upper_bound);
                bucket.set_cumulative_count(count);
                bucket
            });
            let mut cells = Buckets::default();
            cells.set_bucket(buckets.collect());
            cells.set_sample_count(observed.count());
            cells.set_sample_sum(observed.sum());
            let mut metric = Metric::from_label(pairs(labels, values));
            metric.set_histogram(cells);
            metric
        });
        self.family(family, metrics.collect())
    }

    /// Appends a family. One without series is left out: the encoder refuses it.
    fn family(&mut self, family: &Family, metrics: Vec<Metric>) -> Written {
        if metrics.is_empty() {
            return Ok(());
        }
        let mut message = MetricFamily::default();
        message.set_name(family.name.to_owned());
        message.set_help(family.help.to_owned());
        message.set_field_type(family.kind);
        message.set_metric(metrics);
        TextEncoder::new().encode_utf8(&[message], &mut self.written)
    }
}

fn pairs<V: Into<String>, const N: usize>(labels: [&str; N], values: [V; N]) -> Vec<LabelPair> {
    let pair = |(name, value): (&str, V)| {
        let mut pair = LabelPair::default();
        pair.set_name(name.to_owned());
        pair.set_value(value.into());
        pair
    };
    labels.into_iter().zip(values).map(pair).collect()
}
