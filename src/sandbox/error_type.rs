//! The errors of the vendor's API, as its SDKs know them: for each its type, its status, and its body.

use serde_json::{Value, json};

/// What the bodies name as the thing that they are about.
const PIPELINE: &str = "11111111-1111-4111-8111-111111111111";

/// A type of error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ErrorType {
    /// An argument is wrong: this one.
    InvalidArguments(&'static str),
    /// A quota is used up.
    QuotasExceeded,
    /// The resource is in a state that passes.
    TransientState,
    /// There is one already.
    AlreadyExists,
    /// There is no such resource.
    NotFound,
    /// The same, as the oldest APIs say it.
    UnknownResource,
    /// The resource is locked.
    Locked,
    /// The key may not do that.
    PermissionsDenied,
    /// There is no room.
    OutOfStock,
    /// The resource has expired.
    Expired,
    /// The key is not accepted.
    DeniedAuthentication,
    /// Something is not as it has to be: this.
    PreconditionFailed(&'static str),
    /// Too many calls; how long to wait is said.
    TooManyRequests,
}

impl ErrorType {
    /// Every type, but for what is wrong with the assets themselves.
    pub const ALL: [Self; 15] = [
        Self::InvalidArguments("pipeline_id"),
        Self::QuotasExceeded,
        Self::TransientState,
        Self::AlreadyExists,
        Self::NotFound,
        Self::UnknownResource,
        Self::Locked,
        Self::PermissionsDenied,
        Self::OutOfStock,
        Self::Expired,
        Self::DeniedAuthentication,
        Self::PreconditionFailed("resource_not_usable"),
        Self::PreconditionFailed("resource_still_in_use"),
        Self::PreconditionFailed("attribute_must_be_set"),
        Self::TooManyRequests,
    ];
    /// The assets of a request are wrong: the only error that no time mends.
    pub const BAD_ASSETS: Self = Self::InvalidArguments("assets");

    /// The word in the body's `type`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidArguments(_) => "invalid_arguments",
            Self::QuotasExceeded => "quotas_exceeded",
            Self::TransientState => "transient_state",
            Self::AlreadyExists => "already_exists",
            Self::NotFound => "not_found",
            Self::UnknownResource => "unknown_resource",
            Self::Locked => "locked",
            Self::PermissionsDenied => "permissions_denied",
            Self::OutOfStock => "out_of_stock",
            Self::Expired => "expired",
            Self::DeniedAuthentication => "denied_authentication",
            Self::PreconditionFailed(_) => "precondition_failed",
            Self::TooManyRequests => "too_many_requests",
        }
    }

    /// The status that it comes with.
    #[must_use]
    pub const fn status(self) -> u16 {
        match self {
            Self::InvalidArguments(_) => 400,
            Self::DeniedAuthentication => 401,
            Self::QuotasExceeded | Self::PermissionsDenied => 403,
            Self::NotFound | Self::UnknownResource => 404,
            Self::TransientState | Self::AlreadyExists => 409,
            Self::Expired => 410,
            Self::PreconditionFailed(_) => 412,
            Self::Locked => 423,
            Self::TooManyRequests => 429,
            Self::OutOfStock => 503,
        }
    }

    /// The body: compact, with the keys in alphabetical order.
    #[must_use]
    pub fn body(self) -> String {
        let resource = || json!({ "resource": "pipeline", "resource_id": PIPELINE });
        let (message, more) = match self {
            Self::InvalidArguments(argument) => {
                return invalid(argument, "constraint", "is refused");
            }
            Self::QuotasExceeded => (
                "quota(s) exceeded",
                json!({ "details": [{ "current": 10, "quota": 10, "resource": "purge_requests" }] }),
            ),
            Self::TransientState => {
                let mut more = resource();
                more["current_state"] = json!("pending");
                ("resource is in a transient state", more)
            }
            Self::AlreadyExists => {
                let mut more = resource();
                more["help_message"] = json!("a purge request is there already");
                ("resource already exists", more)
            }
            Self::NotFound => ("resource is not found", resource()),
            Self::UnknownResource => {
                let message = format!("Pipeline \"{PIPELINE}\" not found");
                return with(&message, self, json!({}));
            }
            Self::Locked => ("resource is locked", resource()),
            Self::PermissionsDenied => (
                "insufficient permissions",
                json!({ "details": [{ "action": "write", "resource": "purge_request" }] }),
            ),
            Self::OutOfStock => (
                "resource is out of stock",
                json!({ "resource": "purge_request" }),
            ),
            Self::Expired => {
                let mut more = resource();
                more["expired_since"] = json!("2024-01-15T01:30:15.010000Z");
                ("resource has expired", more)
            }
            Self::DeniedAuthentication => (
                "authentication is denied",
                json!({ "method": "api_key", "reason": "not_found" }),
            ),
            Self::PreconditionFailed(precondition) => (
                "precondition is not respected",
                json!({ "help_message": "the pipeline can't be used", "precondition": precondition }),
            ),
            Self::TooManyRequests => (
                "too many requests",
                json!({
                    "help_message": "try again later",
                    "limit": { "quota": 100, "window_seconds": 60 },
                    "reset_seconds": 1,
                }),
            ),
        };
        with(message, self, more)
    }
}

fn with(message: &str, of: ErrorType, mut more: Value) -> String {
    more["message"] = json!(message);
    more["type"] = json!(of.as_str());
    more.to_string()
}

/// An argument is wrong, for a reason of the vendor's (`unknown`, `required`, `format`, `constraint`).
pub(super) fn invalid(argument: &str, reason: &str, help: &str) -> String {
    let detail = json!({ "argument_name": argument, "help_message": help, "reason": reason });
    with(
        "invalid argument(s)",
        ErrorType::BAD_ASSETS,
        json!({ "details": [detail] }),
    )
}
