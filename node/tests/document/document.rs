//! The document as a test reads it: operations, examples, and whether an answer fits its schema.
//!
//! Stricter than JSON Schema in one thing: what is answered may have no field that is not told.

use serde_json::{Map, Value};
use std::collections::BTreeSet;

const JSON: &str = "application/json";

pub(crate) struct Document(Value);

/// One method of one path.
pub(crate) struct Operation {
    pub(crate) path: String,
    /// In capitals.
    pub(crate) method: String,
    pub(crate) id: String,
    value: Value,
}

/// What does not fit, and where.
pub(crate) type Misfit = String;

impl Document {
    pub(crate) fn new(value: Value) -> Self {
        assert_eq!(value["openapi"], "3.1.0");
        Self(value)
    }

    pub(crate) fn operations(&self) -> Vec<Operation> {
        let paths = self.0["paths"].as_object().expect("paths");
        let of = |(path, methods): (&String, &Value)| {
            let methods = methods.as_object().expect("methods").clone();
            let path = path.clone();
            methods.into_iter().map(move |(method, value)| Operation {
                path: path.clone(),
                method: method.to_uppercase(),
                id: value["operationId"].as_str().expect("an id").to_owned(),
                value,
            })
        };
        paths.iter().flat_map(of).collect()
    }

    /// The schema itself; of a nullable reference, what is referred to.
    pub(crate) fn resolved(&self, schema: &Value) -> Value {
        if let Some(to) = schema["$ref"].as_str() {
            let found = self.0.pointer(to.trim_start_matches('#'));
            return self.resolved(found.expect("what is referred to"));
        }
        match schema["oneOf"].as_array().map(Vec::as_slice) {
            Some([null, other] | [other, null]) if null["type"] == "null" => {
                let mut schema = self.resolved(other);
                let mut kinds: Vec<Value> = types(&schema).into_iter().map(Value::from).collect();
                kinds.push("null".into());
                schema["type"] = kinds.into();
                schema
            }
            _ => schema.clone(),
        }
    }

    /// The schema of an object that is sent; of a batch that of an item.
    pub(crate) fn schema_of(&self, operation: &Operation, body: &Value) -> Value {
        let mut schema = self.resolved(&operation.value["requestBody"]["content"][JSON]["schema"]);
        let mut body = body;
        if schema["type"] == "array" {
            (schema, body) = (self.resolved(&schema["items"]), &body[0]);
        }
        match schema["oneOf"].as_array() {
            Some(forms) => {
                let fits = |form: &&Value| self.known(form, body).is_ok();
                let form = forms.iter().find(fits).expect("a form that the example has");
                self.resolved(form)
            }
            None => schema,
        }
    }

    /// Whether an answer is as documented.
    pub(crate) fn check(
        &self,
        operation: &Operation,
        status: u16,
        body: &Value,
    ) -> Result<(), Misfit> {
        let response = &operation.value["responses"][status.to_string()];
        let Some(content) = response["content"].as_object() else {
            let known = !response.is_null();
            return known.then_some(()).ok_or_else(|| format!("{status} is not documented"));
        };
        match content.get(JSON) {
            Some(json) if !body.is_null() => self.fits(&json["schema"], body),
            _ => Ok(()),
        }
    }

    fn fits(&self, schema: &Value, value: &Value) -> Result<(), Misfit> {
        let known = self.known(schema, value)?;
        let (Some(fields), Some(known)) = (value.as_object(), known) else {
            return Ok(());
        };
        match fields.keys().find(|name| !known.contains(*name)) {
            Some(name) => Err(format!("`{name}` is not documented")),
            None => Ok(()),
        }
    }

    /// The fields that a schema knows, when the value fits it; none when it may have any.
    fn known(&self, schema: &Value, value: &Value) -> Result<Option<BTreeSet<String>>, Misfit> {
        if schema["$ref"].is_string() {
            return self.known(&self.resolved(schema), value);
        }
        if let Some(forms) = schema["oneOf"].as_array() {
            let mut fitting = Vec::new();
            let mut misfits = Vec::new();
            for form in forms {
                match self.known(form, value) {
                    Ok(known) => fitting.push(known),
                    Err(misfit) => misfits.push(misfit),
                }
            }
            return match (fitting.len(), fitting.pop()) {
                (1, Some(known)) => Ok(known),
                (count, _) => Err(format!("{count} forms fit {value}: {misfits:?}")),
            };
        }
        if let Some(parts) = schema["allOf"].as_array() {
            let mut all = BTreeSet::new();
            for part in parts {
                all.extend(self.known(part, value)?.unwrap_or_default());
            }
            return Ok(Some(all));
        }
        self.plain(schema, value)
    }

    fn plain(&self, schema: &Value, value: &Value) -> Result<Option<BTreeSet<String>>, Misfit> {
        let kinds = types(schema);
        let kind = kind_of(value);
        if !kinds.is_empty() && !kinds.contains(&kind) {
            return Err(format!("{value} is no {kinds:?}"));
        }
        if schema["enum"].as_array().is_some_and(|values| !values.contains(value)) {
            return Err(format!("{value} is none of {}", schema["enum"]));
        }
        let number = value.as_i64().map(i128::from).or(value.as_u64().map(i128::from));
        if let Some(number) = number {
            let min = limit(schema, "minimum").unwrap_or(i128::MIN);
            let max = limit(schema, "maximum").unwrap_or(i128::MAX);
            if !(min..=max).contains(&number) {
                return Err(format!("{number} is not within {min} to {max}"));
            }
        }
        for item in value.as_array().into_iter().flatten() {
            self.fits(&schema["items"], item)?;
        }
        match (value.as_object(), schema["properties"].as_object()) {
            (Some(fields), Some(properties)) => self.object(schema, (fields, properties)).map(Some),
            _ => Ok(None),
        }
    }

    fn object(
        &self,
        schema: &Value,
        (fields, properties): (&Map<String, Value>, &Map<String, Value>),
    ) -> Result<BTreeSet<String>, Misfit> {
        for name in schema["required"].as_array().into_iter().flatten() {
            if !fields.contains_key(name.as_str().unwrap_or("")) {
                return Err(format!("{name} is missing"));
            }
        }
        for (name, property) in properties {
            if let Some(value) = fields.get(name) {
                self.fits(property, value).map_err(|misfit| format!("{name}: {misfit}"))?;
            }
        }
        Ok(properties.keys().cloned().collect())
    }
}

/// The types that a schema allows; none when it does not say.
pub(crate) fn types(schema: &Value) -> Vec<&str> {
    match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => {
            let forms = schema["oneOf"].as_array().into_iter().flatten();
            forms.flat_map(types).collect()
        }
    }
}

/// A limit of a schema.
pub(crate) fn limit(schema: &Value, name: &str) -> Option<i128> {
    let limit = &schema[name];
    limit.as_i64().map(i128::from).or(limit.as_u64().map(i128::from))
}

fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    }
}

impl Operation {
    /// Its examples of bodies, by name.
    pub(crate) fn examples(&self) -> Vec<(String, Value)> {
        let examples = self.value["requestBody"]["content"][JSON]["examples"].as_object();
        let of = |(name, example): (&String, &Value)| (name.clone(), example["value"].clone());
        examples.into_iter().flatten().map(of).collect()
    }

    fn parameters(&self) -> impl Iterator<Item = &Value> {
        let all = self.value["parameters"].as_array().into_iter().flatten();
        all.filter(|parameter| parameter["in"] == "query")
    }

    /// A query with every parameter that goes with the others.
    pub(crate) fn query(&self, document: &Document) -> Vec<(String, String)> {
        let value = |parameter: &Value| {
            let name = parameter["name"].as_str().expect("a name").to_owned();
            let schema = document.resolved(&parameter["schema"]);
            let value = match (&schema["enum"][0], &schema["examples"][0], &schema["default"]) {
                (Value::String(word), _, _) | (_, Value::String(word), _) => word.clone(),
                // A state that there is.
                (_, Value::Number(_), _) => "1".into(),
                (_, _, default) => default.to_string(),
            };
            (name, value)
        };
        // A request's order is no page.
        let alone = self.id == "listOrders";
        let goes = |parameter: &&Value| !(alone && parameter["name"] == "request_id");
        self.parameters().filter(goes).map(value).collect()
    }

    pub(crate) fn requires(&self, name: &str) -> bool {
        self.parameters()
            .any(|parameter| parameter["name"] == name && parameter["required"] == true)
    }

    /// Whether a problem is among its answers.
    pub(crate) fn knows(&self, status: u16, kind: &str) -> bool {
        let content = &self.value["responses"][status.to_string()]["content"];
        let schema = &content["application/problem+json"]["schema"]["allOf"][1];
        let kinds = schema["properties"]["type"]["enum"].as_array();
        kinds.is_some_and(|kinds| kinds.iter().any(|known| known == kind))
    }
}
