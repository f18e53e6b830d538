//! Which bodies are batches, and what an item must be.

use super::*;

fn split(form: Form, text: &str) -> Result<Vec<String>, Kind> {
    let bytes = Bytes::copy_from_slice(text.as_bytes());
    let items = form.split(&bytes).map_err(|problem| problem.kind())?;
    Ok(items.iter().map(|item| String::from_utf8_lossy(item).into_owned()).collect())
}

#[test]
fn content_types() {
    for (content_type, want) in [
        (None, Some(Form::Array)),
        (Some("application/json; charset=utf-8"), Some(Form::Array)),
        (Some("application/x-ndjson"), Some(Form::Lines)),
        (Some("Application/NDJSON"), Some(Form::Lines)),
        (Some("application/jsonl"), Some(Form::Lines)),
        (Some("text/csv"), None),
    ] {
        let mut headers = HeaderMap::new();
        if let Some(content_type) = content_type {
            headers.insert(header::CONTENT_TYPE, content_type.parse().unwrap());
        }
        assert_eq!(Form::of(&headers).ok(), want, "{content_type:?}");
    }
}

#[test]
fn arrays_and_lines() {
    let two = vec![r#"{"a":[1,"]"]}"#.to_owned(), "7".to_owned()];
    assert_eq!(split(Form::Array, r#" [ {"a":[1,"]"]} , 7 ] "#), Ok(two.clone()));
    assert_eq!(split(Form::Lines, "{\"a\":[1,\"]\"]}\r\n\n 7"), Ok(two));
    assert_eq!(split(Form::Array, "[]"), Ok(vec![]));
    assert_eq!(split(Form::Lines, "\n\n"), Ok(vec![]));
    for (text, kind) in [
        ("", Kind::InvalidJson),
        ("[1,", Kind::InvalidJson),
        ("[1] x", Kind::InvalidJson),
        ("{}", Kind::InvalidField),
        ("null", Kind::InvalidField),
    ] {
        assert_eq!(split(Form::Array, text), Err(kind), "{text}");
    }
}

#[test]
fn as_many_as_there_may_be() {
    let full = vec!["1"; ITEMS_MAX];
    let more = vec!["1"; ITEMS_MAX + 1];
    for (form, join) in [(Form::Array, ","), (Form::Lines, "\n")] {
        let wrap = |items: &[&str]| match form {
            Form::Array => format!("[{}]", items.join(join)),
            Form::Lines => items.join(join),
        };
        assert_eq!(split(form, &wrap(&full)).map(|items| items.len()), Ok(ITEMS_MAX));
        assert_eq!(split(form, &wrap(&more)), Err(Kind::TooLarge));
    }
}

#[test]
fn items() {
    let item = |text: &str| {
        body::parse::<Shape<'_>>(text.as_bytes())
            .and_then(Shape::check)
            .map(|item| (item.request.as_str().to_owned(), item.quantity.get(), item.attempt))
            .map_err(|problem| problem.kind())
    };
    let first = r#"{"request_id":"k","product_id":"p","user_id":"u"}"#;
    assert_eq!(item(first), Ok(("k".to_owned(), 1, Attempt::First)));
    let later = r#"{"request_id":"k","product_id":"p","user_id":"u","quantity":3,"attempt":2}"#;
    assert_eq!(item(later), Ok(("k".to_owned(), 3, Attempt::Later)));
    for (text, kind) in [
        (r#"{"product_id":"p","user_id":"u"}"#, Kind::InvalidField),
        (r#"{"request_id":7,"product_id":"p","user_id":"u"}"#, Kind::InvalidField),
        (r#"{"request_id":"","product_id":"p","user_id":"u"}"#, Kind::InvalidValue),
        (r#"{"request_id":"k","product_id":"p","user_id":"u","attempt":0}"#, Kind::InvalidValue),
        (r#"{"request_id":"k","product_id":"p","user_id":"u","quantity":0}"#, Kind::InvalidValue),
        (r#"{"request_id":"k","product_id":"p","user_id":"u","at":0}"#, Kind::InvalidField),
        ("7", Kind::InvalidField),
        ("{", Kind::InvalidJson),
    ] {
        assert_eq!(item(text), Err(kind), "{text}");
    }
}
