//! The mapping: the only place in the program where a path becomes an asset.
//!
//! The rules of a pipeline are asked in order, then the built-in table. It knows paths as bytes and
//! never looks at a disk.

use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::asset::{Asset, AssetError};
use super::change::Kind;

mod builtin;
mod pattern;
mod prefix;
mod template;
#[cfg(test)]
mod tests;

pub use pattern::{PatternError, parse_pattern};
pub use prefix::{UrlPrefix, UrlPrefixError};
pub use template::{Template, TemplateError};

/// Another one wherever the built-in mapping gives a file other assets than before, so that what an
/// older version has queued gets those too.
pub const REVISION: u32 = 2;

/// Which URLs an HTML file answers at, besides its own name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pages {
    /// Only the file's own path.
    Exact,
    /// `a/index.html` also answers at `/a/` and `/a`.
    #[default]
    Directory,
    /// As `directory`, and `a/b.html` also answers at `/a/b` and `/a/b/`, `a/index.html` at `/a/index`.
    Clean,
}

/// Which spellings of a path are purged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Encoding {
    /// The canonical one.
    Canonical,
    /// Also those that browsers send for the usual ways of writing links, where they differ.
    #[default]
    Both,
}

impl Encoding {
    /// The spellings of an asset that are purged, itself first.
    #[must_use]
    pub fn spellings(self, asset: Asset) -> Vec<Asset> {
        let mut spellings = self.same_bytes(asset);
        if self == Self::Both
            && let Some(composed) = spellings.first().and_then(Asset::composed)
        {
            spellings.extend(composed.spellings());
        }
        spellings
    }

    /// Those of them that stand for the same bytes, so that a server has the same file at each.
    fn same_bytes(self, asset: Asset) -> Vec<Asset> {
        match self {
            Self::Canonical => vec![asset],
            Self::Both => asset.spellings(),
        }
    }
}

/// What a pipeline's configuration says about its mapping.
#[derive(Clone, Debug, Default)]
pub struct MappingSettings {
    /// Asked in order, before the built-in table.
    pub rules: Vec<Rule>,
    /// How the built-in table treats pages.
    pub pages: Pages,
    /// Which spellings are purged.
    pub encoding: Encoding,
}

/// One rule: for which files, on which changes, what is purged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The patterns of [`parse_pattern`]; one that matches is enough.
    pub patterns: Vec<String>,
    /// The kinds of change that the rule is for; for another, the next rule is asked.
    /// [`Kind::Asked`] says nothing about bytes, and every rule is for it.
    pub on: BTreeSet<Kind>,
    /// What is purged.
    pub purge: RulePurge,
}

impl Rule {
    /// The kinds of change that a rule is for when it doesn't say.
    #[must_use]
    pub fn every_kind() -> BTreeSet<Kind> {
        BTreeSet::from([Kind::New, Kind::Changed, Kind::Gone])
    }
}

/// What a rule purges.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RulePurge {
    /// Everything of the pipeline.
    All,
    /// Nothing.
    Nothing,
    /// These assets, and not the file's own.
    Templates(Vec<Template>),
}

/// What a changed file makes stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nothing.
    Nothing,
    /// Everything of the pipeline.
    All,
    /// These assets.
    Assets(BTreeSet<Asset>),
}

/// What decided about a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decided {
    /// A rule.
    Rule {
        /// Its place among the pipeline's rules, from 0.
        index: usize,
        /// The pattern of it that matched.
        pattern: String,
    },
    /// No rule: the built-in table.
    BuiltIn,
}

/// Counts rules from 1, as people do.
impl fmt::Display for Decided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rule { index, pattern } => write!(f, "rule {} ({pattern})", index + 1),
            Self::BuiltIn => f.write_str("the built-in mapping"),
        }
    }
}

/// The answer of a mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// What is stale.
    pub effect: Effect,
    /// What decided it.
    pub decided: Decided,
    /// Spellings that no request could have, and that are left out: too long, mostly.
    pub refused: Vec<AssetError>,
}

/// Why a mapping can't be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MappingError {
    /// A pattern is wrong.
    #[error("rule {}: {error}", rule + 1)]
    Pattern {
        /// The index of its rule, from 0.
        rule: usize,
        /// Its index in the rule, from 0.
        pattern: usize,
        /// What is wrong.
        error: PatternError,
    },
    /// The patterns are fine one by one and too much together.
    #[error(
        "the patterns of all rules together can't be compiled: {0}; write fewer or simpler ones"
    )]
    Patterns(String),
}

/// The mapping of one pipeline.
#[derive(Clone, Debug)]
pub struct Mapping {
    settings: MappingSettings,
    patterns: pattern::Patterns,
}

impl Mapping {
    /// Builds a mapping.
    ///
    /// # Errors
    /// Every pattern that is wrong.
    pub fn new(settings: MappingSettings) -> Result<Self, Vec<MappingError>> {
        let mut globs = Vec::new();
        let mut errors = Vec::new();
        for (rule, of) in settings.rules.iter().enumerate() {
            for (pattern, text) in of.patterns.iter().enumerate() {
                match parse_pattern(text) {
                    Ok(glob) => globs.push((rule, glob)),
                    Err(error) => errors.push(MappingError::Pattern {
                        rule,
                        pattern,
                        error,
                    }),
                }
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let patterns = pattern::Patterns::new(&globs)
            .map_err(|error| vec![MappingError::Patterns(error.to_string())])?;
        Ok(Self { settings, patterns })
    }

    /// Which spellings are purged.
    #[must_use]
    pub const fn encoding(&self) -> Encoding {
        self.settings.encoding
    }

    /// What a change of the file at `path`, below the root of an origin at `prefix`, makes stale.
    ///
    /// Unless a rule matches its own name, `a.css.gz` maps as `a.css` through rules and table, since
    /// servers send it in the place of that; and as itself, since it can be asked for.
    #[must_use]
    pub fn effect(&self, prefix: &UrlPrefix, path: &[u8], kind: Kind) -> Mapped {
        if let Some(mapped) = self.by_rule(path, kind) {
            return mapped;
        }
        let Some(base) = builtin::base_of(path) else {
            return self.built_in(prefix, path);
        };
        let as_base = self
            .by_rule(base, kind)
            .unwrap_or_else(|| self.built_in(prefix, base));
        as_base.and(self.built_in(prefix, path))
    }

    /// What a file answers at, whatever the rules say.
    #[must_use]
    pub fn own(&self, prefix: &UrlPrefix, path: &[u8]) -> BTreeSet<Asset> {
        match self.built_in(prefix, path).effect {
            Effect::Assets(assets) => assets,
            Effect::All | Effect::Nothing => BTreeSet::new(),
        }
    }

    /// The URLs that are a file's alone, in every spelling of its name: its own, and for a directory's
    /// page the directory's. Where it is served at all, it answers there.
    #[must_use]
    pub fn answers_at(&self, prefix: &UrlPrefix, path: &[u8]) -> BTreeSet<Asset> {
        let own = builtin::own(prefix, path, self.settings.pages);
        own.into_iter()
            .flatten()
            .flat_map(|asset| self.settings.encoding.same_bytes(asset))
            .collect()
    }

    fn by_rule(&self, path: &[u8], kind: Kind) -> Option<Mapped> {
        let (index, pattern, rule) =
            self.patterns.matching(path).find_map(|(index, pattern)| {
                let rule = self.settings.rules.get(index)?;
                (kind == Kind::Asked || rule.on.contains(&kind)).then_some((index, pattern, rule))
            })?;
        let decided = Decided::Rule {
            index,
            pattern: pattern.to_owned(),
        };
        Some(match &rule.purge {
            RulePurge::All => Mapped::plain(Effect::All, decided),
            RulePurge::Nothing => Mapped::plain(Effect::Nothing, decided),
            RulePurge::Templates(templates) => {
                let assets = templates.iter().map(|template| template.expand(path));
                self.assets(assets, decided)
            }
        })
    }

    fn built_in(&self, prefix: &UrlPrefix, path: &[u8]) -> Mapped {
        let assets = builtin::assets(prefix, path, self.settings.pages);
        self.assets(assets, Decided::BuiltIn)
    }

    fn assets(
        &self,
        candidates: impl IntoIterator<Item = Result<Asset, AssetError>>,
        decided: Decided,
    ) -> Mapped {
        let mut assets = BTreeSet::new();
        let mut refused = Vec::new();
        for candidate in candidates {
            match candidate {
                Ok(asset) => assets.extend(self.settings.encoding.spellings(asset)),
                Err(error) => refused.push(error),
            }
        }
        Mapped {
            effect: Effect::Assets(assets),
            decided,
            refused,
        }
    }
}

impl Mapped {
    const fn plain(effect: Effect, decided: Decided) -> Self {
        Self {
            effect,
            decided,
            refused: Vec::new(),
        }
    }

    /// Both at once; the rule's decision is the one that is reported.
    fn and(self, other: Self) -> Self {
        let effect = match (self.effect, other.effect) {
            (Effect::All, _) | (_, Effect::All) => Effect::All,
            (Effect::Nothing, effect) | (effect, Effect::Nothing) => effect,
            (Effect::Assets(mut assets), Effect::Assets(more)) => {
                assets.extend(more);
                Effect::Assets(assets)
            }
        };
        let mut refused = self.refused;
        refused.extend(other.refused);
        Mapped {
            effect,
            decided: self.decided,
            refused,
        }
    }
}
