//! Raw values by key, from the file, the environment and the flags; and what is not a key at all.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs::File;
use std::io::Read;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::limits::CONFIG_FILE_BYTES;

use super::Config;
use super::fault::{Fault, Origin, nearest, shown};
use super::flags::Flags;
use super::keys::{self, VARIABLE_PREFIX, Visitor};
use super::kinds::Kind;

/// Names the configuration file; every other variable with the prefix is a key.
pub(super) const FILE_VARIABLE: &str = "MEDIA_CONFIG";
/// The key that it would belong to.
const FILE_KEY: &str = "config";

/// What was set for a key, of all sources by the one with the highest precedence.
struct Raw {
    value: toml::Value,
    origin: Origin,
}

/// Everything that was set, and everything that is wrong with it.
pub(super) struct Sources {
    raw: BTreeMap<&'static str, Raw>,
    /// Keys whose value was refused: what depends on them is not judged.
    refused: BTreeSet<&'static str>,
    pub(super) faults: Vec<Fault>,
}

impl Sources {
    /// Collects the file, the environment and the flags, each over those before.
    pub(super) fn gather(flags: Flags, env: impl Iterator<Item = (String, String)>) -> Self {
        let mut sources = Self {
            raw: BTreeMap::new(),
            refused: BTreeSet::new(),
            faults: Vec::new(),
        };
        let known = keys::names();
        let variables: BTreeMap<String, String> = env
            .filter(|(name, _)| name.starts_with(VARIABLE_PREFIX))
            .collect();

        let file = match (flags.config, variables.get(FILE_VARIABLE)) {
            (Some(path), _) => Some((path, Origin::Flag("--config".to_owned()))),
            (None, Some(path)) => Some((path.clone(), Origin::Variable(FILE_VARIABLE.to_owned()))),
            (None, None) => None,
        };
        if let Some((path, origin)) = file {
            sources.read_file(&known, &path, origin);
        }
        sources.take_variables(&known, variables);
        for assignment in &flags.set {
            sources.take_assignment(&known, assignment);
        }
        for (key, flag, value) in flags.named {
            sources.set(key, value, Origin::Flag(flag.to_owned()));
        }
        sources
    }

    /// Puts what was set in the place of the defaults.
    pub(super) fn apply(&mut self, config: &mut Config) {
        keys::visit(config, self);
    }

    /// Who set the key.
    pub(super) fn origin(&self, key: &str) -> Origin {
        self.raw
            .get(key)
            .map_or(Origin::Default, |raw| raw.origin.clone())
    }

    /// Reports what is wrong between several keys, the first of which the sentence is about, unless
    /// one of them is at fault already.
    pub(super) fn blame(&mut self, keys: &[&str], problem: String) {
        if keys.iter().any(|&key| self.refused.contains(key)) {
            return;
        }
        let fault = Fault::new(keys[0], problem);
        self.faults.push(
            keys.iter()
                .fold(fault, |fault, key| fault.from(self.origin(key))),
        );
    }

    fn read_file(&mut self, known: &[&'static str], path: &str, origin: Origin) {
        let text = match read_bounded(path) {
            Ok(text) => text,
            Err(problem) => {
                self.faults.push(Fault::new(path, problem).from(origin));
                return;
            }
        };
        let at = |offset: usize| {
            let line = 1 + text.bytes().take(offset).filter(|&b| b == b'\n').count();
            Origin::File {
                path: path.to_owned(),
                line,
            }
        };
        let (document, errors) = DeTable::parse_recoverable(&text);
        if errors.is_empty() {
            self.take_document(known, document.into_inner(), at);
        } else {
            // What can be read of a broken file may be something else than was meant.
            let message = |e: &toml::de::Error| e.message().replace('\n', " ");
            let mut places: Vec<_> = errors
                .iter()
                .map(|e| (e.span().map_or(0, |s| s.start), message(e)))
                .collect();
            places.sort();
            self.faults
                .extend(places.into_iter().map(|(offset, message)| {
                    Fault::new(at(offset).to_string(), format!("is not TOML: {message}"))
                }));
        }
    }

    fn take_document(
        &mut self,
        known: &[&'static str],
        document: DeTable<'_>,
        at: impl Fn(usize) -> Origin,
    ) {
        let tables = || known.iter().filter_map(|key| Some(key.split_once('.')?.0));
        for (name, value) in document {
            let line = at(name.span().start);
            let name = name.into_inner();
            let is_table = tables().any(|table| table == name);
            let span = value.span();
            match value.into_inner() {
                DeValue::Table(table) if is_table => {
                    for (key, value) in table {
                        let line = at(key.span().start);
                        self.take_file_value(
                            known,
                            &format!("{name}.{}", key.get_ref()),
                            value,
                            line,
                        );
                    }
                }
                DeValue::Table(_) => {
                    let problem =
                        format!("is not a table{}", did_you_mean(nearest(&name, tables())));
                    self.faults.push(Fault::new(name, problem).from(line));
                }
                _ if is_table => {
                    let problem = format!("is a table: write [{name}] on a line of its own");
                    self.faults.push(Fault::new(name, problem).from(line));
                }
                value => self.take_file_value(known, &name, Spanned::new(span, value), line),
            }
        }
    }

    fn take_file_value(
        &mut self,
        known: &[&'static str],
        name: &str,
        value: Spanned<DeValue<'_>>,
        origin: Origin,
    ) {
        let Some(key) = known.iter().find(|&&key| key == name) else {
            self.unknown(name, known, origin);
            return;
        };
        match toml::Value::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => self.set(key, value, origin),
            // What has been parsed has a type that TOML knows; only its range can be wrong.
            Err(_) => {
                let problem = "is out of the range of TOML's numbers";
                self.faults.push(Fault::new(*key, problem).from(origin));
            }
        }
    }

    fn take_variables(&mut self, known: &[&'static str], variables: BTreeMap<String, String>) {
        let names: BTreeMap<String, &'static str> = known
            .iter()
            .map(|key| (keys::variable(key), *key))
            .collect();
        for (name, value) in variables {
            if let Some(key) = names.get(&name) {
                self.set(key, value.into(), Origin::Variable(name));
            } else if name != FILE_VARIABLE && !is_service_link(&name, &value) {
                let bare = name[VARIABLE_PREFIX.len()..].to_ascii_lowercase();
                let known = known.iter().copied().chain([FILE_KEY]);
                let nearest = nearest_key(&bare.replacen('_', ".", 1), known);
                let nearest = nearest.map(keys::variable);
                let problem = format!("is not a variable{}", did_you_mean(nearest));
                self.faults.push(Fault::new(name, problem));
            }
        }
    }

    fn take_assignment(&mut self, known: &[&'static str], assignment: &str) {
        let Some((name, value)) = assignment.split_once('=') else {
            let problem = format!("{} is not KEY=VALUE", shown(assignment));
            self.faults.push(Fault::new("--set", problem));
            return;
        };
        let name = name.trim();
        let origin = Origin::Flag(format!("--set {name}"));
        let Some(key) = known.iter().find(|&&key| key == name) else {
            self.unknown(name, known, origin);
            return;
        };
        if *key == keys::SECRET {
            let problem = format!(
                "would show in the list of processes: put it into the file, or into {}",
                keys::variable(key)
            );
            self.faults.push(Fault::new(*key, problem).from(origin));
            return;
        }
        self.set(key, value.trim().into(), origin);
    }

    fn set(&mut self, key: &'static str, value: toml::Value, origin: Origin) {
        self.raw.insert(key, Raw { value, origin });
    }

    fn unknown(&mut self, name: &str, known: &[&'static str], origin: Origin) {
        let nearest = nearest_key(name, known.iter().copied());
        let problem = format!("is not a key{}", did_you_mean(nearest));
        self.faults.push(Fault::new(name, problem).from(origin));
    }
}

impl Visitor for Sources {
    fn key<K: Kind>(&mut self, name: &'static str, value: &mut K::Value, kind: K) {
        let Some(raw) = self.raw.get(name) else {
            return;
        };
        match kind.read(&raw.value) {
            Ok(set) => *value = set,
            Err(problem) => {
                self.faults
                    .push(Fault::new(name, problem).from(raw.origin.clone()));
                self.refused.insert(name);
            }
        }
    }
}

fn read_bounded(path: &str) -> Result<String, String> {
    let cannot = |e: std::io::Error| format!("cannot be read: {e}");
    let mut text = String::new();
    let file = File::open(path).map_err(cannot)?;
    file.take(CONFIG_FILE_BYTES + 1)
        .read_to_string(&mut text)
        .map_err(cannot)?;
    if text.len() as u64 > CONFIG_FILE_BYTES {
        return Err(format!(
            "is longer than {CONFIG_FILE_BYTES} bytes: not a configuration"
        ));
    }
    Ok(text)
}

/// The known key that was meant, if any is like it. Of a table that there is, it is one of that table,
/// and the table's name does not count: it would make all of them alike.
fn nearest_key(name: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    let known: Vec<_> = known.collect();
    let in_table = |(table, bare): (&str, &str)| {
        let of_table = |key: &&'static str| {
            let (its, bare) = key.split_once('.')?;
            (its == table).then_some((bare, *key))
        };
        let keys: Vec<_> = known.iter().filter_map(of_table).collect();
        let nearest = nearest(bare, keys.iter().map(|(bare, _)| *bare));
        let found = keys.iter().find(|(bare, _)| Some(*bare) == nearest);
        (!keys.is_empty()).then(|| found.map(|(_, key)| *key))
    };
    match name.split_once('.').and_then(in_table) {
        Some(of_table) => of_table,
        None => nearest(name, known.iter().copied()),
    }
}

fn did_you_mean(name: Option<impl fmt::Display>) -> String {
    name.map_or_else(String::new, |name| format!("; did you mean {name}?"))
}

/// Whether this is one of the variables that Kubernetes (and Docker's links) set for every service
/// in reach: of a service named `media` or `media-service` they begin with our prefix.
fn is_service_link(name: &str, value: &str) -> bool {
    let is_url = value.starts_with("tcp://") || value.starts_with("udp://");
    let is_port = !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit());
    let of_port = name.rsplit_once("_PORT_").is_some_and(|(_, port)| {
        let port = port.split_once('_');
        port.is_some_and(|(number, _)| number.bytes().all(|b| b.is_ascii_digit()))
    });
    name.ends_with("_SERVICE_HOST")
        || (name.ends_with("_SERVICE_PORT") && is_port)
        || name.contains("_SERVICE_PORT_")
        || (name.ends_with("_PORT") && is_url)
        || of_port
}
