//! What is behind a pipeline, as its backend stages say. Reading them is tolerant: what is not said, or is of a
//! sort that is not known, is no error.

use std::fmt;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::printable::printable;
use super::wire::{Pipeline, null_as_default};

/// What every stage has, whatever is behind it.
const PLAIN: [&str; 5] = ["id", "pipeline_id", "status", "created_at", "updated_at"];

/// What is behind a pipeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// A bucket of Object Storage.
    Bucket(BucketBackend),
    /// A load balancer.
    LoadBalancer,
    /// Something else, as the API calls it; empty where it does not say.
    Other(String),
}

/// A bucket that is behind a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BucketBackend {
    /// Its name, if it is said.
    pub name: Option<String>,
    /// Its region, if it is said.
    pub region: Option<String>,
    /// Whether it is served as a website, if it is said.
    pub website: Option<bool>,
}

impl fmt::Display for BucketBackend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "the bucket {name}")?,
            None => write!(f, "a bucket whose name the API does not say")?,
        }
        if let Some(region) = &self.region {
            write!(f, " in {region}")?;
        }
        match self.website {
            Some(true) => write!(f, " as a website"),
            _ => Ok(()),
        }
    }
}

/// The backend stages of a pipeline.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Backends {
    /// What each is.
    #[serde(default, deserialize_with = "null_as_default")]
    pub stages: Vec<Backend>,
}

/// A page of the pipelines that a key may see.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct PipelinePage {
    /// The pipelines of this page.
    #[serde(default, deserialize_with = "null_as_default")]
    pub pipelines: Vec<StagedPipeline>,
    /// How many there are on all pages together.
    #[serde(default, deserialize_with = "null_as_default")]
    pub total_count: u64,
}

/// A pipeline with what is behind it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct StagedPipeline {
    /// The pipeline.
    #[serde(default, deserialize_with = "null_as_default")]
    pub pipeline: Pipeline,
    /// Its backends.
    #[serde(default, deserialize_with = "null_as_default")]
    pub backend_stages: Vec<Backend>,
}

impl Backend {
    fn read(stage: &Value) -> Self {
        let text = |value: &Value| {
            value
                .as_str()
                .map(printable)
                .filter(|text| !text.is_empty())
        };
        let bucket = &stage["scaleway_s3"];
        if !bucket.is_null() {
            return Self::Bucket(BucketBackend {
                name: text(&bucket["bucket_name"]),
                region: text(&bucket["bucket_region"]),
                website: bucket["is_website"].as_bool(),
            });
        }
        if !stage["scaleway_lb"].is_null() {
            return Self::LoadBalancer;
        }
        let fields = stage.as_object().into_iter().flatten();
        let mut sorts = fields.filter(|(name, sort)| {
            (sort.is_object() || sort.is_array()) && !PLAIN.contains(&name.as_str())
        });
        let sort = sorts.next().map(|(name, _)| printable(name));
        Self::Other(sort.unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Backend {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::read(&Value::deserialize(deserializer)?))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_bucket_is_read_as_far_as_it_is_said() {
        let whole = json!({"id": "i", "scaleway_lb": null, "scaleway_s3":
            {"bucket_name": "my-site", "bucket_region": "fr-par", "is_website": true, "new": 1}});
        let said = |text: &str| Some(text.to_owned());
        let expected = BucketBackend {
            name: said("my-site"),
            region: said("fr-par"),
            website: Some(true),
        };
        assert_eq!(Backend::read(&whole), Backend::Bucket(expected));
        for sparse in [
            json!({"scaleway_s3": {}}),
            json!({"scaleway_s3": {"bucket_name": null, "bucket_region": "", "is_website": "yes"}}),
            json!({"scaleway_s3": "my-site"}),
        ] {
            let read = Backend::read(&sparse);
            assert_eq!(read, Backend::Bucket(BucketBackend::default()), "{sparse}");
        }
    }

    #[test]
    fn what_is_not_known_is_called_as_the_api_calls_it() {
        let balancer = json!({"id": "i", "scaleway_lb": {"lbs": []}});
        assert_eq!(Backend::read(&balancer), Backend::LoadBalancer);
        let container = json!({"id": "i", "status": "active",
            "scaleway_serverless_container": {"region": "fr-par", "container_id": "c"}});
        let container = Backend::read(&container);
        let name = "scaleway_serverless_container".to_owned();
        assert_eq!(container, Backend::Other(name));
        for odd in [json!({"id": "i"}), json!(null), json!("bucket"), json!([])] {
            assert_eq!(Backend::read(&odd), Backend::Other(String::new()), "{odd}");
        }
    }

    #[test]
    fn lists_are_read_whatever_they_lack() {
        let read = |json: Value| serde_json::from_value::<Backends>(json).unwrap();
        assert_eq!(read(json!({})), Backends::default());
        assert_eq!(
            read(json!({"stages": null, "total_count": "x"})),
            Backends::default()
        );
        assert_eq!(read(json!({"stages": [{}, 7]})).stages.len(), 2);
        let page = json!({"pipelines": [{"pipeline": null}, {"pipeline": {"id": "i"}, "backend_stages":
            [{"scaleway_lb": {}}]}]});
        let page: PipelinePage = serde_json::from_value(page).unwrap();
        assert_eq!(page.pipelines[0], StagedPipeline::default());
        assert_eq!(page.pipelines[1].pipeline.id, "i");
        assert_eq!(page.pipelines[1].backend_stages, [Backend::LoadBalancer]);
    }
}
