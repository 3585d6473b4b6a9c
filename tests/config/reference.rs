//! The reference configuration, its page and the schema agree with what is read.

use crate::scene::Scene;
use doorward::cli::schema::schema;
use serde_json::Value;

const REFERENCE: &str = include_str!("../../config/doorward.yaml");
const PAGE: &str = include_str!("../../docs/configuration.md");

fn scene() -> Scene {
    let scene = Scene::new();
    scene.certificate("certs/corp", &["*.corp.example"]);
    scene.authority("certs/device-ca.pem");
    scene.write("devices.csv", "id,owner\n");
    scene.write("secrets/admin-token", "hunter2");
    scene.write("secrets/partners", "hunter2");
    scene.write("secrets/idp-push", "Bearer hunter2");
    scene.write("secrets/idp-api", "hunter2");
    scene.write("secrets/staff", "hunter2");
    scene.write("secrets/scim", "a-token-of-some-length");
    scene.write("secrets/webhook", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw");
    scene
}

/// The test process has no such variable, and setting one is not safe beside other threads.
fn without_variables(yaml: &str) -> String {
    yaml.replace("{ env: STAFF_SECRET }", "{ file: secrets/staff }")
}

#[test]
fn the_reference_configuration_is_fine_without_a_warning() {
    let loaded = scene().fine(&without_variables(REFERENCE));
    assert_eq!(loaded.warnings, []);
    assert_eq!(loaded.snapshot.apps.len(), 3);
}

#[test]
fn the_examples_of_the_page_are_fine_without_a_warning() {
    let examples: Vec<&str> = PAGE.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert!(!examples.is_empty());
    for example in examples {
        let loaded = scene().fine(&without_variables(example));
        assert_eq!(loaded.warnings, [], "{example}");
    }
}

#[test]
fn every_key_of_the_schema_is_in_the_reference_and_on_the_page() {
    let schema: Value = serde_json::from_str(&schema().unwrap()).unwrap();
    let mut keys = Vec::new();
    properties(&schema, &mut keys);
    assert!(keys.len() > 30);
    for (key, described) in keys {
        assert!(described, "{key} has no description");
        assert!(REFERENCE.contains(&format!("{key}:")), "{key} is not in the reference");
        assert!(PAGE.contains(&format!("`{key}`")), "{key} is not on the page");
    }
}

fn properties(value: &Value, keys: &mut Vec<(String, bool)>) {
    match value {
        Value::Object(object) => {
            if let Some(Value::Object(properties)) = object.get("properties") {
                assert_eq!(object.get("additionalProperties"), Some(&Value::Bool(false)));
                keys.extend(properties.iter().map(|(key, value)| (key.clone(), value.get("description").is_some())));
            }
            object.values().for_each(|value| properties(value, keys));
        }
        Value::Array(items) => items.iter().for_each(|value| properties(value, keys)),
        _ => {}
    }
}

#[test]
fn the_schema_knows_what_is_required() {
    let schema: Value = serde_json::from_str(&schema().unwrap()).unwrap();
    let required = |value: &Value| -> Vec<String> { serde_json::from_value(value["required"].clone()).unwrap() };
    assert_eq!(required(&schema), ["listen", "tls", "auth", "store"]);
    assert_eq!(required(&schema["$defs"]["App"]), ["url"]);
    assert_eq!(required(&schema["$defs"]["PathEntry"]), ["match"]);
}
