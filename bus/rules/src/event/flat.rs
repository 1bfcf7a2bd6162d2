//! An event as one flat object, for readers that know nothing of CloudEvents: what it tells, and `event_id`, `kind`,
//! `occurred_at`, `source` and `subject`. It carries no signature and no `specversion`: nobody can take it for one.

use serde_json::{Map, Value};

use super::cloud::{CloudEvent, Content};
use super::kind::Kind;

/// Without what is null, at any depth.
fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(without_nulls).collect(),
        Value::Object(fields) => {
            let kept = fields.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(name, value)| (name.clone(), without_nulls(value))).collect())
        }
        Value::Bool(_) | Value::Null | Value::Number(_) | Value::String(_) => value.clone(),
    }
}

impl CloudEvent {
    /// See the module.
    #[must_use]
    pub fn flat(&self) -> Value {
        let mut flat = match self.content() {
            Content::Json(Value::Object(data)) => data.clone(),
            Content::Json(_) | Content::Bytes(_) | Content::None => Map::new(),
        };
        for (name, extension) in [("correlation_id", "correlationid"), ("causation_id", "causationid")] {
            if let Some(value) = self.extension(extension) {
                flat.insert(name.to_owned(), Value::from(value.text()));
            }
        }
        let kind = self.kind().parse::<Kind>();
        let kind = kind.map_or_else(|()| self.kind().to_owned(), |kind| kind.as_str().to_owned());
        flat.insert("kind".to_owned(), Value::from(kind));
        // Written last: nothing that an event tells can stand in their place.
        let own = [("event_id", "id"), ("occurred_at", "time"), ("source", "source"), ("subject", "subject")];
        for (name, attribute) in own {
            match self.core(attribute) {
                Some(value) => flat.insert(name.to_owned(), Value::from(value)),
                None => flat.remove(name),
            };
        }
        without_nulls(&Value::Object(flat))
    }
}
