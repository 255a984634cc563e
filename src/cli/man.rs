//! `edgepurge man`: the manual pages, one for each command and one of the configuration.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, CommandFactory as _};

use super::{Cli, Failure};
use crate::config;

#[derive(Debug, Args)]
pub(super) struct ManArgs {
    /// Where the pages are written; made if it is not there.
    directory: PathBuf,
}

/// What stands at the end of each command's page.
const SECTIONS: &str = r#".SH "EXIT STATUS"
0: done. 1: it failed, and stderr says why. 2: the command line is wrong. 70: a bug. 75: try again later, or no
daemon runs. 78: the configuration is wrong.
.SH FILES
.TP
\fI/etc/edgepurge/config.toml\fR
The configuration: \fBedgepurge.toml\fR(5).
.TP
\fI/etc/credstore/edgepurge.scw_secret_key\fR
The API's secret key, which systemd hands over.
.TP
\fI/run/edgepurge/admin.sock\fR
The socket by which commands speak to the daemon; the group edgepurge may open it.
.TP
\fI/var/lib/edgepurge\fR
The state: queue, history and index.
.SH ENVIRONMENT
.TP
\fBEDGEPURGE_CONFIG\fR
The configuration, where \fB\-\-config\fR names none.
.TP
\fBSCW_SECRET_KEY\fR, \fBSCW_API_URL\fR, \fBSCW_PROFILE\fR, \fBSCW_CONFIG_PATH\fR
As for other clients of Scaleway: \fBedgepurge.toml\fR(5).
.TP
\fBNO_COLOR\fR
Where it is set, no colours are used, unless \fB\-\-color always\fR.
.SH "SEE ALSO"
\fBedgepurge\fR(1), \fBedgepurge.toml\fR(5), \fBsystemctl\fR(1), \fBjournalctl\fR(1)
"#;

/// Adds the sections that are the same for all commands to their pages.
fn complete(directory: &Path) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        let ours = name.is_some_and(|name| name.starts_with("edgepurge"));
        if ours && path.extension().is_some_and(|ending| ending == "1") {
            let mut page = std::fs::read_to_string(&path)?;
            if !page.contains(SECTIONS) {
                page.push_str(SECTIONS);
                std::fs::write(&path, page)?;
            }
        }
    }
    Ok(())
}

pub(super) fn man(args: &ManArgs) -> Result<ExitCode, Failure> {
    let directory = &args.directory;
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .and_then(|()| complete(directory))
        .and_then(|()| std::fs::write(directory.join("edgepurge.toml.5"), config::manual()))
        .map_err(|error| {
            Failure::failed(format!(
                "the manual pages can't be written to {}: {error}",
                directory.display()
            ))
        })?;
    Ok(ExitCode::SUCCESS)
}
