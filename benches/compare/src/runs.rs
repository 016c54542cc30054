//! The runs of a scenario, one after the other.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use load::report::Outcome;
use load::viewers::clip::Clip;
use tempfile::TempDir;

use crate::contender::{Contender, JANUS_MOUNTPOINT, Programs, end};
use crate::figures::Record;
use crate::scenarios::{Run, Scenario};
use crate::{Arguments, CompareError};

/// Viewers of the table's first line, and those whose frames are timed.
const VIEWERS: usize = 300;
const WATCHERS: usize = 100;
/// Sessions that are created.
const SESSIONS: usize = 2_000;
/// Enough of each to see that it works.
const FEW: usize = 10;
/// The demo clip is filled up to this, as the generator does for this server.
const BITS_PER_SECOND: u64 = 2_000_000;
/// Bytes of a session as `GET` gives it, which the floor's answer has too.
const SESSION_BYTES: usize = 217;
/// A load takes its seconds, its warm-up, its viewers' joining, and the steps of saturation; past this it hangs.
const LOAD_LIMIT: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);
/// Of what a load that failed has written.
const LAST_LINES: usize = 2;

/// What stands for the placeholders of arguments and titles.
pub(crate) struct Filling {
    viewers: usize,
    watchers: usize,
    sessions: usize,
    clip: PathBuf,
    _directory: TempDir,
}

impl Filling {
    /// Writes the clip that a peer streams by itself.
    ///
    /// # Errors
    /// There is no room for it.
    pub(crate) fn new(quick: bool) -> Result<Self, CompareError> {
        let directory =
            tempfile::tempdir().map_err(CompareError::machine("a temporary directory"))?;
        let clip = Clip::read(None, BITS_PER_SECOND)?;
        let bytes: Vec<u8> = clip
            .units()
            .iter()
            .flat_map(|unit| &unit.bytes)
            .copied()
            .collect();
        let path = directory.path().join("clip.h264");
        fs::write(&path, bytes).map_err(CompareError::machine(path.display().to_string()))?;
        let of = |all: usize| if quick { FEW } else { all };
        Ok(Self {
            viewers: of(VIEWERS),
            watchers: of(WATCHERS),
            sessions: of(SESSIONS),
            clip: path,
            _directory: directory,
        })
    }

    pub(crate) fn fill(&self, text: &str) -> String {
        text.replace("{viewers}", &self.viewers.to_string())
            .replace("{watchers}", &self.watchers.to_string())
            .replace("{sessions}", &self.sessions.to_string())
            .replace("{clip}", &self.clip.to_string_lossy())
            .replace("{body}", &SESSION_BYTES.to_string())
    }

    fn all(&self, texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| self.fill(text)).collect()
    }
}

/// Makes runs, and keeps what came of them.
pub(crate) struct Runner<'a> {
    arguments: &'a Arguments,
    programs: Programs,
    filling: &'a Filling,
    lines: File,
    notes: Vec<String>,
    whole: bool,
}

impl<'a> Runner<'a> {
    pub(crate) fn new(
        arguments: &'a Arguments,
        programs: Programs,
        filling: &'a Filling,
        lines: File,
    ) -> Self {
        Self {
            arguments,
            programs,
            filling,
            lines,
            notes: Vec::new(),
            whole: true,
        }
    }

    /// Whether nothing failed. Who is missing has not failed.
    pub(crate) fn whole(&self) -> bool {
        self.whole
    }

    /// Who is missing, and what failed.
    pub(crate) fn into_notes(self) -> Vec<String> {
        self.notes
    }

    /// All rounds of a scenario. A contender that is missing or fails is noted, and the others go on.
    ///
    /// # Errors
    /// The lines cannot be written.
    pub(crate) fn measure(&mut self, scenario: &Scenario) -> Result<(), CompareError> {
        let rounds = if self.arguments.quick {
            1
        } else {
            self.arguments.rounds
        };
        let mut out: Vec<Contender> = Vec::new();
        for round in 1..=rounds {
            for run in scenario.runs {
                if out.contains(&run.who) {
                    continue;
                }
                let program = match run.who.program(&self.programs) {
                    Ok(program) => program,
                    Err(sentence) => {
                        out.push(run.who);
                        self.note(sentence);
                        continue;
                    }
                };
                eprintln!("{}: {}, round {round}", scenario.name, run.who.title());
                match self.run(run, &program) {
                    Ok(outcomes) => self.keep(scenario, run.who, round, outcomes)?,
                    Err(error) => {
                        out.push(run.who);
                        self.whole = false;
                        self.note(format!("{}, {}: {error}", scenario.name, run.who.title()));
                    }
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, sentence: String) {
        if !self.notes.contains(&sentence) {
            eprintln!("{sentence}");
            self.notes.push(sentence);
        }
    }

    fn keep(
        &mut self,
        scenario: &Scenario,
        contender: Contender,
        round: usize,
        outcomes: Vec<Outcome>,
    ) -> Result<(), CompareError> {
        for outcome in outcomes {
            let record = Record {
                scenario: scenario.name.to_owned(),
                contender,
                round,
                outcome,
            };
            let line = serde_json::to_string(&record).expect("a record has texts for keys");
            writeln!(self.lines, "{line}").map_err(CompareError::machine("compare.jsonl"))?;
        }
        Ok(())
    }

    /// One run on a process of its own.
    fn run(&self, run: &Run, program: &Path) -> Result<Vec<Outcome>, CompareError> {
        let load = self.programs.built.join("load");
        let cpu = self.arguments.server_cpu;
        let mut command = Command::new(&load);
        command.args(self.filling.all(run.load));
        // What serves, until the load has ended.
        let _running = match run.who {
            Contender::Server | Contender::OneShard => {
                command.arg("--server").arg(program);
                if !run.load.contains(&"--server-cpu") {
                    command.args(["--server-cpu", &cpu.to_string()]);
                }
                None
            }
            Contender::Floor if run.load[0] != "http" => {
                command = Command::new(program);
                command.args(self.filling.all(run.load));
                command.args(["--server-cpu", &cpu.to_string()]);
                None
            }
            Contender::Go | Contender::Axum | Contender::Janus | Contender::Floor => {
                let mut running = run.who.start(program, &self.filling.all(run.serve), cpu)?;
                if let Some(fps) = run.feed {
                    running.feed(&load, fps, self.arguments.client_cpu)?;
                }
                command.args(["--base", &running.address.to_string()]);
                command.args(["--pid", &running.pid().to_string()]);
                command.args(["--server-cpu", &cpu.to_string()]);
                if run.who == Contender::Janus {
                    command.args(["--signalling", "janus", "--device", JANUS_MOUNTPOINT]);
                }
                Some(running)
            }
        };
        self.measured_by(command)
    }

    /// Runs a load, and reads what it says.
    fn measured_by(&self, mut command: Command) -> Result<Vec<Outcome>, CompareError> {
        let (seconds, warm_up) = match self.arguments.quick {
            true => (1.0, 0.5),
            false => (self.arguments.seconds, self.arguments.warm_up),
        };
        let directory =
            tempfile::tempdir().map_err(CompareError::machine("a temporary directory"))?;
        let (out, log) = (directory.path().join("out"), directory.path().join("log"));
        let written =
            File::create(&log).map_err(CompareError::machine(log.display().to_string()))?;
        command
            .args(["--client-cpu", &self.arguments.client_cpu.to_string()])
            .args(["--rounds", "1", "--seconds", &seconds.to_string()])
            .args(["--warm-up", &warm_up.to_string(), "--out"])
            .arg(&out)
            .current_dir(&self.programs.root)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(written);
        let name = shown(&command);
        let failed = |why: String| CompareError::Failed {
            command: name.clone(),
            why,
        };
        let child = command.spawn();
        let mut child = child.map_err(|error| failed(error.to_string()))?;
        let deadline = Instant::now() + LOAD_LIMIT;
        let status = loop {
            match child.try_wait().map_err(CompareError::machine("a load"))? {
                Some(status) => break status,
                None if Instant::now() > deadline => {
                    end(&mut child);
                    return Err(failed(format!("it had not ended after {LOAD_LIMIT:?}")));
                }
                None => thread::sleep(POLL),
            }
        };
        if !status.success() {
            let log = fs::read_to_string(&log).unwrap_or_default();
            let lines: Vec<&str> = log.lines().rev().take(LAST_LINES).collect();
            return Err(failed(
                lines.into_iter().rev().collect::<Vec<_>>().join(" "),
            ));
        }
        let text =
            fs::read_to_string(&out).map_err(CompareError::machine(out.display().to_string()))?;
        let outcomes: Result<Vec<Outcome>, _> = text.lines().map(serde_json::from_str).collect();
        outcomes.map_err(|error| failed(error.to_string()))
    }
}

/// Program and scenario, as somebody would say it.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program())
        .file_name()
        .unwrap_or_default();
    let arguments = command
        .get_args()
        .map(|it| it.to_string_lossy().into_owned());
    let words: Vec<String> = [program.to_string_lossy().into_owned()]
        .into_iter()
        .chain(arguments)
        .collect();
    // Without what every load gets.
    let end = words
        .iter()
        .position(|word| word == "--client-cpu")
        .unwrap_or(words.len());
    words[..end].join(" ")
}
