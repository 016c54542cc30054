//! The OpenAPI document of the routes, served at `/openapi.json`.
//!
//! It is written by hand beside this file and embedded. Tests hold it against the route table, so
//! neither can name a path or a method that the other does not know.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;

/// The document: OpenAPI 3.1, JSON.
pub const DOCUMENT: &str = include_str!("openapi.json");

/// The fields of a path item that are operations (OpenAPI 3.1 §4.8.9).
const OPERATIONS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];

/// Method (in upper case) and path template of every operation of the document, sorted by path.
pub fn routes() -> Vec<(String, String)> {
    #[derive(Deserialize)]
    struct Document {
        paths: BTreeMap<String, BTreeMap<String, IgnoredAny>>,
    }

    let document: Document =
        serde_json::from_str(DOCUMENT).expect("the document is part of the program, and tested");
    let of_path = |(path, item): (String, BTreeMap<String, IgnoredAny>)| {
        let methods = item
            .into_keys()
            .filter(|field| OPERATIONS.contains(&&**field));
        methods
            .map(move |method| (method.to_ascii_uppercase(), path.clone()))
            .collect::<Vec<_>>()
    };
    document.paths.into_iter().flat_map(of_path).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use serde_json::Value;

    use super::*;
    use crate::auth::{TOKEN_BYTES, is_public};
    use crate::http::Method;
    use crate::http::routes::{Route, resolve};
    use crate::limits::MESSAGE_ID_BYTES;

    fn document() -> Value {
        serde_json::from_str(DOCUMENT).unwrap()
    }

    /// Every operation with its method and path.
    fn operations(document: &Value) -> Vec<(&'static str, &str, &Value)> {
        let mut operations = Vec::new();
        for (path, item) in document["paths"].as_object().unwrap() {
            let methods = OPERATIONS.into_iter();
            let of_path = methods.filter_map(|method| Some((method, &**path, item.get(method)?)));
            operations.extend(of_path);
        }
        operations
    }

    /// Calls `each` with every object below `value`, and itself.
    fn visit<'a>(value: &'a Value, each: &mut dyn FnMut(&'a serde_json::Map<String, Value>)) {
        match value {
            Value::Object(object) => {
                each(object);
                object.values().for_each(|value| visit(value, each));
            }
            Value::Array(values) => values.iter().for_each(|value| visit(value, each)),
            _ => {}
        }
    }

    /// What a reference, or the object itself, stands for.
    fn resolved<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
        match value.get("$ref") {
            Some(target) => {
                let pointer = target.as_str().unwrap().strip_prefix('#').unwrap();
                document
                    .pointer(pointer)
                    .unwrap_or_else(|| panic!("{target} is not defined"))
            }
            None => value,
        }
    }

    #[test]
    fn it_describes_the_routes_and_no_others() {
        let mut served = BTreeSet::new();
        for route in Route::ALL {
            // HEAD and OPTIONS are described once, for all paths.
            let own = route
                .methods()
                .iter()
                .filter(|method| !["HEAD", "OPTIONS"].contains(method));
            served.extend(own.map(|method| (method.to_string(), route.template().to_owned())));
        }
        assert_eq!(routes().into_iter().collect::<BTreeSet<_>>(), served);
    }

    #[test]
    fn it_is_of_this_version() {
        let document = document();
        assert_eq!(document["openapi"], "3.1.0");
        assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
        assert_eq!(
            document["info"]["license"]["identifier"],
            env!("CARGO_PKG_LICENSE")
        );
    }

    #[test]
    fn every_definition_is_used_and_every_use_is_defined() {
        let document = document();
        let mut used = HashSet::new();
        visit(&document, &mut |object| {
            if let Some(target) = object.get("$ref") {
                used.insert(target.as_str().unwrap());
            }
        });
        used.iter().for_each(|target| {
            resolved(&document, &serde_json::json!({ "$ref": target }));
        });
        for (kind, definitions) in document["components"].as_object().unwrap() {
            // They are named by `security`, not by `$ref`.
            if kind == "securitySchemes" {
                let schemes: Vec<_> = definitions.as_object().unwrap().keys().collect();
                assert_eq!(document["security"][0][schemes[0]], serde_json::json!([]));
                assert_eq!(schemes.len(), 1);
                continue;
            }
            for name in definitions.as_object().unwrap().keys() {
                let target = format!("#/components/{kind}/{name}");
                assert!(used.contains(&*target), "{target} is used nowhere");
            }
        }
    }

    #[test]
    fn operations_are_complete() {
        let document = document();
        let mut ids = HashSet::new();
        for (method, path, operation) in operations(&document) {
            let name = format!("{method} {path}");
            assert!(
                ids.insert(&operation["operationId"]),
                "{name} has an operationId of its own"
            );
            assert!(operation["summary"].is_string(), "{name}");

            let shared = document["paths"][path]["parameters"].as_array();
            let own = operation["parameters"].as_array();
            let parameters = shared.into_iter().chain(own).flatten();
            let in_path: Vec<_> = parameters
                .map(|parameter| resolved(&document, parameter))
                .filter(|parameter| parameter["in"] == "path")
                .map(|parameter| parameter["name"].as_str().unwrap())
                .collect();
            let expected: &[&str] = if path.contains("{id}") { &["id"] } else { &[] };
            assert_eq!(in_path, expected, "{name}");
            assert_eq!(resolve(path).id.is_some(), path.contains("{id}"), "{name}");
        }
    }

    #[test]
    fn it_says_which_operations_need_a_token() {
        let document = document();
        for (method, path, operation) in operations(&document) {
            let method = match method {
                "get" => Method::Get,
                "post" => Method::Post,
                "put" => Method::Put,
                "delete" => Method::Delete,
                other => panic!("{other}"),
            };
            let open = operation.get("security").is_some();
            assert_eq!(
                open,
                is_public(resolve(path).route, &method),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn sockets_say_how_they_are_told_who_asks() {
        let document = document();
        let mut sockets = 0;
        for (_, path, operation) in operations(&document) {
            if !resolve(path).route.is_socket() {
                continue;
            }
            sockets += 1;
            let parameters = operation["parameters"].as_array().unwrap();
            let names: Vec<_> = parameters
                .iter()
                .map(|parameter| resolved(&document, parameter)["name"].as_str().unwrap())
                .collect();
            assert!(names.contains(&"token"), "{path}: {names:?}");
            for status in ["101", "400", "401", "403", "426"] {
                let response = &operation["responses"][status];
                assert!(response.is_object(), "{path} {status}");
            }
        }
        assert_eq!(sockets, 3);
        assert_eq!(MESSAGE_ID_BYTES, 64, "as the document says");
        assert_eq!(TOKEN_BYTES, 4096, "as the document says");
    }

    #[test]
    fn every_error_has_the_same_shape() {
        let document = document();
        for (method, path, operation) in operations(&document) {
            let responses = operation["responses"].as_object().unwrap();
            assert!(responses.contains_key("default"), "{method} {path}");
            for (status, response) in responses {
                let response = resolved(&document, response);
                assert!(
                    response["description"].is_string(),
                    "{method} {path} {status}"
                );
                if status == "default" || status.starts_with(['4', '5']) {
                    let schema = &response["content"]["application/json"]["schema"]["$ref"];
                    assert_eq!(
                        schema, "#/components/schemas/Error",
                        "{method} {path} {status}"
                    );
                }
            }
        }
    }
}
