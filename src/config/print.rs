//! `--print-config`: a file that loads to the same configuration.

use super::Config;
use super::keys::{self, Visitor};
use super::kinds::Kind;
use super::sources::Sources;

/// The configuration in effect as TOML, each value with its origin; secrets are redacted.
pub(super) fn print(config: &mut Config, sources: &Sources) -> String {
    let mut printer = Printer {
        sources,
        table: "",
        text: String::new(),
    };
    keys::visit(config, &mut printer);
    printer.text
}

struct Printer<'a> {
    sources: &'a Sources,
    table: &'static str,
    text: String,
}

impl Visitor for Printer<'_> {
    fn key<K: Kind>(&mut self, name: &'static str, value: &mut K::Value, kind: K) {
        let (table, key) = name.split_once('.').unwrap_or(("", name));
        if table != self.table {
            self.table = table;
            self.text += &format!("\n[{table}]\n");
        }
        let origin = self.sources.origin(name);
        self.text += &format!("{key} = {} # {origin}\n", kind.show(value));
    }
}
