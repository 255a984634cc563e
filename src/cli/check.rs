//! `edgepurge check [--online] [--print]`

use std::process::ExitCode;

use clap::Args;

use super::way::Way;
use super::{Failure, Format, Global, output};
use crate::config::{Config, Environment};

mod buckets;
mod files;
mod look;
mod offline;
mod online;
mod roots;
mod user;

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Ask the API about the key, each pipeline and its project, and the buckets.
    #[arg(long)]
    online: bool,
    /// Show the effective values, and where each is from.
    #[arg(long)]
    print: bool,
    /// Look at a file or a root, as another user: what `check` runs itself for.
    #[arg(long, hide = true, value_name = "JSON")]
    look: Option<String>,
}

pub(super) async fn check(global: &Global, args: &CheckArgs) -> Result<ExitCode, Failure> {
    if let Some(look) = &args.look {
        return look::look(look);
    }
    let environment = Environment::of_process();
    let (more, buckets) = match Config::load(&global.config, &environment) {
        Ok(config) => {
            let user = user::daemons_user(&config).await;
            let mut found = files::warnings(&config, user.as_ref()).await;
            found.extend(roots::warnings(&config, user.as_ref()).await);
            (found, buckets::costs(&config, &environment))
        }
        Err(_) => (Vec::new(), Vec::new()),
    };
    let format = match global.format {
        Format::Text => offline::Format::Text,
        Format::Json => offline::Format::Json,
    };
    let checked = offline::check(
        &global.config,
        &environment,
        args.print,
        format,
        offline::More {
            warnings: more,
            buckets,
        },
    );
    output::text(&checked.stdout)?;
    output::to_stderr(&checked.stderr);
    if checked.exit_code != 0 {
        return Ok(ExitCode::from(checked.exit_code));
    }
    if args.online {
        let config = global.load()?;
        online::online(&config, &environment, &Way::find(&config).await?).await?;
    }
    Ok(ExitCode::SUCCESS)
}
