//! "Did you mean": the known word that is closest to a mistyped one.

/// The word that is at most a third of its letters away, the closest one.
#[must_use]
pub fn nearest<'w>(typed: &str, words: impl IntoIterator<Item = &'w str>) -> Option<&'w str> {
    let typed: String = typed.to_lowercase().chars().take(64).collect();
    words
        .into_iter()
        .map(|word| (strsim::osa_distance(&typed, word), word))
        .filter(|(distance, word)| *distance <= (word.len() / 3).max(1))
        .min()
        .map(|(_, word)| word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_of_the_finger_is_recognised() {
        let words = ["burst", "root", "url_prefix", "on", "max_wait"];
        for (typed, meant) in [
            ("brust", Some("burst")),
            ("Root", Some("root")),
            ("url-prefix", Some("url_prefix")),
            ("maxwait", Some("max_wait")),
            ("no", Some("on")),
            ("elephant", None),
            ("", None),
        ] {
            assert_eq!(nearest(typed, words), meant, "{typed}");
        }
    }
}
