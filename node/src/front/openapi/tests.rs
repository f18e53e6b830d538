//! The document is whole: every endpoint, every problem, every reference.

use super::super::Route;
use super::super::docs::{Docs, EVERYWHERE, OF_THE_STOCK};
use super::*;
use crate::problem::Kind;
use serde_json::Value;

fn endpoints() -> impl Iterator<Item = (Route, &'static str, &'static Docs)> {
    let of = |route: &Route| {
        let route = *route;
        route.docs().iter().map(move |(method, docs)| (route, *method, *docs))
    };
    Route::ALL.iter().flat_map(of)
}

fn written() -> Value {
    serde_json::to_value(document::document()).unwrap()
}

#[test]
fn every_endpoint_is_there_once() {
    let document = written();
    assert_eq!(document["openapi"], "3.1.0");
    let mut ids = Vec::new();
    for (route, method, docs) in endpoints() {
        let operation = &document["paths"][route.path()][method];
        assert_eq!(operation["operationId"], docs.id, "{method} {route}");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{route}");
        ids.push(docs.id);
    }
    let in_document = document["paths"].as_object().unwrap().values();
    assert_eq!(in_document.map(|path| path.as_object().unwrap().len()).sum::<usize>(), ids.len());
    let endpoints = ids.len();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), endpoints, "two endpoints have one id");
}

#[test]
fn every_problem_is_the_answer_of_some_endpoint() {
    // The answers to what is no endpoint.
    let elsewhere = [Kind::MethodNotAllowed];
    for kind in Kind::ALL {
        let groups = || endpoints().flat_map(|(_, _, docs)| docs.problems).copied();
        let mut groups = groups().chain([EVERYWHERE, OF_THE_STOCK, &elsewhere]);
        assert!(groups.any(|group| group.contains(kind)), "no endpoint documents {kind:?}");
    }
}

#[test]
fn whoever_reads_a_body_says_what_can_be_wrong_with_it() {
    for (route, method, docs) in endpoints().filter(|(_, _, docs)| docs.body.is_some()) {
        for kind in [Kind::InvalidJson, Kind::InvalidField, Kind::TooLarge, Kind::RequestTimeout] {
            let known = docs.problems.iter().any(|group| group.contains(&kind));
            assert!(known, "{method} {route} takes a body and has no {kind:?}");
        }
        assert!(docs.body.is_some_and(|body| !body.examples.is_empty()), "{method} {route}");
    }
}

/// Every value of a key, wherever it stands.
fn all<'v>(value: &'v Value, key: &str, found: &mut Vec<&'v Value>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if name == key {
                    found.push(value);
                }
                all(value, key, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| all(item, key, found)),
        _ => {}
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = written();
    let mut references = Vec::new();
    all(&document, "$ref", &mut references);
    assert!(references.len() > 100, "{}", references.len());
    for reference in references {
        let pointer = reference.as_str().unwrap().trim_start_matches('#');
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
    let mut links = Vec::new();
    all(&document, "links", &mut links);
    for link in links.iter().flat_map(|links| links.as_object().unwrap().values()) {
        let known = endpoints().any(|(_, _, docs)| link["operationId"] == docs.id);
        assert!(known, "{link} leads nowhere");
    }
}

#[test]
fn what_is_sent_has_no_field_that_is_not_told() {
    let document = written();
    for (name, schema) in document["components"]["schemas"].as_object().unwrap() {
        let sent = ["Put", "Post", "Patch", "Batch"].iter().any(|verb| name.starts_with(verb));
        if sent {
            assert_eq!(schema["additionalProperties"], false, "{name}");
        }
    }
}

#[test]
fn texts_are_for_whoever_reads_no_rust() {
    let document = written();
    let mut texts = Vec::new();
    all(&document, "description", &mut texts);
    for text in texts {
        assert!(!text.to_string().contains("[`"), "{text} refers to the sources");
    }
}
