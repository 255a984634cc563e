//! The table at the end: one line for each measurement.

use std::fmt;
use std::time::Duration;

/// What a process took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    /// At most so much memory was resident, in kB.
    pub(crate) peak_kb: u64,
}

/// One measurement.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) case: &'static str,
    pub(crate) files: u64,
    pub(crate) own: Usage,
    /// What it is compared with, and what that took.
    pub(crate) baseline: Option<(&'static str, Duration)>,
    pub(crate) ratio: Option<f64>,
    pub(crate) target: &'static str,
    /// What is wrong; nothing when the target is met.
    pub(crate) missed: Vec<String>,
}

impl Line {
    /// A line without a target.
    pub(crate) fn plain(case: &'static str, files: u64, own: Usage) -> Self {
        Self {
            case,
            files,
            own,
            baseline: None,
            ratio: None,
            target: "",
            missed: Vec::new(),
        }
    }
}

/// How many times longer `own` took.
pub(crate) fn ratio(own: Duration, baseline: Duration) -> f64 {
    own.as_secs_f64() / baseline.as_secs_f64().max(0.001)
}

/// Everything that was measured.
#[derive(Debug, Default)]
pub(crate) struct Report {
    lines: Vec<Line>,
    notes: Vec<String>,
}

impl Report {
    pub(crate) fn line(&mut self, line: Line) {
        println!(
            "  {}: {:.2} s, {:.2} s of CPU, {} kB",
            line.case,
            line.own.wall.as_secs_f64(),
            line.own.cpu.as_secs_f64(),
            line.own.peak_kb
        );
        self.lines.push(line);
    }

    pub(crate) fn note(&mut self, note: String) {
        println!("  {note}");
        self.notes.push(note);
    }
}

impl fmt::Display for Report {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{:<18} {:>8} {:>8} {:>8} {:>8}  {:<24} {:>8} {:>6}  {:<26} result",
            "case", "files", "wall s", "CPU s", "peak MB", "baseline", "s", "ratio", "target"
        )?;
        for line in &self.lines {
            let (name, baseline) = line.baseline.map_or(("", String::new()), |(name, took)| {
                (name, format!("{:.2}", took.as_secs_f64()))
            });
            let ratio = line
                .ratio
                .map_or_else(String::new, |ratio| format!("{ratio:.2}"));
            let result = match (line.target, line.missed.as_slice()) {
                ("", []) => String::new(),
                (_, []) => "met".to_owned(),
                (_, missed) => format!("MISSED: {}", missed.join("; ")),
            };
            writeln!(
                out,
                "{:<18} {:>8} {:>8.2} {:>8.2} {:>8}  {name:<24} {baseline:>8} {ratio:>6}  {:<26} {result}",
                line.case,
                line.files,
                line.own.wall.as_secs_f64(),
                line.own.cpu.as_secs_f64(),
                format!(
                    "{}.{}",
                    line.own.peak_kb / 1_024,
                    line.own.peak_kb % 1_024 * 10 / 1_024
                ),
                line.target,
            )?;
        }
        for note in &self.notes {
            writeln!(out, "{note}")?;
        }
        Ok(())
    }
}
