//! The names of real directories in the origin: that below the root, and one for each link that leads
//! there. Pure.
//!
//! A file can have many names, and an event reports one of them. So a hint goes to all of them:
//!
//! - **a link to a directory**: its target is another *place* of the events below it (this module);
//! - **a link to a file**: every path on the way to the file leads back to the link (`origin/tree/links.rs`);
//! - **hard links**: found by inode, in every origin of every pipeline. A file that gets a second name is
//!   searched for in the index once, since no event says which name it had (`origin/index/twins.rs`);
//! - **Kubernetes volumes**: the swapped `..data` is hidden, and a hint at everything beside it.

use std::collections::{BTreeMap, BTreeSet};

use super::paths::join;

/// Real directories and their names.
#[derive(Debug, Default)]
pub(in crate::origin) struct Places {
    by_real: BTreeMap<Vec<u8>, BTreeSet<Vec<u8>>>,
    by_name: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Places {
    /// From now on the directory `real` appears as `name`, and no other does.
    pub(in crate::origin) fn add(&mut self, real: &[u8], name: &[u8]) {
        if self.by_name.get(name).is_some_and(|known| known == real) {
            return;
        }
        self.remove(name);
        self.by_name.insert(name.to_vec(), real.to_vec());
        let names = self.by_real.entry(real.to_vec()).or_default();
        names.insert(name.to_vec());
    }

    fn remove(&mut self, name: &[u8]) {
        let Some(real) = self.by_name.remove(name) else {
            return;
        };
        if let Some(names) = self.by_real.get_mut(&real) {
            names.remove(name);
            if names.is_empty() {
                self.by_real.remove(&real);
            }
        }
    }

    /// Forgets every place that is called this, or lies below it.
    pub(in crate::origin) fn forget(&mut self, name: &[u8]) {
        if name.is_empty() {
            *self = Self::default();
            return;
        }
        let below = self
            .by_name
            .range([name, b"/"].concat()..[name, b"0"].concat());
        let below: Vec<_> = below.map(|(name, _)| name.clone()).collect();
        for name in below {
            self.remove(&name);
        }
        self.remove(name);
    }

    /// What a real path is called: each name that it has.
    pub(in crate::origin) fn names(&self, real: &[u8]) -> Vec<Vec<u8>> {
        let ends = real.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let ends = ends.map(|(end, _)| end).chain([real.len()]);
        let mut names = Vec::new();
        for end in ends {
            // The root of all is written with its slash.
            let (directory, rest) = match end {
                0 => (&b"/"[..], &real[1..]),
                end => (&real[..end], real.get(end + 1..).unwrap_or_default()),
            };
            let places = self.by_real.get(directory).into_iter().flatten();
            names.extend(places.map(|name| join(name, rest)));
        }
        names
    }

    /// What a real path is called, and the places that lie below it.
    pub(in crate::origin) fn names_within(&self, real: &[u8]) -> Vec<Vec<u8>> {
        let below = [real, b"/"].concat()..[real, b"0"].concat();
        let below = self.by_real.range(below).flat_map(|(_, names)| names);
        let mut names = self.names(real);
        names.extend(below.cloned());
        names
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(places: &Places, real: &str) -> Vec<String> {
        let names = places.names(real.as_bytes()).into_iter();
        names.map(|name| String::from_utf8(name).unwrap()).collect()
    }

    #[test]
    fn a_path_has_the_names_of_every_directory_above_it() {
        let mut places = Places::default();
        for (real, name) in [
            ("/srv/www", ""),
            ("/srv/www", "a/loop"),
            ("/srv/www/a", "b"),
            ("/srv/www-old", "old"),
        ] {
            places.add(real.as_bytes(), name.as_bytes());
        }
        let found = names(&places, "/srv/www/a/f");
        assert_eq!(found, ["a/f", "a/loop/a/f", "b/f"]);
        assert_eq!(names(&places, "/srv/www-old"), ["old"]);
        assert_eq!(names(&places, "/srv"), Vec::<String>::new());
        let within = places.names_within(b"/srv");
        assert_eq!(within, [&b""[..], b"a/loop", b"old", b"b"]);
    }

    #[test]
    fn a_name_leads_to_one_directory_and_is_forgotten_with_what_it_lies_in() {
        let mut places = Places::default();
        places.add(b"/r", b"");
        places.add(b"/one", b"x/link");
        places.add(b"/two", b"x/link");
        places.add(b"/two", b"x-y");
        assert_eq!(names(&places, "/one/f"), Vec::<String>::new());
        assert_eq!(names(&places, "/two/f"), ["x-y/f", "x/link/f"]);
        places.forget(b"x");
        assert_eq!(names(&places, "/two/f"), ["x-y/f"]);
        places.forget(b"");
        assert_eq!(names(&places, "/r/f"), Vec::<String>::new());
    }
}
