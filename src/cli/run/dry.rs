//! `run --dry-run`: the daemon as it is, with a state of its own, no doors to the outside, and the
//! embedded simulator in place of the API. It says what it would have sent.

use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::cli::{Failure, Format, output, owner};
use crate::config::{ApiUrl, Config};
use crate::core::asset::Asset;
use crate::core::purge::Scope;
use crate::engine::{Notice, RequestNotice};

/// The directory of its state, in that of the real one.
const DIRECTORY: &str = "dry-run";

/// The same configuration, made harmless.
pub(super) fn harmless(mut config: Config) -> Result<Config, Failure> {
    owner::check(&config.state.directory)?;
    config.state.directory.push(DIRECTORY);
    config.state.database_url_file = None;
    config.state.node = None;
    config.scaleway.api_url = ApiUrl::Sandbox;
    // The simulator needs no key, and who tries a configuration may not be able to read it.
    config.scaleway.secret_key_file = None;
    config.admin.listen = None;
    config.admin.token_file = None;
    config.admin.socket = config.state.directory.join("admin.sock");
    for pipeline in &mut config.pipelines {
        pipeline.webhooks.clear();
        // What the simulator purges changes nothing at the edge.
        pipeline.verify = None;
    }
    Ok(config)
}

/// The next request that would have been sent.
pub(super) async fn next(notices: &mut Receiver<Notice>) -> Option<Would> {
    loop {
        match notices.recv().await {
            Ok(Notice::Opened(request)) => return Some(Would::Send(request)),
            Ok(Notice::Changed(_) | Notice::Accepted(_) | Notice::Settled(_)) => {}
            Err(RecvError::Lagged(missed)) => return Some(Would::Missed(missed)),
            Err(RecvError::Closed) => return None,
        }
    }
}

/// What would have been done.
pub(super) enum Would {
    Send(std::sync::Arc<RequestNotice>),
    /// More happened at once than could be shown.
    Missed(u64),
}

impl Would {
    /// Says it: a line for people, or a document on a line.
    pub(super) fn say(&self, config: &Config, format: Format) -> Result<(), Failure> {
        let request = match (self, format) {
            (Self::Send(request), _) => request,
            (Self::Missed(count), Format::Json) => {
                return output::line(&json!({ "not_shown": count }).to_string());
            }
            (Self::Missed(count), Format::Text) => {
                return output::line(&format!("({count} events are not shown)"));
            }
        };
        let mut pipelines = config.pipelines.iter();
        let pipeline = pipelines.find(|one| one.id == request.pipeline);
        let name = pipeline.map_or(request.pipeline.as_str(), |one| &one.name);
        let (assets, all): (Vec<&str>, _) = match &request.scope {
            Scope::Assets(assets) => (assets.keys().map(Asset::as_str).collect(), None),
            Scope::All { reason, .. } => (Vec::new(), Some(reason.as_str())),
        };
        output::line(&match (format, all) {
            (Format::Json, all) => {
                let would = json!({
                    "at": request.opened, "pipeline": name, "assets": assets, "all": all,
                });
                would.to_string()
            }
            (Format::Text, None) => format!("would purge {name}: {}", assets.join(" ")),
            (Format::Text, Some(why)) => format!("would purge {name}: everything ({why})"),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::config::Environment;

    #[test]
    fn it_takes_no_webhooks_and_does_not_ask_the_edge() {
        let directory = tempfile::tempdir().unwrap();
        let text = format!(
            "[state]\ndirectory = \"{}\"\n[[pipeline]]\nname = \"www\"\n\
             id = \"11111111-1111-4111-8111-111111111111\"\n\
             [pipeline.verify]\nedge_url = \"https://www.example.com\"\n\
             [[pipeline.webhook]]\nroute = \"/a\"\nkind = \"generic\"\nauth = \"none\"\n",
            directory.path().display()
        );
        let config = Config::parse(Path::new("c.toml"), &text, &Environment::default()).unwrap();
        let pipeline = &config.pipelines[0];
        assert!(pipeline.verify.is_some() && !pipeline.webhooks.is_empty());
        let harmless = harmless(config).ok().unwrap();
        let pipeline = &harmless.pipelines[0];
        assert!(pipeline.verify.is_none() && pipeline.webhooks.is_empty());
        assert_eq!(harmless.scaleway.api_url, ApiUrl::Sandbox);
    }
}
