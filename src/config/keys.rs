//! The keys: one line for each in the [`table!`] of its section says name, type, default, range, unit
//! and text. From there come the fields of the configuration, what reads them, what `check --print` shows,
//! the JSON schema and the manual.

use super::shape::Shape;
use super::{origin, pipeline, rule, scaleway, state, verify, webhook, webhook_listener};

/// A table of the configuration file.
pub(super) struct Table {
    /// As it is written, `[scaleway]` or `[[pipeline.origin]]`.
    pub(super) header: &'static str,
    /// What it is for.
    pub(super) about: String,
    /// Its keys, in the order of `check --print`.
    pub(super) keys: Vec<Key>,
}

impl Table {
    /// Its path, `pipeline.origin`.
    pub(super) fn path(&self) -> &'static str {
        self.header.trim_matches(['[', ']'])
    }

    /// Whether there may be several.
    pub(super) fn is_list(&self) -> bool {
        self.header.starts_with("[[")
    }
}

/// A key of a table.
pub(super) struct Key {
    /// Its name.
    pub(super) name: &'static str,
    /// What it means.
    pub(super) about: String,
    /// What holds without it.
    pub(super) absent: Absent,
    /// What it may be.
    pub(super) shape: Shape,
    /// The environment variable that is asked where the file does not have it.
    pub(super) environment: Option<&'static str>,
    /// The kinds of webhook that have it; empty for all.
    pub(super) kinds: Vec<&'static str>,
}

/// What holds where a key is left out.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Absent {
    /// This value.
    Default(toml::Value),
    /// It must not be.
    Required,
    /// Nothing, or what its text says.
    Optional,
}

/// A text from the lines of a documentation comment.
pub(super) fn text(lines: &[&str]) -> String {
    let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
    lines.join(" ")
}

/// Every table, in the order of the example.
pub(super) fn tables() -> [Table; 9] {
    [
        scaleway::ScalewayKeys::table(),
        state::StateKeys::table(),
        webhook_listener::WebhooksKeys::table(),
        state::AdminKeys::table(),
        pipeline::PipelineKeys::table(),
        verify::VerifyKeys::table(),
        origin::OriginKeys::table(),
        rule::RuleKeys::table(),
        webhook::table(),
    ]
}

/// The header that a key belongs below, where there is just one. TOML makes it easy to write one below
/// the wrong header: whatever follows `[[pipeline.origin]]` is the origin's.
pub(super) fn home(key: &str) -> Option<&'static str> {
    let tables = tables();
    let mut homes = tables
        .iter()
        .filter(|table| table.keys.iter().any(|one| one.name == key))
        .map(|table| table.header);
    homes.next().filter(|_| homes.next().is_none())
}

/// Declares the keys of a section. A line is
///
/// ```text
/// /// What it means.
/// field: Type = presence, syntax, env "VARIABLE";
/// ```
///
/// - The key's name is that of the field, unless a text follows: `patterns "match": …`.
/// - `presence` is `default(value)`, `required("hint")`, `optional()` (the field is an `Option<Type>`),
///   `directory("VARIABLE", "file below", "default")`, `own(function)` or `own(function, default)` (the
///   function reads it), or `elsewhere()` (other code reads it).
/// - `syntax` (see `syntax.rs`) reads a value and writes it; range and unit are part of it.
/// - `env` may be left out. Which kinds of webhook have a key stands with the kind (`Sender::keys`).
///
/// Made from it are, for `=> Origin, OriginKeys`, the structs `Origin` (values) and `OriginKeys` (values and
/// where they are from) with `OriginKeys::read` and `OriginKeys::complete`; `=> Option<Origin>, OriginKeys`
/// where a key is required, so that it may be incomplete; `=> WebhookKeys` has no more than a function for
/// each key. `OriginKeys::table` describes the keys.
macro_rules! table {
    ($(#[doc = $about:literal])* $header:literal => $keys:ident { $($lines:tt)* }) => {
        /// The keys of the section.
        pub(super) struct $keys;
        table! { @functions $keys $header [$($about)*] $($lines)* }
    };
    ($(#[doc = $about:literal])* $header:literal => $name:ident, $keys:ident { $($lines:tt)* }) => {
        table! { @functions $keys $header [$($about)*] $($lines)* }
        table! { @structs $name $keys $header {} $($lines)* }
        table! { @whole $name $keys $($lines)* }
    };
    ($(#[doc = $about:literal])* $header:literal => Option<$name:ident>, $keys:ident { $($lines:tt)* }
     $(and { $($more:tt)* })?) => {
        table! { @functions $keys $header [$($about)*] $($lines)* }
        table! { @structs $name $keys $header { $($($more)*)? } $($lines)* }
        table! { @partial $name $keys { $($($more)*)? } $($lines)* }
    };

    (@functions $keys:ident $header:literal [$($about:literal)*]
     $($(#[doc = $doc:literal])* $field:ident $($key:literal)? : $type:ty = $presence:ident($($arg:expr),*),
       $syntax:expr $(, env $env:literal)?;)*) => {
        impl $keys {
            /// What the keys are.
            pub(super) fn table() -> $crate::config::keys::Table {
                let keys = vec![$({
                    let (absent, shape) = table!(@describe $presence($($arg),*) $type, $syntax);
                    $crate::config::keys::Key {
                        name: table!(@name $field $($key)?),
                        about: $crate::config::keys::text(&[$($doc),*]),
                        absent,
                        shape,
                        environment: table!(@environment $presence($($arg),*) $($env)?),
                        kinds: Vec::new(),
                    }
                }),*];
                let about = $crate::config::keys::text(&[$($about),*]);
                $crate::config::keys::Table { header: $header, about, keys }
            }

            $(table! { @read $presence($($arg),*) $(#[doc = $doc])* $field table!(@name $field $($key)?),
                       $type, $syntax })*
        }
    };

    (@structs $name:ident $keys:ident $header:literal { $($(#[doc = $text:literal])* $extra:ident: $kind:ty;)* }
     $($(#[doc = $doc:literal])* $field:ident $($key:literal)? : $type:ty = $presence:ident($($arg:expr),*),
       $syntax:expr $(, env $env:literal)?;)*) => {
        #[doc = concat!("`", $header, "`.")]
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $($(#[doc = $doc])* pub $field: table!(@field $presence $type),)*
            $($(#[doc = $text])* pub $extra: $kind,)*
        }

        #[doc = concat!("The keys of `", $header, "`, as they are read.")]
        pub(super) struct $keys {
            $($(#[doc = $doc])* pub(super) $field: table!(@given $presence $type),)*
        }

        impl $keys {
            /// Reads each key.
            pub(super) fn read(
                reader: &mut $crate::config::reader::Reader<'_>,
                section: &mut $crate::config::section::Section<'_>,
            ) -> Self {
                Self { $($field: Self::$field(reader, section)),* }
            }
        }
    };

    (@whole $name:ident $keys:ident
     $($(#[doc = $doc:literal])* $field:ident $($key:literal)? : $type:ty = $presence:ident($($arg:expr),*),
       $syntax:expr $(, env $env:literal)?;)*) => {
        impl $keys {
            /// The values.
            pub(super) fn complete(self) -> $name {
                $name { $($field: self.$field.value),* }
            }
        }
    };

    (@partial $name:ident $keys:ident { $($(#[doc = $text:literal])* $extra:ident: $kind:ty;)* }
     $($(#[doc = $doc:literal])* $field:ident $($key:literal)? : $type:ty = $presence:ident($($arg:expr),*),
       $syntax:expr $(, env $env:literal)?;)*) => {
        impl $keys {
            /// The values; `None` where a required key is missing or refused.
            pub(super) fn complete(self, $($extra: $kind),*) -> Option<$name> {
                Some($name { $($field: table!(@value $presence self.$field.value),)* $($extra,)* })
            }
        }
    };

    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $key:literal) => { $key };

    (@environment directory($env:expr, $below:expr, $default:expr)) => { Some($env) };
    (@environment $presence:ident($($arg:expr),*)) => { None };
    (@environment $presence:ident($($arg:expr),*) $env:literal) => { Some($env) };

    (@field optional $type:ty) => { Option<$type> };
    (@field $presence:ident $type:ty) => { $type };

    (@given optional $type:ty) => { $crate::config::section::Given<$type> };
    (@given required $type:ty) => { $crate::config::section::Given<$type> };
    (@given $presence:ident $type:ty) => { $crate::config::section::Held<$type> };

    (@value required $value:expr) => { $value? };
    (@value $presence:ident $value:expr) => { $value };

    (@describe default($default:expr) $type:ty, $syntax:expr) => {{
        let syntax: $crate::config::syntax::Syntax<$type> = $syntax;
        let default = $crate::config::keys::Absent::Default(syntax.written(&$default));
        (default, syntax.shape().clone())
    }};
    (@describe directory($env:expr, $below:expr, $default:expr) $type:ty, $syntax:expr) => {{
        let place = $crate::config::reader::InDirectory::new($env, $below, $default);
        table!(@describe default(place.usual()) $type, $syntax)
    }};
    (@describe own($function:expr, $default:expr) $type:ty, $syntax:expr) => {
        table!(@describe default($default) $type, $syntax)
    };
    (@describe required($hint:expr) $type:ty, $syntax:expr) => {{
        let syntax: $crate::config::syntax::Syntax<$type> = $syntax;
        ($crate::config::keys::Absent::Required, syntax.shape().clone())
    }};
    (@describe optional() $type:ty, $syntax:expr) => {{
        let syntax: $crate::config::syntax::Syntax<$type> = $syntax;
        ($crate::config::keys::Absent::Optional, syntax.shape().clone())
    }};
    (@describe $presence:ident($($arg:expr),*) $type:ty, $syntax:expr) => {
        ($crate::config::keys::Absent::Optional, $syntax.shape().clone())
    };

    (@read elsewhere() $(#[$doc:meta])* $field:ident $key:expr, $type:ty, $syntax:expr) => {};
    (@read $presence:ident($($arg:expr),*) $(#[$doc:meta])* $field:ident $key:expr, $type:ty, $syntax:expr) => {
        $(#[$doc])*
        pub(super) fn $field(
            reader: &mut $crate::config::reader::Reader<'_>,
            section: &mut $crate::config::section::Section<'_>,
        ) -> table!(@given $presence $type) {
            table!(@call $presence($($arg),*) reader, section, $key, $syntax)
        }
    };

    (@call default($default:expr) $reader:ident, $section:ident, $key:expr, $syntax:expr) => {
        $reader.setting($section, $key, $default, &$syntax)
    };
    (@call required($hint:expr) $reader:ident, $section:ident, $key:expr, $syntax:expr) => {
        $reader.required($section, $key, $hint, &$syntax)
    };
    (@call optional() $reader:ident, $section:ident, $key:expr, $syntax:expr) => {
        $reader.optional($section, $key, &$syntax)
    };
    (@call directory($env:expr, $below:expr, $default:expr) $reader:ident, $section:ident, $key:expr, $syntax:expr) => {
        $reader.directory(
            $section,
            $key,
            &$crate::config::reader::InDirectory::new($env, $below, $default),
            &$syntax,
        )
    };
    (@call own($function:expr $(, $default:expr)?) $reader:ident, $section:ident, $key:expr, $syntax:expr) => {
        $function($reader, $section, $key)
    };
}

pub(super) use table;
