//! The table.

use std::fmt;

use serde_json::{Value, json};

use crate::statistics::{Quartiles, median, paired_ratios};

/// A figure of the worker, beside that of another.
pub(crate) struct Row {
    case: &'static str,
    against: &'static str,
    measure: &'static str,
    unit: Unit,
    ours: f64,
    theirs: Option<f64>,
    /// Of the ratios of neighbouring samples.
    quartiles: Option<Quartiles>,
    target: Option<Target>,
}

/// In what a figure is kept and shown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Unit {
    /// Kept in seconds, shown in milliseconds.
    Milliseconds,
    /// Kept in bytes, shown in millions of them.
    Megabytes,
    /// Kept in bytes, shown in thousands of them.
    Kilobytes,
    PerSecond,
    Count,
}

/// What a figure should be.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Target {
    RatioAtMost(f64),
    RatioAtLeast(f64),
    /// Over the other's figure.
    MoreAtMost(f64),
    AtMost(f64),
}

impl Row {
    /// A row of medians.
    pub(crate) fn compared(
        (case, against): (&'static str, &'static str),
        measure: &'static str,
        unit: Unit,
        ours: &[f64],
        theirs: &[f64],
    ) -> Self {
        Self {
            case,
            against,
            measure,
            unit,
            ours: median(ours),
            theirs: Some(median(theirs)),
            quartiles: Some(paired_ratios(ours, theirs)),
            target: None,
        }
    }

    /// A row with the worker's figure alone.
    pub(crate) fn alone(
        case: &'static str,
        measure: &'static str,
        unit: Unit,
        ours: &[f64],
    ) -> Self {
        Self {
            case,
            against: "",
            measure,
            unit,
            ours: median(ours),
            theirs: None,
            quartiles: None,
            target: None,
        }
    }

    pub(crate) fn target(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// Whether it is as it should be; `None` when nothing is asked of it.
    pub(crate) fn is_met(&self) -> Option<bool> {
        let theirs = self.theirs.unwrap_or(f64::NAN);
        Some(match self.target? {
            Target::RatioAtMost(most) => self.ours <= most * theirs,
            Target::RatioAtLeast(least) => self.ours >= least * theirs,
            Target::MoreAtMost(most) => self.ours - theirs <= most,
            Target::AtMost(most) => self.ours <= most,
        })
    }

    /// For other programs; durations are in seconds, sizes in bytes.
    pub(crate) fn to_json(&self) -> Value {
        json!({
            "case": self.case,
            "against": self.against,
            "measure": self.measure,
            "worker": self.ours,
            "other": self.theirs,
            "ratio": self.theirs.map(|theirs| self.ours / theirs),
            "quartiles": self.quartiles.map(|quartiles| [quartiles.lower, quartiles.upper]),
            "target": self.target.map(|target| target.shown(self.unit)),
            "met": self.is_met(),
        })
    }
}

impl Target {
    fn shown(self, unit: Unit) -> String {
        match self {
            Self::RatioAtMost(most) => format!("≤ {most:.2}"),
            Self::RatioAtLeast(least) => format!("≥ {least:.2}"),
            Self::MoreAtMost(most) => format!("≤ {} more", unit.shown(most)),
            Self::AtMost(most) => format!("≤ {}", unit.shown(most)),
        }
    }
}

impl Unit {
    fn shown(self, figure: f64) -> String {
        match self {
            Self::Milliseconds if figure < 0.01 => format!("{:.2} ms", figure * 1e3),
            Self::Milliseconds => format!("{:.1} ms", figure * 1e3),
            Self::Megabytes => format!("{:.1} MB", figure / 1e6),
            Self::Kilobytes => format!("{:.1} KB", figure / 1e3),
            Self::PerSecond => format!("{figure:.0} /s"),
            Self::Count => format!("{figure:.0}"),
        }
    }
}

/// The table's head, in Markdown.
pub(crate) const HEAD: &str = "\
| case | figure | against | ratio | quartiles | target | | worker | other |
|---|---|---|---:|---:|---:|---|---:|---:|";

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ratio = self
            .theirs
            .map(|theirs| format!("{:.2}", self.ours / theirs));
        let quartiles = self
            .quartiles
            .map(|quartiles| format!("{:.2}–{:.2}", quartiles.lower, quartiles.upper));
        let mark = match self.is_met() {
            Some(true) => "✓",
            Some(false) => "✗",
            None => "",
        };
        write!(
            f,
            "| {} | {} | {} | {} | {} | {} | {mark} | {} | {} |",
            self.case,
            self.measure,
            self.against,
            ratio.unwrap_or_default(),
            quartiles.unwrap_or_default(),
            self.target
                .map_or_else(String::new, |target| target.shown(self.unit)),
            self.unit.shown(self.ours),
            self.theirs
                .map_or_else(String::new, |theirs| self.unit.shown(theirs)),
        )
    }
}
