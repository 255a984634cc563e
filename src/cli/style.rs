//! Colours of what people read, and when they are used: `--color`, else on a terminal, unless `NO_COLOR`
//! or a terminal without colours says otherwise.

use std::fmt;

use anstyle::{AnsiColor, Style};

use super::Color;

/// What failed, and what needs a person.
pub(super) const BAD: Style = AnsiColor::Red.on_default().bold();
/// What may need a person.
pub(super) const WARN: Style = AnsiColor::Yellow.on_default().bold();
/// What is as it should be.
pub(super) const GOOD: Style = AnsiColor::Green.on_default();
/// What is on its way, and hints.
pub(super) const BUSY: Style = AnsiColor::Cyan.on_default();
/// Names.
pub(super) const NAME: Style = Style::new().bold();
/// What matters less.
pub(super) const DIM: Style = Style::new().dimmed();

/// Text in a style. What is written to a stream without colours loses it there.
pub(super) fn styled(style: Style, text: impl fmt::Display) -> String {
    format!("{style}{text}{style:#}")
}

/// Says once for all streams whether colours are used.
pub(super) fn choose(color: Color) {
    let choice = match color {
        Color::Auto => anstream::ColorChoice::Auto,
        Color::Always => anstream::ColorChoice::Always,
        Color::Never => anstream::ColorChoice::Never,
    };
    choice.write_global();
}

/// Whether stderr has colours.
pub(super) fn on_stderr() -> bool {
    anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never
}

/// Whether stdout has colours.
pub(super) fn on_stdout() -> bool {
    anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
}
