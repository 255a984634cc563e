//! A number for the files of an origin on a node: two nodes with the same number hold the same files. It does not
//! depend on an order, so that a change of one file costs as much as that file, however many there are.

use serde::{Deserialize, Serialize};

use super::change::ContentHash;

/// The sum of a digest of each file's path and content. Each half wraps around by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Sum(u128, u128);

impl Sum {
    /// With a file more. Of one without a hash its path counts alone.
    #[must_use]
    pub fn with(self, path: &[u8], hash: Option<&ContentHash>) -> Self {
        let Self(high, low) = digest(path, hash);
        Self(self.0.wrapping_add(high), self.1.wrapping_add(low))
    }

    /// With a file less, that was in it with this content.
    #[must_use]
    pub fn without(self, path: &[u8], hash: Option<&ContentHash>) -> Self {
        let Self(high, low) = digest(path, hash);
        Self(self.0.wrapping_sub(high), self.1.wrapping_sub(low))
    }
}

/// The hash has a length of its own, so that no two files look alike.
fn digest(path: &[u8], hash: Option<&ContentHash>) -> Sum {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&[u8::from(hash.is_some())]);
    hasher.update(hash.map_or(&[], |hash| hash));
    hasher.update(path);
    let digest = hasher.finalize();
    let mut halves = [[0; 16]; 2];
    for (half, bytes) in halves.iter_mut().zip(digest.as_bytes().chunks(16)) {
        half.copy_from_slice(bytes);
    }
    Sum(
        u128::from_be_bytes(halves[0]),
        u128::from_be_bytes(halves[1]),
    )
}

impl From<Sum> for String {
    fn from(Sum(high, low): Sum) -> Self {
        format!("{high:032x}{low:032x}")
    }
}

impl TryFrom<String> for Sum {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let half = |part: Option<&str>| u128::from_str_radix(part?, 16).ok();
        let halves = (half(text.get(..32)), half(text.get(32..64)));
        match halves {
            (Some(high), Some(low)) if text.len() == 64 => Ok(Self(high, low)),
            _ => Err("not 64 hexadecimal digits"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sum_of_some_files_is_the_same_in_any_order_and_after_any_detour() {
        let (old, new) = ([1; 32], [2; 32]);
        let straight = Sum::default()
            .with(b"a", Some(&new))
            .with(b"b", None)
            .with(b"\xff", Some(&old));
        let detour = Sum::default()
            .with(b"\xff", Some(&old))
            .with(b"gone", Some(&old))
            .with(b"a", Some(&old))
            .with(b"b", None)
            .without(b"gone", Some(&old))
            .without(b"a", Some(&old))
            .with(b"a", Some(&new));
        assert_eq!(straight, detour);
        let nothing = detour
            .without(b"a", Some(&new))
            .without(b"b", None)
            .without(b"\xff", Some(&old));
        assert_eq!(nothing, Sum::default());
    }

    #[test]
    fn files_whose_paths_or_contents_differ_or_are_swapped_have_other_sums() {
        let (one, two) = ([1; 32], [2; 32]);
        let sum = |files: &[(&[u8], Option<&ContentHash>)]| {
            let each = files.iter();
            each.fold(Sum::default(), |sum, (path, hash)| sum.with(path, *hash))
        };
        let sums = [
            sum(&[]),
            sum(&[(b"a", Some(&one)), (b"b", Some(&two))]),
            sum(&[(b"a", Some(&two)), (b"b", Some(&one))]),
            sum(&[(b"a", Some(&one)), (b"b", Some(&one))]),
            sum(&[(b"a", Some(&one)), (b"b", None)]),
            sum(&[(b"a", Some(&one)), (b"c", Some(&two))]),
            sum(&[(b"a", Some(&one))]),
        ];
        for (number, sum) in sums.iter().enumerate() {
            assert!(!sums[..number].contains(sum), "{number}");
        }
    }

    #[test]
    fn a_sum_is_read_as_it_is_written() {
        let sum = Sum::default().with(b"a", None);
        let written = serde_json::to_string(&sum).unwrap();
        assert_eq!(serde_json::from_str::<Sum>(&written).unwrap(), sum);
        for wrong in ["\"\"", "\"12\"", "\"é\"", "3"] {
            assert!(serde_json::from_str::<Sum>(wrong).is_err(), "{wrong}");
        }
    }
}
