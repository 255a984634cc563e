//! The mapping: the only place in the program where a path becomes an asset.
//!
//! The first rule that matches decides, else the built-in table does: an HTML page also answers at
//! the URLs of its directory, a precompressed sibling stands for its base file.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};
use serde::{Deserialize, Serialize};

use super::asset::Asset;
use super::change::Kind;

mod pages;
mod template;

pub use template::{Template, TemplateError};

/// Which URLs an HTML file answers at, besides its own name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pages {
    /// Only the file's own path.
    Exact,
    /// `a/index.html` also answers at `/a/` and `/a`.
    #[default]
    Directory,
    /// As `directory`, and `a/b.html` also answers at `/a/b` and `/a/b/`.
    Clean,
}

/// Which spellings of a path are purged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// The canonical one.
    Canonical,
    /// Also the form that browsers send, where it differs.
    #[default]
    Both,
}

/// What a rule purges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RulePurge {
    /// The whole pipeline.
    All,
    /// Nothing.
    Nothing,
    /// What these templates make.
    Assets(Vec<Template>),
}

/// A rule, before its globs are compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Globs over the path below the origin's root: `*` stops at `/`, `**` does not, and
    /// `404.html` is the one in the root.
    pub globs: Vec<String>,
    /// The kinds of changes it holds for; for others it does not match, and the next is tried.
    pub on: Vec<Kind>,
    /// What is purged.
    pub purge: RulePurge,
}

/// What a changed path makes stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// Everything of the pipeline.
    All,
    /// These assets.
    Assets(BTreeSet<Asset>),
}

/// The rules and settings of one pipeline.
#[derive(Clone, Debug)]
pub struct Mapping {
    rules: Vec<(GlobSet, Rule)>,
    pages: Pages,
    encoding: Encoding,
}

impl Mapping {
    /// Compiles a mapping.
    ///
    /// # Errors
    /// When a glob is none; the error names it.
    pub fn new(rules: Vec<Rule>, pages: Pages, encoding: Encoding) -> Result<Self, globset::Error> {
        let rules = rules
            .into_iter()
            .map(|rule| Ok((compile(&rule.globs)?, rule)))
            .collect::<Result<_, globset::Error>>()?;
        Ok(Self {
            rules,
            pages,
            encoding,
        })
    }

    /// What a change of `path`, below the root of an origin that is served below `url_prefix`,
    /// makes stale, and the number of the rule that says so; `None`: the built-in table.
    #[must_use]
    pub fn effect(&self, url_prefix: &str, path: &[u8], kind: Kind) -> (Effect, Option<usize>) {
        let name = Path::new(OsStr::from_bytes(path));
        let rule = self
            .rules
            .iter()
            .position(|(globs, rule)| rule.on.contains(&kind) && globs.is_match(name));
        let Some((number, (_, rule))) = rule.and_then(|n| Some((n, self.rules.get(n)?))) else {
            let assets = pages::assets(self.pages, url_prefix, path);
            return (Effect::Assets(self.spellings(assets)), None);
        };
        let effect = match &rule.purge {
            RulePurge::All => Effect::All,
            RulePurge::Nothing => Effect::Nothing,
            RulePurge::Assets(templates) => {
                let mut assets = BTreeSet::new();
                for template in templates {
                    match template.render(path) {
                        Ok(asset) => drop(assets.insert(asset)),
                        // A name that the template can't carry must not be lost for it.
                        Err(_) => assets.extend(pages::assets(self.pages, url_prefix, path)),
                    }
                }
                Effect::Assets(self.spellings(assets))
            }
        };
        (effect, Some(number))
    }

    /// The asset in every spelling that is to be purged.
    #[must_use]
    pub fn spellings(&self, mut assets: BTreeSet<Asset>) -> BTreeSet<Asset> {
        if self.encoding == Encoding::Both {
            let forms: Vec<Asset> = assets.iter().filter_map(Asset::browser_form).collect();
            assets.extend(forms);
        }
        assets
    }

    /// The globs of a rule, as written, for those who explain.
    #[must_use]
    pub fn rule_globs(&self, number: usize) -> &[String] {
        self.rules
            .get(number)
            .map_or(&[], |(_, rule)| rule.globs.as_slice())
    }
}

fn compile(globs: &[String]) -> Result<GlobSet, globset::Error> {
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        set.add(GlobBuilder::new(glob).literal_separator(true).build()?);
    }
    set.build()
}

#[cfg(test)]
mod tests;
