//! Where something was deployed to, and whether its sender calls that production.

/// What an environment of production is called, as a whole or as its first word.
const PRODUCTION: [&str; 4] = ["production", "prod", "prd", "live"];

/// Where something was deployed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::webhook) struct Environment {
    /// Its name.
    pub(in crate::webhook) name: String,
    /// Whether the sender calls it production.
    pub(in crate::webhook) production: bool,
}

/// Whether a name alone says that an environment is production: `production`, `Prod`, `live/eu`,
/// but not `pre-production` or `products`.
pub(in crate::webhook) fn is_production(name: &str) -> bool {
    let first = name.split(|c: char| !c.is_alphanumeric()).next();
    first.is_some_and(is_called_production)
}

/// Whether a name is one of those that production has everywhere.
pub(in crate::webhook) fn is_called_production(name: &str) -> bool {
    PRODUCTION
        .iter()
        .any(|word| word.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn production_is_told_by_its_name() {
        for name in [
            "production",
            "Production",
            "PROD",
            "live",
            "prod-eu",
            "Production \u{2013} site",
            "live/eu",
        ] {
            assert!(is_production(name), "{name}");
        }
        for name in [
            "",
            "preview",
            "pre-production",
            "preprod",
            "non-prod",
            "products",
            "staging",
            "review/production",
            "liveness",
        ] {
            assert!(!is_production(name), "{name}");
        }
    }
}
