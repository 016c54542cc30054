//! How often the configuration was read again, and what came of it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::families as f;
use super::text::Text;
use crate::config::Tls;
use crate::reload::Reloaded;
use crate::tls::CertificateFile;

/// Counted by the thread that reads it; read by the one that writes `/metrics`.
#[derive(Debug)]
pub struct ReloadFigures {
    applied: AtomicU64,
    unchanged: AtomicU64,
    refused: AtomicU64,
    last_success: AtomicU64,
    /// Seconds since the Unix epoch; 0: there is none.
    certificate_expiry: AtomicU64,
}

/// The figures at an instant.
#[derive(Debug, Clone, Copy, Default)]
pub struct ReloadReading {
    applied: u64,
    unchanged: u64,
    refused: u64,
    /// Seconds since the Unix epoch.
    last_success: u64,
    /// Seconds since the Unix epoch.
    certificate_expiry: Option<u64>,
}

impl ReloadFigures {
    /// The configuration was read at the start (Unix seconds).
    pub fn new(unix: u64, tls: &Tls) -> Self {
        Self {
            applied: AtomicU64::new(0),
            unchanged: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            last_success: AtomicU64::new(unix),
            certificate_expiry: AtomicU64::new(expiry(tls)),
        }
    }

    /// It was read again at this time (Unix seconds).
    pub fn count(&self, reloaded: &Reloaded, unix: u64) {
        let counter = match reloaded {
            Reloaded::Applied { .. } => &self.applied,
            Reloaded::Unchanged { .. } => &self.unchanged,
            Reloaded::Refused(_) => &self.refused,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        if let Reloaded::Applied { update, .. } = reloaded {
            let expiry = expiry(&update.config.tls);
            self.certificate_expiry.store(expiry, Ordering::Relaxed);
        }
        if !matches!(reloaded, Reloaded::Refused(_)) {
            self.last_success.store(unix, Ordering::Relaxed);
        }
    }

    /// What they are now.
    pub fn read(&self) -> ReloadReading {
        let read = |figure: &AtomicU64| figure.load(Ordering::Relaxed);
        ReloadReading {
            applied: read(&self.applied),
            unchanged: read(&self.unchanged),
            refused: read(&self.refused),
            last_success: read(&self.last_success),
            certificate_expiry: Some(read(&self.certificate_expiry)).filter(|&expiry| expiry > 0),
        }
    }
}

/// When the certificate ends; 0: there is none.
fn expiry(tls: &Tls) -> u64 {
    let validity = tls.cert.as_ref().and_then(CertificateFile::validity);
    validity.map_or(0, |validity| *validity.end())
}

pub(super) fn write(text: &mut Text, reading: &ReloadReading) -> Result<(), prometheus::Error> {
    let results = [
        (["applied"], reading.applied),
        (["unchanged"], reading.unchanged),
        (["refused"], reading.refused),
    ];
    text.counts(&f::CONFIG_RELOADS, ["result"], results)?;
    text.figure(&f::CONFIG_LAST_RELOAD, reading.last_success as f64)?;
    match reading.certificate_expiry {
        Some(expiry) => text.figure(&f::CERTIFICATE_EXPIRY, expiry as f64),
        None => Ok(()),
    }
}
