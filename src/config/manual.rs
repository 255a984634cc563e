//! The manual page of the configuration, from the tables of keys.

use std::fmt::Write as _;

use super::keys::{Absent, Key, tables};

/// The page, for `man`: `edgepurge.toml(5)`.
#[must_use]
pub fn manual() -> String {
    let mut page = String::from(
        ".ie \\n(.g .ds Aq \\(aq\n\
         .el .ds Aq '\n\
         .TH edgepurge.toml 5\n\
         .SH NAME\n\
         edgepurge.toml \\- the configuration of edgepurge\n\
         .SH DESCRIPTION\n\
         A TOML file, /etc/edgepurge/config.toml unless \\-\\-config or EDGEPURGE_CONFIG names another.\n\
         Durations are a whole number and a unit: 500ms, 10s, 5m, 1h, 30d; sizes too: 5 MiB, 100 kB.\n\
         Secrets are never written in it. It wins over the environment for everything that is not a secret.\n\
         \\fBedgepurge check\\fR says what is wrong with it, all at once, and \\fBedgepurge check \\-\\-print\\fR\n\
         what holds. The JSON schema for editors is what \\fBedgepurge schema\\fR writes.\n",
    );
    for table in tables() {
        push(&mut page, &format!(".SH {}", roff(table.header)));
        push(&mut page, &roff(&table.about));
        for key in &table.keys {
            push(&mut page, ".TP");
            push(&mut page, &format!("\\fB{}\\fR", roff(key.name)));
            push(&mut page, &roff(&key.about));
            push(&mut page, ".br");
            push(&mut page, &roff(&facts(key)));
        }
    }
    page.push_str(".SH SEE ALSO\n\\fBedgepurge\\fR(1), \\fBedgepurge\\-check\\fR(1)\n");
    page
}

/// Type, default, environment and kinds of a key, in a line.
fn facts(key: &Key) -> String {
    let mut text = format!("Value: {}.", key.shape.words());
    match &key.absent {
        Absent::Default(value) => {
            // Writing to a text does not fail.
            write!(text, " Default: {value}.").unwrap_or_default();
        }
        Absent::Required => text.push_str(" Required."),
        Absent::Optional => {}
    }
    if let Some(name) = key.environment {
        write!(text, " Environment: {name}.").unwrap_or_default();
    }
    if !key.kinds.is_empty() {
        write!(text, " Kinds: {}.", key.kinds.join(", ")).unwrap_or_default();
    }
    text
}

fn push(page: &mut String, line: &str) {
    page.push_str(line);
    page.push('\n');
}

/// A line of text for roff: nothing in it is a request or an escape.
fn roff(text: &str) -> String {
    let text = text
        .replace('\\', "\\e")
        .replace('-', "\\-")
        .replace('\'', "\\(aq");
    if text.starts_with('.') {
        return format!("\\&{text}");
    }
    text
}
