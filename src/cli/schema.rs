//! `edgepurge schema`: the JSON schema of the configuration.

use std::process::ExitCode;

use super::{Failure, output};
use crate::config;

pub(super) fn schema() -> Result<ExitCode, Failure> {
    output::text(&format!("{:#}\n", config::schema()))?;
    Ok(ExitCode::SUCCESS)
}
