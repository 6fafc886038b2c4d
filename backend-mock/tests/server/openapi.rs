//! The served OpenAPI document, and requests made from it: a new route is tried without anybody
//! thinking of it.

use fastrand::Rng;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

/// Clears everything of its caller: no route for a run that goes on afterwards.
pub(crate) const CLEARS_ALL: &str = "/api/me/data";

/// What the document says that can be asked for.
pub(crate) struct Api {
    document: Value,
    pub(crate) operations: Vec<Operation>,
}

/// A verb of a path.
#[derive(Clone)]
pub(crate) struct Operation {
    pub(crate) method: reqwest::Method,
    /// With names of parameters in braces.
    pub(crate) path: String,
    /// Whether it wants a token.
    pub(crate) is_private: bool,
    path_parameters: Vec<String>,
    query_parameters: Vec<Value>,
    /// Content types and schemas.
    bodies: Vec<(String, Value)>,
}

/// A request that the document allows.
#[derive(Debug)]
pub(crate) struct Drawn {
    pub(crate) method: reqwest::Method,
    pub(crate) path: String,
    /// Content type and body.
    pub(crate) body: Option<(String, String)>,
}

/// Where texts come from: `field` is the name of a parameter or of a field in a body.
pub(crate) trait Texts {
    fn text(&mut self, field: &str, random: &mut Rng) -> String;
}

impl Api {
    pub(crate) fn of(document: Value) -> Self {
        let paths = document["paths"].as_object().unwrap();
        let operations = paths
            .iter()
            .flat_map(|(path, item)| {
                let verbs = item.as_object().unwrap().iter();
                verbs.map(move |(verb, operation)| operation_of(path, verb, operation))
            })
            .collect();
        Self {
            document,
            operations,
        }
    }

    /// A request for an operation.
    pub(crate) fn draw(
        &self,
        operation: &Operation,
        texts: &mut dyn Texts,
        random: &mut Rng,
    ) -> Drawn {
        let mut path = operation.path.clone();
        for name in &operation.path_parameters {
            let text = texts.text(name, random);
            let text = utf8_percent_encode(&text, NON_ALPHANUMERIC).to_string();
            path = path.replace(&format!("{{{name}}}"), &text);
        }
        let mut query = Vec::new();
        for parameter in &operation.query_parameters {
            if random.bool() {
                let name = parameter["name"].as_str().unwrap();
                let value = self.value(name, &parameter["schema"], texts, random);
                query.push((name.to_owned(), plain(&value)));
            }
        }
        if !query.is_empty() {
            path = format!("{path}?{}", serde_urlencoded::to_string(query).unwrap());
        }
        let body = random.choice(&operation.bodies).map(|(kind, schema)| {
            let value = self.value("", schema, texts, random);
            let text = match value.as_object() {
                Some(fields) if kind == "application/x-www-form-urlencoded" => {
                    let fields = fields.iter().map(|(name, value)| (name, plain(value)));
                    serde_urlencoded::to_string(fields.collect::<Vec<_>>()).unwrap()
                }
                _ => value.to_string(),
            };
            (kind.clone(), text)
        });
        Drawn {
            method: operation.method.clone(),
            path,
            body,
        }
    }

    /// A value that the schema allows.
    fn value(&self, field: &str, schema: &Value, texts: &mut dyn Texts, random: &mut Rng) -> Value {
        if let Some(reference) = schema["$ref"].as_str() {
            let pointer = reference.trim_start_matches('#');
            let schema = self.document.pointer(pointer).expect("what is referred to");
            return self.value(field, schema, texts, random);
        }
        for choice in ["oneOf", "anyOf"] {
            if let Some(schemas) = schema[choice].as_array() {
                let schema = random.choice(schemas).unwrap();
                return self.value(field, schema, texts, random);
            }
        }
        if let Some(schemas) = schema["allOf"].as_array() {
            let mut all = Map::new();
            for schema in schemas {
                if let Value::Object(fields) = self.value(field, schema, texts, random) {
                    all.extend(fields);
                }
            }
            return Value::Object(all);
        }
        if let Some(values) = schema["enum"].as_array() {
            return random.choice(values).unwrap().clone();
        }
        let kind = match &schema["type"] {
            Value::Array(kinds) => random.choice(kinds).unwrap().as_str().unwrap(),
            kind => kind.as_str().unwrap_or("null"),
        };
        match kind {
            "object" => Value::Object(self.object(schema, texts, random)),
            "array" => (0..random.usize(0..3))
                .map(|_| self.value(field, &schema["items"], texts, random))
                .collect(),
            "string" => json!(texts.text(field, random)),
            "integer" | "number" => {
                let least = schema["minimum"].as_i64().unwrap_or(-2);
                let most = schema["maximum"]
                    .as_i64()
                    .unwrap_or(least.saturating_add(400));
                json!(random.i64(least..=most))
            }
            "boolean" => json!(random.bool()),
            _ => Value::Null,
        }
    }

    fn object(
        &self,
        schema: &Value,
        texts: &mut dyn Texts,
        random: &mut Rng,
    ) -> Map<String, Value> {
        let required = schema["required"].as_array();
        let is_required = |name: &str| required.is_some_and(|it| it.contains(&json!(name)));
        let mut fields = Map::new();
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            if is_required(name) || random.bool() {
                fields.insert(name.clone(), self.value(name, schema, texts, random));
            }
        }
        fields
    }
}

fn operation_of(path: &str, verb: &str, operation: &Value) -> Operation {
    let parameters = operation["parameters"].as_array();
    let parameters = |place: &'static str| {
        let all = parameters.into_iter().flatten();
        all.filter(move |parameter| parameter["in"] == place)
    };
    let name = |parameter: &Value| parameter["name"].as_str().unwrap().to_owned();
    let bodies = operation["requestBody"]["content"].as_object();
    Operation {
        method: verb.to_uppercase().parse().unwrap(),
        path: path.to_owned(),
        is_private: operation["security"].is_array(),
        path_parameters: parameters("path").map(name).collect(),
        query_parameters: parameters("query").cloned().collect(),
        bodies: bodies
            .into_iter()
            .flatten()
            .map(|(kind, content)| (kind.clone(), content["schema"].clone()))
            .collect(),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}
